"""Convolution in the form that XLA runs fastest on the platform that is said (`jaxnas.execution`).

On the CPU, XLA's own convolution is many times slower than a matrix product over shifted views once it stands inside a
loop (`lax.map` over a population, or training steps), forward and backward. Its depthwise convolution is slower still
than a sum of shifted views, inside loops and outside.

On a GPU XLA's is used, but for kernels that differ from network to network: of those vmap makes one grouped
convolution, for which cuDNN runs a kernel for each group. A matrix product over shifted views has a batch axis instead.

On a TPU XLA's is used, but for depthwise ones of few channels: with a diagonal kernel, as dense ones, they fill its
matrix unit.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax

from jaxnas.execution import current
from jaxnas.networks.inference import infers

NHWC = ("NHWC", "HWIO", "NHWC")
DIAGONAL = 32
"""Channels up to which a depthwise convolution is a dense one on a TPU."""


def conv_general_dilated(
    lhs: chex.Array,
    rhs: chex.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
    **options,
) -> chex.Array:
    """`lax.conv_general_dilated`, to be handed to `flax.linen.Conv(conv_general_dilated=...)`.

    Args and results are those of the original. On the CPU, 2-D convolutions of NHWC images run over shifted views:
    ungrouped ones as one matrix product, depthwise ones as a sum. So do ungrouped ones of networks side by side on a
    GPU.
    """
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    depthwise = feature_group_count == lhs.shape[-1] == rhs.shape[-1] > 1
    plain = (
        lhs.ndim == 4
        and (feature_group_count == 1 or depthwise)
        and numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, NHWC)
        and set(lhs_dilation or (1,)) == {1}
        and all(option is None for option in options.values())
    )
    if plain and depthwise and current().platform == "tpu" and lhs.shape[-1] <= DIAGONAL:
        rhs, feature_group_count = rhs * jnp.eye(lhs.shape[-1], dtype=rhs.dtype), 1
    if not plain or not _by_views(depthwise):
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
            feature_group_count=feature_group_count, precision=precision, **options,
        )  # fmt: skip
    strides, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
    if isinstance(padding, str):
        span = [d * (k - 1) + 1 for k, d in zip(rhs.shape, dilation, strict=False)]
        padding = lax.padtype_to_pads(lhs.shape[1:3], span, strides, padding)
    lhs = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    return _depthwise(strides, dilation, lhs, rhs[:, :, 0]) if depthwise else _dense(strides, dilation, lhs, rhs)


def _by_views(depthwise: bool) -> bool:
    """Whether a convolution runs over shifted views, and not as XLA's own; see the module."""
    if current().platform == "cpu":
        return depthwise or not infers()
    return current().platform == "gpu" and current().side_by_side and not depthwise


