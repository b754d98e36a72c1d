import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnas.execution import execution
from jaxnas.networks import avg_pool, conv, conv_general_dilated, max_pool

NHWC = ("NHWC", "HWIO", "NHWC")


def with_gradients(convolution, x, kernel, **options):
    """The result of a convolution and its gradients against a fixed cotangent."""
    run = lambda x, kernel: convolution(x, kernel, dimension_numbers=NHWC, **options)
    y, pullback = jax.vjp(run, x, kernel)
    return y, *pullback(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))


def both(x, kernel, *cases):
    """Each case's result and gradients, ours and those of lax, in one program."""
    return jax.jit(
        lambda x, w: [
            [with_gradients(f, x, w, **c) for f in (conv_general_dilated, lax.conv_general_dilated)] for c in cases
        ]
    )(x, kernel)


def draws(*shapes):
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_and_gradients_are_those_of_lax(kernel, stride):
    x, w = draws((2, 7, 10, 3), (kernel, kernel, 3, 4))
    cases = [
        {"window_strides": (stride, stride), "padding": padding, "rhs_dilation": (d, d)}
        for padding in ("SAME", "VALID", [(4, 4), (3, 5)])
        for d in (1, 2)
        if padding != "VALID" or d * (kernel - 1) < 7
    ]
    cases = cases[-1:] if kernel == 5 else cases  # 25 views, which differ from 9 in number only
    for case, (ours, lax_) in zip(cases, both(x, w, *cases), strict=True):
        for a, b in zip(ours, lax_, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5, err_msg=str(case))


def test_unequal_strides_and_dilations_are_those_of_lax():
    x, w = draws((2, 9, 6, 3), (3, 1, 3, 2))
    options = {"window_strides": (1, 2), "padding": "SAME", "rhs_dilation": (2, 1)}
    for a, b in zip(*both(x, w, options)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_grouped_convolution_passes_through():
    x, w = draws((2, 5, 5, 4), (3, 3, 2, 4))
    options = {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 2}
    for a, b in zip(*both(x, w, options)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_channels_first_passes_through():
    x, w = draws((2, 3, 5, 5), (4, 3, 3, 3))
    args = (x, w, (1, 1), "SAME")
    np.testing.assert_array_equal(conv_general_dilated(*args), lax.conv_general_dilated(*args))


def test_convolution_can_be_differentiated_inside_a_loop():
    x, w = draws((3, 2, 5, 5, 2), (3, 3, 2, 2))
    loss = lambda f: lambda w: lax.map(lambda x: (f(x, w, (1, 1), "SAME", dimension_numbers=NHWC) ** 2).mean(), x).sum()
    ours, lax_ = jax.jit(lambda w: [jax.grad(loss(f))(w) for f in (conv_general_dilated, lax.conv_general_dilated)])(w)
    np.testing.assert_allclose(ours, lax_, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 1, 2), (1, 1, 1)])
def test_conv_layer_keeps_the_image_size_over_the_stride(kernel, stride, dilation):
    layer = conv(4, kernel, stride, dilation=dilation)
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((1, 9, 8, 3)))
    assert y.shape == (1, -(-9 // stride), 8 // stride, 4)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"kernel": (kernel, kernel, 3, 4)}}


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2)])
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (2, 2), (3, 2)])
def test_average_pool_and_gradient_are_those_of_flax(window, stride, size):
    (x,) = draws((2, *size, 3))
    flax_pool = lambda x: nn.avg_pool(x, (window,) * 2, (stride,) * 2, "SAME", count_include_pad=False)

    @jax.jit
    def run(x):
        ours, pullback = jax.vjp(lambda x: avg_pool(x, window, stride), x)
        theirs, flax_pullback = jax.vjp(flax_pool, x)
        return (ours, pullback(theirs)[0]), (theirs, flax_pullback(theirs)[0])

    for a, b in zip(*run(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 7])
def test_depthwise_convolution_and_gradients_are_those_of_lax(kernel, stride):
    x, w = draws((2, 7, 10, 3), (kernel, kernel, 1, 3))
    cases = [
        {
            "window_strides": (stride, stride),
            "padding": [(d * (kernel // 2),) * 2] * 2,
            "rhs_dilation": (d, d),
            "feature_group_count": 3,
        }
        for d in ((1, 2) if kernel == 3 else (1,))
    ]
    for ours, lax_ in both(x, w, *cases):
        for a, b in zip(ours, lax_, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_second_derivative_of_a_depthwise_convolution():
    x, w, v = draws((2, 5, 5, 3), (3, 3, 1, 3), (3, 3, 1, 3))

    def product(convolution):
        def loss(w):
            return jnp.sin(convolution(x, w, (1, 1), [(1, 1)] * 2, dimension_numbers=NHWC, feature_group_count=3)).sum()

        return jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w), v))(w)

    ours, lax_ = jax.jit(lambda: (product(conv_general_dilated), product(lax.conv_general_dilated)))()
    np.testing.assert_allclose(ours, lax_, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_second_derivative_of_a_convolution_inside_a_loop(groups):
    x, w, v = draws((2, 5, 5, 3), (4, 3, 3, 3 // groups, 3), (4, 3, 3, 3 // groups, 3))
    w *= 0.3  # or the chain of sines is chaos
    options = {"padding": [(1, 1)] * 2, "dimension_numbers": NHWC, "feature_group_count": groups}

    def product(convolution):
        layer = lambda x, w: (jnp.sin(convolution(x, w, (1, 1), **options)), None)
        loss = lambda w: (lax.scan(layer, x, w)[0] ** 2).sum()
        return jax.jit(jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w), v)))(w)

    ours, lax_ = product(conv_general_dilated), product(lax.conv_general_dilated)
    np.testing.assert_allclose(ours, lax_, atol=1e-5 * float(jnp.abs(lax_).max()))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5, 7])
def test_max_pool_is_that_of_lax(window, stride):
    x = draws((2, 6, 7, 3))[0]
    expected = lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), "SAME")
    np.testing.assert_array_equal(max_pool(x, window, stride), expected)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_networks_side_by_side_are_matrix_products_and_no_grouped_convolution(platform):
    x, kernels = draws((5, 2, 7, 10, 3), (5, 3, 3, 3, 4))
    options = {"window_strides": (2, 2), "padding": "SAME"}
    ours = lambda x, w: with_gradients(conv_general_dilated, x, w, **options)
    beside = jax.vmap(execution(platform=platform, side_by_side=True)(ours))
    alone = jax.vmap(lambda x, w: with_gradients(lax.conv_general_dilated, x, w, **options))
    for a, b in zip(*jax.jit(lambda: (beside(x, kernels), alone(x, kernels)))(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(beside)(x, kernels))


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_elsewhere_than_on_the_cpu_a_network_alone_runs_the_convolutions_of_xla(platform):
    x, w = draws((2, 7, 10, 3), (3, 3, 3, 4))
    options = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NHWC}
    with execution(platform=platform):
        assert "conv_general_dilated" in str(jax.make_jaxpr(lambda x, w: conv_general_dilated(x, w, **options))(x, w))
