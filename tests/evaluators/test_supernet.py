"""The supernet evaluator: gradients against brute force, weight steps, scores of paths, inheritance."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import tasks
from jaxnas.evaluators import largest_eigenvalue, supernet
from jaxnas.networks import BatchNorm, Choice
from jaxnas.spaces import categorical
from jaxnas.types import propose

SPACE = categorical({"first": ["a", "b", "c"], "second": ["a", "b"]}, name="small")
RECIPE = {"batch_size": 8, "learning_rate": 0.1, "nesterov": False, "weight_decay": 1e-2}


class Wide(nn.Module):
    """Twelve inputs mapped to six, with a bend, in the precision that is on."""

    bend: float

    @nn.compact
    def __call__(self, x, train):
        return nn.tanh(self.bend * nn.Dense(6, param_dtype=x.dtype, dtype=x.dtype)(x))


class Network(nn.Module):
    norm: bool = False

    @nn.compact
    def __call__(self, decisions, x, train):
        x = x.astype(jnp.float64 if jax.config.jax_enable_x64 else jnp.float32).reshape(x.shape[0], -1)
        for name, count in (("first", 3), ("second", 2)):
            options = {option: partial(Wide, 0.5 + i) for i, option in enumerate("abc"[:count])}
            x = Choice(options, name=name)(decisions[name], x, train)
            if self.norm:
                x = BatchNorm(name=f"{name}_norm")(x[:, None, None], train)[:, 0, 0]
        return nn.Dense(3, param_dtype=x.dtype, dtype=x.dtype)(x)


def examples(n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 12)).astype(np.float32)
    return x, (x[:, :3] + 0.3 * x[:, 3:6]).argmax(1)


TASK = tasks.arrays({"train": examples(32, 0), "validation": examples(24, 1), "test": examples(8, 2)})
WEIGHTS = jnp.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]])


def mixture(budget=0, weights=WEIGHTS, gates=None):
    genome = SPACE.derive(weights)[None]
    gates = None if gates is None else jnp.asarray(gates)[None]
    return propose(genome, jnp.int32(0), budget=budget, weights=jnp.asarray(weights)[None], gates=gates)


def path(genome, budget=0):
    return propose(jnp.array([genome], jnp.int32), jnp.int32(0), budget=budget)


def evaluate(evaluator, state, proposal, key=0):
    feedback, state = jax.jit(evaluator.evaluate)(jax.random.key(key), state, proposal)
    return feedback, state


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def unrolled(evaluator, state, weights, step=1.0):
    """The validation loss after the next weight step, in plain code: the step is taken by the evaluator itself."""
    _, after = evaluate(evaluator, state, mixture(1, weights))
    feedback, _ = evaluate(evaluator, after.replace(looks=state.looks), mixture(0, WEIGHTS.astype(weights.dtype)))
    return feedback


def test_second_order_gradient_equals_brute_force(float64):
    """Central differences of the loss after a step taken at other weights, plus the direct part by first order."""
    exact = supernet(SPACE, Network(), TASK, steps=50, order="second", **RECIPE)
    first = supernet(SPACE, Network(), TASK, steps=50, order="first", **RECIPE)
    weights = jnp.asarray(WEIGHTS, jnp.float64)
    _, state = evaluate(first, first.init(jax.random.key(0)), mixture(3, weights))
    got = evaluate(exact, state, mixture(0, weights))[0].gradient[0]

    loss = lambda w: -unrolled(first, state, w).fitness[0]
    brute = np.zeros(weights.shape)
    for d, c in zip(*np.nonzero(SPACE.mask), strict=True):
        ends = [loss(weights.at[d, c].add(sign * 1e-5)) for sign in (1, -1)]
        brute[d, c] = (ends[0] - ends[1]) / 2e-5
    brute += unrolled(first, state, weights).gradient[0]  # directly, at the stepped parameters
    assert np.abs(brute).max() > 0.05
    np.testing.assert_allclose(got, brute, atol=1e-4 * np.abs(brute).max())
    near = supernet(SPACE, Network(), TASK, steps=50, order="finite_difference", **RECIPE)
    approximate = evaluate(near, state, mixture(0, weights))[0].gradient[0]
    np.testing.assert_allclose(approximate, brute, atol=2e-3 * np.abs(brute).max())
    assert np.abs(got - evaluate(first, state, mixture(0, weights))[0].gradient[0]).max() > 1e-3 * np.abs(brute).max()


@pytest.fixture(scope="module")
def built():
    return supernet(SPACE, Network(norm=True), TASK, steps=50, fitness="accuracy", recalibrate=4, **RECIPE)


@pytest.fixture(scope="module")
def trained(built):
    run = jax.jit(built.evaluate)
    return run(jax.random.key(0), built.init(jax.random.key(0)), mixture(20))[1]


def test_weight_steps_lower_the_training_loss(built, trained):
    before = evaluate(built, built.init(jax.random.key(0)), mixture(1))[0].metrics["train_loss"][0]
    assert evaluate(built, trained, mixture(1))[0].metrics["train_loss"][0] < before - 0.1


def test_budget_counts_weight_steps_and_inactive_members_take_none(built, trained):
    genomes = jnp.zeros((3, 2), jnp.int32)
    proposal = propose(genomes, jnp.int32(0), budget=2).replace(active=jnp.array([True, False, True]))
    _, after = evaluate(built, trained, proposal)
    assert after.steps - trained.steps == 4


def test_a_path_leaves_the_parameters_of_other_options_as_they_were(built, trained):
    _, after = evaluate(built, trained, path([1, 0], budget=2))
    old, new = (built.inherit(s, np.array([2, 0]))["params"] for s in (trained, after))
    np.testing.assert_array_equal(old["first"]["c"]["Dense_0"]["kernel"], new["first"]["c"]["Dense_0"]["kernel"])
    assert (old["second"]["a"]["Dense_0"]["kernel"] != new["second"]["a"]["Dense_0"]["kernel"]).all()
    changed = built.inherit(after, np.array([1, 0]))["params"]["first"]["b"]["Dense_0"]["kernel"]
    assert (changed != built.inherit(trained, np.array([1, 0]))["params"]["first"]["b"]["Dense_0"]["kernel"]).all()


def test_a_one_hot_mixture_behind_gates_learns_as_the_path_does(built, trained):
    hard = jax.nn.one_hot(jnp.array([1, 0]), 3)
    _, gated = evaluate(built, trained, mixture(1, hard, hard > 0))
    _, walked = evaluate(built, trained, path([1, 0], budget=1))
    np.testing.assert_allclose(gated.params, walked.params, atol=1e-6)


def test_score_of_a_path_uses_statistics_of_that_path_alone(trained):
    """One batch of all training data, so that the stand-alone network's statistics on it are those of the score."""
    whole = supernet(SPACE, Network(norm=True), TASK, steps=50, recalibrate=1, **{**RECIPE, "batch_size": 32})
    genome = np.array([1, 1])
    alone = whole.inherit(trained, genome)
    assert set(alone["params"]["first"]) == {"b"}
    decisions = SPACE.unpack(genome)
    zeros = jax.tree.map(jnp.zeros_like, alone["batch_stats"])
    apply = partial(Network(norm=True).apply, mutable=["batch_stats"])
    _, updates = apply({"params": alone["params"], "batch_stats": zeros}, decisions, TASK.train.x, True)
    stats = jax.tree.map(lambda leaf: leaf / 0.1, updates["batch_stats"])  # a running average takes a tenth
    outputs, _ = apply({"params": alone["params"], "batch_stats": stats}, decisions, TASK.validation.x, False)
    loss = TASK.loss(outputs, TASK.validation.y).mean()
    np.testing.assert_allclose(evaluate(whole, trained, path(genome))[0].metrics["loss"][0], loss, rtol=1e-5)