# Traced once for each shape, however many layers share it.
@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _dense(strides, dilation, x, kernel):
    """Convolution of padded images `[B, H, W, I]` with `[h, w, I, O]`."""
    views = _views(strides, dilation, kernel.shape[:2], x)
    y = views.reshape(-1, views.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return y.reshape(*views.shape[:3], -1)


def _views(strides, dilation, window, x):
    """What each tap of a kernel sees of `x`, beside each other: `[B, H, W, h * w * I]`."""
    (h, w), (rows, columns), (down, across) = window, strides, dilation
    return jnp.concatenate([_column(v, j, w, columns, across) for v in _rows(x, h, rows, down) for j in range(w)], -1)


def _dense_forward(strides, dilation, x, kernel):
    # The views are made again for the gradient: nine times less to keep, which in a loop has to be copied.
    return _dense(strides, dilation, x, kernel), (x, kernel)


def _dense_backward(strides, dilation, residuals, g):
    x, kernel = residuals
    views, pullback = jax.vjp(partial(_views, strides, dilation, kernel.shape[:2]), x)
    g = g.reshape(-1, g.shape[-1])
    # XLA:CPU is faster with g^T @ views than with views^T @ g, and without the barrier turns the one into the other.
    flat = views.reshape(-1, views.shape[-1])
    gradient = lax.optimization_barrier(lax.dot_general(g, flat, (((0,), (0,)), ((), ()))))
    to_views = g @ kernel.reshape(-1, kernel.shape[-1]).T
    return pullback(to_views.reshape(views.shape))[0], gradient.T.reshape(kernel.shape)


_dense.__wrapped__.defvjp(_dense_forward, _dense_backward)


def _out(n: int, window: int, stride: int, dilation: int) -> int:
    return (n - dilation * (window - 1) - 1) // stride + 1


def _rows(x, window: int, stride: int, dilation: int) -> list:
    """What each row of a kernel sees of `x`, all columns."""
    span = (_out(x.shape[1], window, stride, dilation) - 1) * stride + 1
    return [x[:, i * dilation : i * dilation + span : stride] for i in range(window)]


def _column(x, j: int, window: int, stride: int, dilation: int):
    """What column j of a kernel sees of `x`."""
    span = (_out(x.shape[2], window, stride, dilation) - 1) * stride + 1
    return x[:, :, j * dilation : j * dilation + span : stride]


@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _depthwise(strides, dilation, x, kernel):
    """Depthwise convolution of padded images `[B, H, W, C]` with `[h, w, C]`: a loop over rows, to compile fast."""
    return _depthwise_sum(strides, dilation, x, kernel)


def _depthwise_sum(strides, dilation, x, kernel):
    B, C = x.shape[0], x.shape[-1]
    h, w, _ = kernel.shape
    H, W = (_out(n, k, s, d) for n, k, s, d in zip(x.shape[1:3], (h, w), strides, dilation, strict=True))

    def row(total, at):
        i, taps = at
        views = _flat_columns(x, i, (H, W), w, strides, dilation)
        return total + sum(view * tap for view, tap in zip(views, taps, strict=True)), None

    return lax.scan(row, jnp.zeros((B, H, W * C), x.dtype), (jnp.arange(h), jnp.tile(kernel, W)))[0].reshape(B, H, W, C)


def _flat_columns(x, i, size, w: int, strides, dilation) -> list:
    """What the w taps of kernel row `i` see of `x`: views `[B, H, W * C]`, whose last axis is long enough for SIMD."""
    (H, W), B, C = size, x.shape[0], x.shape[-1]
    x = lax.dynamic_slice_in_dim(x, i * dilation[0], (H - 1) * strides[0] + 1, 1)[:, :: strides[0]]
    planes = [x[:, :, p :: strides[1]].reshape(B, H, -1) for p in range(strides[1])]
    at = [divmod(j * dilation[1], strides[1]) for j in range(w)]
    return [planes[p][:, :, q * C : (q + W) * C] for q, p in at]


def _depthwise_forward(strides, dilation, x, kernel):
    # Not `_depthwise`: a function of its own gradient with a loop inside, differentiated twice within a loop, gets its
    # residuals mixed up (jax 0.10.1 raises a ValueError about their shapes).
    return _depthwise_sum(strides, dilation, x, kernel), (x, kernel)


def _depthwise_backward(strides, dilation, residuals, g):
    x, kernel = residuals
    h, w, _ = kernel.shape
    # To x: the same with the kernel reversed, over g with its strides opened up by zeros.
    edges = []
    for n, m, k, s, d in zip(x.shape[1:3], g.shape[1:3], (h, w), strides, dilation, strict=True):
        edges.append((d * (k - 1), n - (m - 1) * s - 1, s - 1))
    opened = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    B, H, W, C = g.shape
    flat = g.reshape(B, H, W * C)

    def row(_, i):
        views = _flat_columns(x, i, (H, W), w, strides, dilation)
        # Only a sum that is not fused with its argument is vectorized.
        products = lax.optimization_barrier([(view * flat).reshape(B * H, W * C) for view in views])
        return None, jnp.stack([product.sum(0).reshape(W, C).sum(0) for product in products])

    return _depthwise((1, 1), dilation, opened, kernel[::-1, ::-1]), lax.scan(row, None, jnp.arange(h))[1]


_depthwise.__wrapped__.defvjp(_depthwise_forward, _depthwise_backward)
