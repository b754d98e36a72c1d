"""What is compiled differs by platform and by company (`jaxnas.execution`); what is computed does not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import networks, spaces
from jaxnas.execution import execution
from jaxnas.networks import Choice, avg_pool, conv_general_dilated, merging
from jaxnas.networks.nasbench201 import Cell
from jaxnas.networks.ops import Identity, ReLUConvBN, SepConv, Zero

FORMS = [
    {"platform": "tpu"},
    {"platform": "tpu", "side_by_side": True},
    {"platform": "gpu", "side_by_side": True},
]
IDS = ["tpu", "tpu, side by side", "gpu, side by side"]


def passes(network, decisions, x, said):
    """Outputs, gradients and statistics of a training pass, in the form that is said."""

    @jax.jit
    def run(variables, x, decisions):
        def loss(params):
            y, updates = network.apply({**variables, "params": params}, decisions, x, True, mutable=["batch_stats"])
            return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), (y, updates)

        return jax.grad(loss, has_aux=True)(variables["params"])

    init = lambda: network.init(jax.random.key(0), decisions, x, False)
    with execution(platform="cpu"):
        variables = jax.jit(init)()
    with execution(**said):
        return run(variables, x, decisions)


def assert_same(got, expected, tolerance=2e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance), got, expected)


@pytest.fixture(scope="module")
def cell():
    """A cell of NAS-Bench-201, its inputs, and the passes of a genome in the form for the CPU."""
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 2))
    decisions = spaces.nasbench201().unpack(jnp.array([3, 2, 4, 3, 1, 0]))
    return Cell(2), x, decisions, passes(Cell(2), decisions, x, {"platform": "cpu"})


@pytest.mark.parametrize("said", FORMS, ids=IDS)
def test_a_traced_cell_is_the_same_in_every_form(cell, said):
    network, x, decisions, expected = cell
    assert_same(passes(network, decisions, x, said), expected)


def test_a_mixture_is_the_same_where_edges_share_their_input(cell):
    network, x, *_ = cell
    decisions = spaces.nasbench201().unpack(jax.nn.softmax(jax.random.normal(jax.random.key(2), (6, 5))))
    got, expected = (passes(network, decisions, x, {"platform": platform}) for platform in ("tpu", "cpu"))
    assert_same(got, expected)


@pytest.mark.slow
def test_a_darts_cell_is_the_same_on_a_tpu():
    space, network = spaces.darts(), networks.Darts(channels=2, cells=1, classes=3)
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    decisions = space.unpack(jax.nn.softmax(jax.random.normal(jax.random.key(2), space.mask.shape)))
    got, expected = (passes(network, decisions, x, {"platform": platform}) for platform in ("tpu", "cpu"))
    assert_same(got, expected, 2e-3)


def test_a_depthwise_convolution_of_few_channels_is_a_dense_one_on_a_tpu():
    x, kernel = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(2, 6, 6, 4), (3, 3, 1, 4)]))

    def run(x, kernel):
        strides, grouped = (2, 2), {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": 4}
        return conv_general_dilated(x, kernel, strides, [(2, 2), (2, 2)], rhs_dilation=(2, 2), **grouped)

    with execution(platform="tpu"):
        assert "feature_group_count=1" in str(jax.make_jaxpr(run)(x, kernel))
        got = run(x, kernel)
    np.testing.assert_allclose(got, run(x, kernel), atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (2, 2)])
def test_average_pools_are_the_same_on_a_tpu(window, stride):
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
    with execution(platform="tpu"):
        got = avg_pool(x, window, stride)
    np.testing.assert_allclose(got, avg_pool(x, window, stride), atol=1e-6)


class Kernels(nn.Module):
    @nn.compact
    def __call__(self, decision, x, train):
        options = {f"sep_{k}": lambda k=k, **named: SepConv(3, k, **named) for k in (3, 5)}
        return Choice({"zero": Zero, **options, "skip": Identity}, name="op")(decision, x, train)


@pytest.mark.parametrize("chosen", range(4))
def test_kernels_of_several_sizes_are_one_with_the_chosen_one_in_the_middle(chosen):
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    got, expected = (passes(Kernels(), jnp.int32(chosen), x, said) for said in (FORMS[1], {"platform": "cpu"}))
    assert_same(got, expected)


def test_only_what_differs_in_an_odd_kernel_alone_is_merged():
    options = {
        "a": lambda **named: ReLUConvBN(3, 1, **named),
        "b": lambda **named: ReLUConvBN(3, 3, **named),
        "even": lambda **named: ReLUConvBN(3, 2, **named),
        "wide": lambda **named: ReLUConvBN(4, 3, **named),
        "skip": Identity,
    }
    assert merging.merge(options, {}, jnp.int32(0)).names == ["b", "even", "wide", "skip"]


class Overflow(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return jnp.exp(1000 * x * self.param("w", nn.initializers.ones, ())).astype(x.dtype)


def test_an_option_that_is_not_chosen_and_overflows_leaves_the_others_alone():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, decision, x, train):
            x = nn.Dense(3, name="first")(x)
            return Choice({"own": Identity, "overflow": Overflow}, name="op")(decision, x, train)

    x = jnp.ones((2, 3))
    net = Net()
    variables = net.init(jax.random.key(0), jnp.int32(0), x, False)
    with execution(side_by_side=True):
        slope = jax.grad(lambda v: net.apply(v, jnp.int32(0), x, True).sum())(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
