"""The supernet evaluator: gradients against brute force, weight steps, scores of paths, inheritance."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import largest_eigenvalue, supernet
from jaxnas.types import propose
from tests.support import supernets
from tests.support.supernets import SPACE, Network

TASK = supernets.task(48, 24)
WEIGHTS = np.float32([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]])
KEY = jax.random.key(0)


def mixture(budget=0, weights=WEIGHTS, gates=None):
    return supernets.mixtures(SPACE, weights[None], budget, None if gates is None else gates[None])


def paths(*genomes, budget=0):
    """A proposal of three paths; those that are not given are padding."""
    rows = np.int32([*genomes, *[[0, 0]] * (3 - len(genomes))])
    return propose(jnp.asarray(rows), jnp.int32(0), budget=budget).replace(active=jnp.arange(3) < len(genomes))


@cache
def exact(order):
    """In 64 bits, two batches an epoch, and one of all validation examples: `(evaluator, jitted evaluate)`."""
    options = {"batch_size": 24, "curvature": 2 * (order == "first"), **supernets.RECIPE}
    built = supernet(SPACE, Network(), TASK, steps=50, order=order, **options)
    return built, jax.jit(partial(built.evaluate, KEY))


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@cache
def begun():
    """The state of `exact` before any step, its parameters drawn by NumPy, which takes no program."""
    shapes = jax.eval_shape(exact("first")[0].init, KEY)
    state = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), shapes)
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape) / 3), shapes.params)
    return state.replace(params=params, key=jax.random.key_data(KEY))


@cache
def after_a_step():
    return exact("first")[1](begun(), mixture(3, np.float64(WEIGHTS)))[1]


def test_second_order_gradient_equals_brute_force(float64):
    """Central differences of the validation loss after the evaluator has itself taken a step at the same weights."""
    weights = np.float64(WEIGHTS)
    after = lambda w: float(exact("first")[1](after_a_step(), mixture(1, w))[0].metrics["loss"][0])
    brute = np.zeros(weights.shape)
    for at in zip(*np.nonzero(SPACE.mask), strict=True):
        bump = np.zeros(weights.shape)
        bump[at] = 1e-5
        brute[at] = (after(weights + bump) - after(weights - bump)) / 2e-5
    assert np.abs(brute).max() > 0.05
    first, second, near = (
        exact(order)[1](after_a_step(), mixture(0, weights))[0] for order in ("first", "second", "finite_difference")
    )
    np.testing.assert_allclose(second.gradient[0], brute, atol=1e-4 * np.abs(brute).max())
    np.testing.assert_allclose(near.gradient[0], brute, atol=2e-3 * np.abs(brute).max())
    assert np.abs(second.gradient - first.gradient).max() > 1e-2 * np.abs(brute).max()
    for feedback in (second, near):  # on the batch of the weight step that follows
        np.testing.assert_allclose(feedback.metrics["loss"][0], after(weights), rtol=1e-9)


def test_loss_of_weights_is_differentiable_and_curvature_the_largest_eigenvalue_of_its_hessian(float64):
    """In the logits of the weights, by central differences of the loss and of its gradient."""
    built, evaluate = exact("first")
    state = after_a_step().replace(num_arch_grads=jnp.int32(0))
    feedback, state = evaluate(state, mixture(0, np.float64(WEIGHTS)))
    assert np.isnan(evaluate(state, mixture(0, np.float64(WEIGHTS)))[0].curvature[0])  # every second gradient
    of = lambda logits: built.loss(state, jax.nn.softmax(logits, -1), TASK.validation)
    loss = jax.jit(jax.value_and_grad(of))
    logits = np.where(SPACE.mask, np.log(np.maximum(np.float64(WEIGHTS), 1e-30)), -1e9)
    bumps = 1e-5 * np.eye(6).reshape(6, 2, 3)
    ends = [[jax.device_get(loss(logits + sign * bump)) for sign in (1, -1)] for bump in bumps]
    value, slope = loss(logits)
    np.testing.assert_allclose(value, feedback.metrics["loss"][0], rtol=1e-9)
    np.testing.assert_allclose(slope.ravel(), [(up[0] - down[0]) / 2e-5 for up, down in ends], rtol=1e-5, atol=1e-9)
    hessian = np.stack([(up[1] - down[1]).ravel() / 2e-5 for up, down in ends])
    np.testing.assert_allclose(feedback.curvature[0], np.linalg.eigvalsh(hessian)[-1], rtol=1e-6)


@pytest.fixture(scope="module")
def built():
    """With batch normalization, and batches of all training examples."""
    options = {"batch_size": 48, "fitness": "accuracy", **supernets.RECIPE}
    return supernet(SPACE, Network(norm=True), TASK, steps=50, **options)


@pytest.fixture(scope="module")
def evaluate(built):
    """One program for mixtures, one for mixtures behind gates, and one for `paths`."""
    return jax.jit(partial(built.evaluate, KEY))


@pytest.fixture(scope="module")
def start(built):
    return jax.jit(built.init)(KEY)


@pytest.fixture(scope="module")
def trained(evaluate, start):
    return evaluate(start, mixture(20))[1]


def test_weight_steps_lower_the_training_loss(evaluate, start, trained):
    before, after = (evaluate(state, mixture(1))[0].metrics["train_loss"][0] for state in (start, trained))
    assert after < before - 0.1


def test_budget_counts_weight_steps_and_inactive_members_take_none(evaluate, trained):
    proposal = paths([0, 0], [0, 0], [0, 0], budget=2).replace(active=jnp.array([True, False, True]))
    feedback, after = evaluate(trained, proposal)
    assert after.steps - trained.steps == 4
    np.testing.assert_array_equal(np.isnan(feedback.metrics["train_loss"]), [False, True, False])


def test_a_path_leaves_the_parameters_of_other_options_as_they_were(built, evaluate, trained):
    _, after = evaluate(trained, paths([1, 0], budget=2))

    def kernels(genome):
        for state in (trained, after):
            params = built.inherit(state, np.array(genome))["params"]
            yield {name: next(iter(params[name].values()))["Dense_0"]["kernel"] for name in SPACE.decisions}

    old, new = kernels([2, 0])
    np.testing.assert_array_equal(old["first"], new["first"])
    assert (np.asarray(old["second"]) != np.asarray(new["second"])).all()
    old, new = kernels([1, 0])
    assert (np.asarray(old["first"]) != np.asarray(new["first"])).all()


def test_a_one_hot_mixture_behind_gates_learns_as_the_path_does(evaluate, trained):
    hard = np.float32([[0, 1, 0], [1, 0, 0]])
    _, gated = evaluate(trained, mixture(1, hard, hard > 0))
    _, walked = evaluate(trained, paths([1, 0], budget=1))
    np.testing.assert_allclose(gated.params["weights"], walked.params["weights"], atol=1e-6)


def test_score_of_a_path_uses_statistics_of_that_path_alone(built, evaluate, trained):
    """Every batch is of all training data: the stand-alone network's statistics on it are those of the score."""
    genome = np.array([1, 1])
    alone = built.inherit(trained, genome)
    assert set(alone["params"]["first"]) == {"b"}

    @jax.jit
    def losses(alone):
        apply = partial(Network(norm=True).apply, mutable=["batch_stats"])
        decisions, zeros = SPACE.unpack(genome), jax.tree.map(jnp.zeros_like, alone["batch_stats"])
        _, updates = apply({"params": alone["params"], "batch_stats": zeros}, decisions, TASK.train.inputs, True)
        stats = jax.tree.map(lambda leaf: leaf / 0.1, updates["batch_stats"])  # a running average takes a tenth
        scored = {"params": alone["params"], "batch_stats": stats}
        outputs = (apply(variables, decisions, TASK.validation.inputs, False)[0] for variables in (scored, alone))
        return [TASK.loss(out, TASK.validation.targets).mean() for out in outputs]

    loss, with_those_of_training = losses(alone)
    feedback, after = evaluate(trained, paths(genome))
    np.testing.assert_allclose(feedback.metrics["loss"][0], loss, rtol=1e-5)
    assert abs(with_those_of_training - loss) > 1e-3
    np.testing.assert_array_equal(feedback.fitness[0], feedback.metrics["accuracy"][0])
    jax.tree.map(np.testing.assert_array_equal, after, trained)  # scores leave the state as it was


