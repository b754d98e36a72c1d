"""Networks compiled to infer compute the same by other programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import networks, spaces
from jaxnas.execution import execution
from jaxnas.networks.inference import infers, materialized

X = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
CELLS = spaces.nasbench201()
CASES = {
    "convolutions and pools": (CELLS, networks.NasBench201(4, 1), [4, 3, 4, 2, 4, 1]),
    "a node that nothing reaches": (CELLS, networks.NasBench201(4, 1), [4, 0, 0, 0, 2, 3]),
    "nothing at all": (CELLS, networks.NasBench201(4, 1), [0] * 6),
    "chain": (spaces.mobilenet(stages=1), networks.MobileNet((8,), (2,), features=16), [2, 1, 2, 0]),
}


def variables_of(network, decisions):
    """Random ones, without compiling what flax would draw them by."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(1), decisions, X, False))
    return jax.tree.map(lambda s: jnp.asarray(rng.uniform(0.1, 0.5, s.shape), s.dtype), shapes)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_same(case):
    space, network, genome = CASES[case]
    decisions = space.unpack(np.array(genome, np.int32))
    variables = variables_of(network, decisions)
    run = lambda v, x: network.apply(v, decisions, x, False)
    expected = jax.jit(run)(variables, X)
    with execution(inference=True):
        inferred = jax.jit(lambda v, x: run(v, x))(variables, X)
    np.testing.assert_allclose(inferred, expected, rtol=1e-4, atol=1e-5)


def test_a_node_that_nothing_reaches_is_so_in_the_population_network_too():
    space, network, genome = CASES["a node that nothing reaches"]
    decisions = space.unpack(np.array(genome, np.int32))
    traced = jax.tree.map(jnp.int32, decisions)
    variables = variables_of(network, traced)
    alone = networks.extract(variables, variables_of(network, decisions))
    apply = lambda decisions, v: network.apply(v, decisions, X, True, mutable=["batch_stats"])
    y, stats = jax.jit(apply)(traced, variables)
    own_y, own_stats = jax.jit(lambda v: apply(decisions, v))(alone)
    np.testing.assert_allclose(own_y, y, rtol=1e-4)
    expected = networks.extract(stats, own_stats)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), own_stats, expected)


def test_convolutions_are_the_compilers_own_within_and_not_after():
    kernel = jnp.ones((3, 3, 3, 4))
    numbers = ("NHWC", "HWIO", "NHWC")
    convolve = lambda x: networks.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    pool = lambda x: networks.avg_pool(x, 3)
    with execution(platform="cpu", inference=True):
        assert infers() and "conv_general_dilated" in str(jax.make_jaxpr(convolve)(X))
        assert "dot_general" in str(jax.make_jaxpr(pool)(X))
    assert not infers() and "conv_general_dilated" not in str(jax.make_jaxpr(convolve)(X))
    assert "dot_general" not in str(jax.make_jaxpr(pool)(X))


def test_what_is_read_twice_is_computed_once():
    def chain(x):
        for _ in range(3):
            x = materialized(x + jnp.tanh(x) @ jnp.ones((3, 3)))
        return x

    calls = lambda: jax.jit(lambda x: chain(x)).lower(X).compile().as_text().count(" call(")
    outside = calls()
    with execution(platform="cpu", inference=True):
        assert calls() == outside + 3


def test_an_array_is_materialized_once():
    with execution(platform="cpu", inference=True):
        jaxpr = str(jax.make_jaxpr(lambda x: [materialized(x), materialized(x), materialized(materialized(x))])(X))
    assert jaxpr.count("name=optimization_barrier") == 1
