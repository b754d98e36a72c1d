from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import BatchNorm
from jaxnas.networks.norm import normalize

SHAPE = (6, 5, 4, 3)


def normal(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def x():
    return 2 + 3 * normal(0)


@pytest.fixture(scope="module")
def variables():
    draw = lambda i: np.random.default_rng(i).uniform(0.5, 1.5, 3).astype(np.float32)
    return {"params": {"scale": draw(1), "bias": draw(2)}, "batch_stats": {"mean": draw(3), "var": draw(4)}}


@partial(jax.jit, static_argnames=("train", "dtype", "mutable"))
def applied(variables, x, train, dtype=None, mutable=True):
    """With its updates where it is mutable."""
    return BatchNorm(dtype).apply(variables, x, train, mutable=["batch_stats"] if mutable else False)


def flax_norm(train):
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)


def test_variables_are_named_and_shaped_as_those_of_flax(x):
    ours, theirs = jax.jit(lambda key: (BatchNorm().init(key, x, True), flax_norm(True).init(key, x)))(
        jax.random.key(0)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, dict(theirs))


def test_training_and_running_averages_are_those_of_flax(x, variables):
    y, updates = applied(variables, x, True)
    expected, expected_updates = jax.jit(lambda v, x: flax_norm(True).apply(v, x, mutable=["batch_stats"]))(
        variables, x
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, dict(expected_updates))


def test_running_averages_are_a_tenth_of_the_batch(x, variables):
    _, updates = applied(variables, x, True)
    mean = 0.9 * variables["batch_stats"]["mean"] + 0.1 * x.mean((0, 1, 2))
    np.testing.assert_allclose(updates["batch_stats"]["mean"], mean, rtol=1e-5)


def test_scoring_uses_running_averages_as_flax_does(x, variables):
    ours = applied(variables, x, False, mutable=False)
    np.testing.assert_allclose(ours, jax.jit(flax_norm(False).apply)(variables, x), atol=1e-5)


def test_scoring_does_not_depend_on_the_rest_of_the_batch(x, variables):
    alone = applied(variables, x[:1], False, mutable=False)
    np.testing.assert_array_equal(alone, np.asarray(applied(variables, x, False, mutable=False))[:1])


def test_running_averages_stay_without_mutable_statistics(x, variables):
    np.testing.assert_allclose(applied(variables, x, True, mutable=False), applied(variables, x, True)[0], atol=1e-6)


@pytest.mark.parametrize("train", [True, False])
def test_gradients_are_those_of_flax(x, variables, train):
    stats = {"batch_stats": variables["batch_stats"]}
    cotangent = normal(5)

    def ours(params, x):
        return (BatchNorm().apply({"params": params, **stats}, x, train) * cotangent).sum()

    def theirs(params, x):
        y, _ = flax_norm(train).apply({"params": params, **stats}, x, mutable=["batch_stats"])
        return (y * cotangent).sum()

    got, expected = (jax.jit(jax.grad(f, (0, 1)))(variables["params"], x) for f in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), got, expected)


def test_gradient_is_the_finite_difference(x, variables):
    scale, bias = variables["params"]["scale"], variables["params"]["bias"]
    objective = jax.jit(lambda x: (jnp.tanh(normalize(x, scale, bias)[0])).sum())
    direction, h = normal(6), np.float32(1e-2)
    difference = (objective(x + h * direction) - objective(x - h * direction)) / (2 * h)
    np.testing.assert_allclose((jax.jit(jax.grad(objective))(x) * direction).sum(), difference, rtol=2e-2)


def test_batch_of_zeros_stays_finite():
    @jax.jit
    def run(x):
        y, pullback = jax.vjp(lambda x: normalize(x, jnp.ones(3), jnp.full(3, 0.5))[0], x)
        return y, pullback(y)[0]

    y, gradient = run(np.zeros(SHAPE, np.float32))
    np.testing.assert_array_equal(y, 0.5)
    assert np.isfinite(gradient).all()


def test_half_precision_keeps_statistics_in_float32(x, variables):
    y, updates = applied(variables, x.astype(jnp.bfloat16), True, jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    assert updates["batch_stats"]["mean"].dtype == jnp.float32
    np.testing.assert_allclose(y, applied(variables, x, True)[0], atol=0.05)


@pytest.mark.parametrize("train", [True, False])
def test_without_affine_it_has_no_parameters_and_a_scale_of_one_and_a_bias_of_zero(x, variables, train):
    plain, stats = BatchNorm(affine=False), {"batch_stats": variables["batch_stats"]}
    assert set(jax.eval_shape(lambda key: plain.init(key, x, True), jax.random.key(0))) == {"batch_stats"}
    unit = {"params": {"scale": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}, **stats}
    ours, theirs = jax.jit(
        lambda *v: [n.apply(v, x, train, mutable=["batch_stats"]) for n, v in zip((plain, BatchNorm()), v, strict=True)]
    )(stats, unit)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_synchronized_halves_are_normalized_as_the_whole():
    x, scale, bias = jnp.arange(48.0).reshape(8, 2, 1, 3) % 7, jnp.array([1.0, 2.0, 0.5]), jnp.ones(3)
    loss = lambda x, scale, bias, axis: (jnp.tanh(normalize(x, scale, bias, axis)[0])).sum()
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("data",))
    batch, whole = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()

    def halves(x, scale, bias):
        to_x, *to_affine = jax.grad(loss, (0, 1, 2))(x, scale, bias, "data")
        return to_x, *jax.lax.psum(to_affine, "data")

    specs = {"in_specs": (batch, whole, whole), "out_specs": (batch, whole, whole), "check_vma": False}
    found = jax.jit(jax.shard_map(halves, mesh=mesh, **specs))(x, scale, bias)
    whole = jax.jit(lambda *args: jax.grad(loss, (0, 1, 2))(*args, None))(x, scale, bias)
    for ours, expected in zip(found, whole, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