def test_fitness_of_a_mixture_is_minus_its_validation_loss(evaluate, trained):
    feedback, after = evaluate(trained, mixture())
    np.testing.assert_array_equal(feedback.fitness, -feedback.metrics["loss"])
    assert feedback.gradient.shape == (1, 2, 3) and after.num_arch_grads == trained.num_arch_grads + 1
    assert (np.asarray(feedback.gradient)[0][~SPACE.mask] == 0).all()


def test_closed_gates_have_gradient_zero(evaluate, trained):
    gates = np.array([[True, False, True], [True, False, False]])
    gradient = np.asarray(evaluate(trained, mixture(gates=gates))[0].gradient[0])
    assert ((gradient != 0) == gates).all()


def test_a_supernet_that_diverged_is_invalid(evaluate, trained):
    params = jax.tree.map(lambda leaf: np.float32(1e38) * leaf, trained.params)
    feedback, _ = evaluate(trained.replace(params=params), mixture(1))
    assert not np.asarray(feedback.valid).any()


def test_ten_products_find_the_largest_eigenvalue_of_a_large_matrix():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))
    matrix = jnp.asarray(q @ np.diag(np.r_[3.0, np.linspace(-1, 1, 199)]) @ q.T, jnp.float32)
    run = jax.jit(lambda key: largest_eigenvalue(lambda x: 0.5 * x @ matrix @ x, jnp.zeros(200), key))
    value = run(jax.random.key(0))
    np.testing.assert_allclose(value, 3.0, rtol=1e-3)


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