def test_scores_leave_the_state_as_it_was(built, trained):
    _, after = evaluate(built, trained, path([0, 1]))
    jax.tree.map(np.testing.assert_array_equal, after, trained)


def test_fitness_of_a_mixture_is_minus_its_validation_loss(built, trained):
    feedback, after = evaluate(built, trained, mixture())
    np.testing.assert_array_equal(feedback.fitness, -feedback.metrics["loss"])
    assert feedback.gradient.shape == (1, 2, 3) and after.looks == trained.looks + 1
    assert (feedback.gradient[0][~SPACE.mask] == 0).all()


def test_closed_gates_have_gradient_zero(built, trained):
    gates = np.array([[True, False, True], [True, False, False]])
    gradient = evaluate(built, trained, mixture(gates=gates))[0].gradient[0]
    assert ((gradient != 0) == gates).all()


def test_loss_of_weights_is_exposed_and_differentiable(built, trained):
    batch = jax.tree.map(lambda a: a[:8], TASK.validation)
    slope = jax.grad(built.loss, 1)(trained, WEIGHTS, batch)
    bump = [built.loss(trained, WEIGHTS.at[0, 1].add(s * 1e-2), batch) for s in (1, -1)]
    np.testing.assert_allclose(slope[0, 1], (bump[0] - bump[1]) / 2e-2, rtol=2e-2)


