"""Trainings that begin with given variables, or go on where an earlier one of the same architecture stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import evaluators, networks, spaces, strategies, tasks
from jaxnas.evaluators import supernet, training, zero_cost
from jaxnas.types import propose

KEY, ONE = jax.random.key(0), jax.devices()[:1]
OPERATIONS = ("identity", "dense")
SPACE = spaces.layers(OPERATIONS, depth=2)
random = np.random.default_rng(0)
X = random.normal(size=(48, 5)).astype(np.float32)
TASK = tasks.arrays(dict.fromkeys(("train", "validation", "test"), (X, (X[:, :3].argmax(1)))))
NETWORK = networks.Layers(OPERATIONS, depth=2, features=6, classes=3)
GENOMES = jnp.array([[0, 1], [1, 1]], jnp.int32)


def built(**options):
    return training(SPACE, NETWORK, TASK, batch_size=16, devices=ONE, **options)


def asked(first, budget, parent=-1):
    count = len(GENOMES)
    parents = jnp.stack([jnp.full(count, -1) if parent < 0 else parent + jnp.arange(count), jnp.full(count, -1)], 1)
    return propose(GENOMES, jnp.int32(first), budget=budget, parent=parents.astype(jnp.int32))


def test_a_promoted_training_goes_on_to_what_one_without_a_stop_reaches():
    evaluator = built(keep=4, schedule_steps=30)
    evaluate = jax.jit(evaluator.evaluate)
    state = jax.jit(evaluator.init)(KEY)
    short, after = evaluate(KEY, state, asked(0, 10))
    long, _ = evaluate(KEY, after, asked(2, 30, parent=0))
    whole, _ = evaluate(KEY, state, asked(0, 30))
    assert not short.metrics["continued"].any() and long.metrics["continued"].all()
    for name in ("loss", "accuracy", "train_loss"):
        np.testing.assert_array_equal(long.metrics[name], whole.metrics[name])


def test_a_learning_curve_is_what_a_training_that_stops_and_goes_on_is_scored_on_its_way():
    scheduled = {"schedule_steps": 30}
    followed = jax.jit(built(curve=(10, 30), **scheduled).evaluate)
    short, long = (followed(KEY, (), asked(0, budget))[0].metrics for budget in (10, 30))
    whole = jax.jit(built(**scheduled).evaluate)(KEY, (), asked(0, 30))[0].metrics
    for name in ("loss", "accuracy"):
        curve = np.asarray(long[f"{name}_curve"])
        np.testing.assert_allclose(curve[:, 0], short[name], rtol=1e-6)
        np.testing.assert_allclose(curve[:, 1], whole[name], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(short["loss_curve"]), [[False, True]] * 2)


def test_children_of_another_genome_begin_anew_and_the_oldest_trainings_are_forgotten():
    evaluator = built(keep=2, schedule_steps=30)
    evaluate = jax.jit(evaluator.evaluate)
    _, state = evaluate(KEY, jax.jit(evaluator.init)(KEY), asked(0, 5))
    changed = asked(2, 9, parent=0).replace(genome=GENOMES[::-1])
    assert not evaluate(KEY, state, changed)[0].metrics["continued"].any()
    _, state = evaluate(KEY, state, asked(2, 5))
    assert not evaluate(KEY, state, asked(4, 9, parent=0))[0].metrics["continued"].any()
    assert evaluate(KEY, state, asked(4, 9, parent=2))[0].metrics["continued"].all()


def test_hyperband_s_promotions_go_on_and_resume(tmp_path):
    def run(rounds, workdir):
        strategy = strategies.successive_halving(SPACE, min_budget=2, max_budget=18, members=9, proposals=3)
        evaluator = built(keep=9, schedule_steps=18)
        return jaxnas.search(SPACE, strategy, evaluator, rounds=rounds, workdir=str(workdir), progress=False).history

    whole = run(5, tmp_path / "whole")
    budgets, continued = whole.column("budget"), whole.column("continued")
    np.testing.assert_array_equal(continued, budgets > 2)
    run(4, tmp_path / "parts")
    parted = run(5, tmp_path / "parts")
    for name in ("fitness", "genome", "continued"):
        np.testing.assert_array_equal(parted.column(name), whole.column(name))


def of_head(kernel):
    return {"params": {"head": {"kernel": kernel}}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 2}, "schedule_steps: expected the steps of the longest training"),
        ({"keep": 2, "schedule_steps": 9, "plan": "bucket"}, "keep: trainings that go on are of one program"),
        ({"keep": -1}, "keep: expected at least 0"),
        ({"keep": 2, "schedule_steps": 9, "curve": (5,)}, "curve: of trainings that go on"),
        ({"curve": (5, 5)}, "curve: expected increasing integers"),
        ({"initialize": {"params": {"elsewhere": {"kernel": np.ones((2, 2))}}}}, "initialize: none of the network's"),
        (
            {"initialize": {"params": {"head": {"kernel": np.ones((2, 2))}}}},
            r"head/kernel is \(2, 2\), expected \(6, 3\)",
        ),
        ({"initialize": of_head(np.ones(6))}, r"head/kernel is \(6,\), expected \(6, 3\)"),
        (
            {"initialize": lambda key, decisions, variables: {"params": {}}},
            "initialize: the function gives variables of",
        ),
        ({"initialize": 3}, "initialize: expected variables or a function, got int"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"ema": 0.9}])
def test_what_a_supernet_has_not_is_refused_by_name(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: weights that are shared are trained without it"):
        supernet(SPACE, NETWORK, TASK, steps=1, batch_size=16, **options)


def begun(seed):
    decisions = SPACE.unpack(GENOMES[0])
    return jax.jit(lambda key: NETWORK.init(key, decisions, TASK.blank(), False))(jax.random.key(seed))


def test_all_evaluators_begin_with_given_variables():
    given = begun(7)
    found = jax.jit(built(initialize=given).evaluate)(KEY, (), asked(0, 0))[0].metrics["loss"]
    of = lambda genome: NETWORK.apply(given, SPACE.unpack(np.asarray(genome)), TASK.validation.inputs, False)
    expected = [TASK.loss(of(genome), TASK.validation.targets).mean() for genome in GENOMES]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    shared = supernet(SPACE, NETWORK, TASK, steps=1, batch_size=16, initialize=given)
    scored, _ = jax.jit(shared.evaluate)(KEY, jax.jit(shared.init)(KEY), asked(0, 0))
    np.testing.assert_allclose(scored.metrics["loss"], expected, rtol=1e-5)
    scored = zero_cost(SPACE, NETWORK, TASK, proxies="l2_norm", batch_size=8, devices=ONE, initialize=given)
    norm = jax.jit(scored.evaluate)(KEY, jax.jit(scored.init)(KEY), asked(0, 0))[0].fitness[0]
    kernels = [given["params"][n]["kernel"] for n in ("embedding", "head")]
    kernels += [given["params"]["layer_1"]["dense"][n]["kernel"] for n in ("up", "down")]
    np.testing.assert_allclose(norm, sum(np.linalg.norm(k) for k in kernels), rtol=1e-5)


def test_a_part_of_the_variables_or_a_function_serve_as_well():
    head = {"params": {"head": {"kernel": np.zeros((6, 3), np.float32)}}}
    loss = jax.jit(built(initialize=head).evaluate)(KEY, (), asked(0, 0))[0].metrics["loss"]
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)  # the bias is zero at the beginning
    zeros = lambda key, decisions, variables: jax.tree.map(jnp.zeros_like, variables)
    loss = jax.jit(built(initialize=zeros).evaluate)(KEY, (), asked(0, 0))[0].metrics["loss"]
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)


def test_retraining_takes_the_part_of_a_supernet_that_it_needs():
    given, genome = begun(3), np.array([0, 1], np.int32)
    options = {"steps": 1, "learning_rate": 0.0, "weight_decay": 0.0, "batch_size": 16, "plan": "bucket"}
    found = evaluators.retrain(SPACE, NETWORK, TASK, [genome], initialize=given, **options)
    outputs = NETWORK.apply(given, SPACE.unpack(genome), TASK.test.inputs, False)
    np.testing.assert_allclose(found["test_loss"][0, 0], TASK.loss(outputs, TASK.test.targets).mean(), rtol=1e-5)