def test_curvature_is_the_largest_eigenvalue_of_the_hessian_in_the_logits(float64):
    measured = supernet(SPACE, Network(), TASK, steps=50, curvature=2, **{**RECIPE, "batch_size": 24})
    weights = jnp.asarray(WEIGHTS, jnp.float64)
    state = measured.init(jax.random.key(0))
    feedback, state = evaluate(measured, state, mixture(0, weights))
    logits = jnp.where(SPACE.mask, jnp.log(jnp.maximum(weights, 1e-30)), -1e9)
    of = lambda a: measured.loss(state, jax.nn.softmax(a, -1), TASK.validation)  # one batch holds all of it
    hessian = jax.hessian(of)(logits).reshape(6, 6)
    np.testing.assert_allclose(feedback.curvature[0], np.linalg.eigvalsh(hessian)[-1], rtol=1e-6)
    assert np.isnan(evaluate(measured, state, mixture(0, weights))[0].curvature[0])  # every second look


def test_ten_products_find_the_largest_eigenvalue_of_a_large_matrix():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))
    matrix = jnp.asarray(q @ np.diag(np.r_[3.0, np.linspace(-1, 1, 199)]) @ q.T, jnp.float32)
    value = largest_eigenvalue(lambda x: 0.5 * x @ matrix @ x, jnp.zeros(200), jax.random.key(0))
    np.testing.assert_allclose(value, 3.0, rtol=1e-3)


def test_unrolled_step_has_the_batch_of_the_weight_step_that_follows():
    """With one option left by the weights, the unrolled loss is the loss after the real next step."""
    options = dict(steps=50, **RECIPE)
    exact = supernet(SPACE, Network(), TASK, order="second", **options)
    first = supernet(SPACE, Network(), TASK, order="first", **options)
    state = evaluate(first, first.init(jax.random.key(0)), mixture(2))[1]
    looked = evaluate(exact, state, mixture(0))[0].metrics["loss"]
    stepped = evaluate(first, state, mixture(1))[0].metrics["loss"]
    np.testing.assert_allclose(looked, stepped, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "third"}, "order: unknown 'third'"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"examples": 25}, "examples: expected at most 24"),
        ({"fitness": "los"}, "Did you mean 'loss'"),
        ({"lerning_rate": 1}, "Did you mean 'learning_rate'"),
        ({"clip_norm": -1.0}, "clip_norm: expected"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        supernet(SPACE, Network(), TASK, **{"steps": 5, **options})


def test_a_supernet_that_diverged_is_invalid(built):
    wild = supernet(SPACE, Network(), TASK, steps=50, **{**RECIPE, "learning_rate": 1e6, "weight_decay": 1.0})
    _, state = evaluate(wild, wild.init(jax.random.key(0)), mixture(30))
    feedback, _ = evaluate(wild, state, mixture(1))
    assert not feedback.valid.any()
