"""Primitive operations, as Flax modules called with `(x, train)`. Images are `[B, H, W, channels]`.

They are `finite`: of finite inputs, with finite variables, they make finite outputs and gradients. Of an option that
does not say so, `Choice` keeps what is no number to itself where it is computed without being chosen (side by side).
"""

from collections.abc import Callable
from functools import partial, reduce

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.execution import current
from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks.inference import infers
from jaxnas.networks.initializers import lecun_normal
from jaxnas.networks.norm import BatchNorm


def conv(
    features: int,
    kernel: int | tuple[int, int] = 3,
    stride: int | tuple[int, int] = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    dtype: jnp.dtype | None = None,
    name: str | None = None,
) -> nn.Conv:
    """A `flax.linen.Conv` without bias, padded by half the kernel, on the fastest path of the backend."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv(
        features,
        kernel,
        (stride, stride) if isinstance(stride, int) else stride,
        padding=[(dilation * (k // 2),) * 2 for k in kernel],
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=False,
        dtype=dtype,
        kernel_init=lecun_normal(),
        conv_general_dilated=conv_general_dilated,
        name=name,
    )


def stride_to(x: chex.Array, size: tuple[int, int] | None) -> int:
    """The stride that takes an image `[B, H, W, C]` to `size`, 1 for None. An operation may so be applied to
    states of different resolution with the same parameters."""
    return 1 if size is None else -(-x.shape[1] // size[0])


@partial(jax.jit, static_argnums=(1, 2))
def avg_pool(x: chex.Array, window: int, stride: int = 1) -> chex.Array:
    """Mean over the window's pixels inside the image; `[B, H, W, C]` to `[B, ceil(H / stride), ceil(W / stride), C]`.

    Written as sums of shifted views but on TPUs: XLA:CPU's window reductions are slow, their gradients more.
    """
    if current().platform == "tpu":
        return _reduced(x, window, stride)
    count = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    if stride == 1 and window % 2:
        return (_banded_sum if infers() else _window_sum)(window, x) / _window_sum(window, count)
    for axis in (1, 2):
        x, count = (_over_window(jnp.add, a, axis, window, stride, 0) for a in (x, count))
    return x / count


def _reduced(x, window: int, stride: int):
    """`avg_pool` by XLA's own window reduction."""
    pads = [_padding(n, window, stride) for n in x.shape[1:3]]
    total = lambda a: jax.lax.reduce_window(
        a, a.dtype.type(0), jax.lax.add, (1, window, window, 1), (1, stride, stride, 1), [(0, 0), *pads, (0, 0)]
    )
    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def _padding(n: int, window: int, stride: int) -> tuple[int, int]:
    reach = (-(-n // stride) - 1) * stride + window - n
    return reach // 2, reach - reach // 2


def _banded_sum(window: int, x):
    """`_window_sum`, its rows summed by a matrix product: XLA:CPU does not fuse across that, where it would compute
    pools of pools again for each pixel."""
    B, H, W, C = x.shape
    reach = window // 2
    band = abs(np.arange(H)[:, None] - np.arange(H)) <= reach
    rows = jnp.broadcast_to(band.astype(x.dtype), (B, H, H)) @ x.reshape(B, H, W * C)
    rows = jnp.pad(rows, [(0, 0), (0, 0), (reach * C, reach * C)])
    return reduce(jnp.add, [rows[:, :, j * C : (j + W) * C] for j in range(window)]).reshape(x.shape)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _window_sum(window: int, x):
    """Sums over windows of odd size around each pixel: a symmetric matrix, and so its own gradient."""
    B, H, W, C = x.shape
    reach = window // 2
    flat = jnp.pad(x.reshape(B, H, W * C), [(0, 0), (reach, reach), (reach * C, reach * C)])
    views = [flat[:, i : i + H, j * C : (j + W) * C] for i in range(window) for j in range(window)]
    return reduce(jnp.add, views).reshape(x.shape)


_window_sum.defvjp(lambda window, x: (_window_sum(window, x), None), lambda window, _, g: (_window_sum(window, g),))


@partial(jax.jit, static_argnums=(1, 2))
def max_pool(x: chex.Array, window: int, stride: int = 1) -> chex.Array:
    """Maximum over the window's pixels inside the image, written as `avg_pool` is."""
    for axis in (1, 2):
        x = _over_window(jnp.maximum, x, axis, window, stride, -jnp.inf)
    return x


def _over_window(combine: Callable, x, axis: int, window: int, stride: int, fill: float):
    size = -(-x.shape[axis] // stride)
    pad = [(0, 0)] * x.ndim
    pad[axis] = _padding(x.shape[axis], window, stride)
    x = jnp.pad(x, pad, constant_values=fill)
    views = (jax.lax.slice_in_dim(x, i, i + (size - 1) * stride + 1, stride, axis) for i in range(window))
    return reduce(combine, views)


def drop_path(module: nn.Module, x: chex.Array, rate: chex.Numeric | None) -> chex.Array:
    """Each example of `x` `[B, ...]` is 0 with probability `rate`, the others are scaled to keep the mean.

    Larsson et al. (2017). Draws from the RNG `drop_path` of `module`; a rate of None drops nothing.
    """
    if rate is None:
        return x
    kept = jnp.float32(1 - rate)
    keep = jax.random.bernoulli(module.make_rng("drop_path"), kept, (x.shape[0], *[1] * (x.ndim - 1)))
    return jnp.where(keep, x / kept, 0).astype(x.dtype)


class Zero(nn.Module):
    """No connection; the image has `size`, if given."""

    size: tuple[int, int] | None = None

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        return jnp.zeros((x.shape[0], *(self.size or x.shape[1:3]), x.shape[3]), x.dtype)


class Identity(nn.Module):
    """Skip connection."""

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        return x


class AvgPool(nn.Module):
    """Average pooling to `size` (by default that of the image); the padding does not count."""

    window: int = 3
    size: tuple[int, int] | None = None

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        return avg_pool(x, self.window, stride_to(x, self.size))


class MaxPool(nn.Module):
    """Maximum pooling to `size` (by default that of the image)."""

    window: int = 3
    size: tuple[int, int] | None = None

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        return max_pool(x, self.window, stride_to(x, self.size))


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch normalization; the stride is that which takes the image to `size`, if given."""

    features: int
    kernel: int = 3
    stride: int = 1
    dtype: jnp.dtype | None = None
    dilation: int = 1
    size: tuple[int, int] | None = None
    affine: bool = True

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        stride = self.stride if self.size is None else stride_to(x, self.size)
        x = conv(self.features, self.kernel, stride, dilation=self.dilation, dtype=self.dtype, name="conv")(nn.relu(x))
        return BatchNorm(self.dtype, self.affine, name="norm")(x, train)


class Factorized(nn.Module):
    """A 1 x n and an n x 1 convolution, each behind a ReLU and before a batch normalization."""

    features: int
    kernel: int = 7
    dtype: jnp.dtype | None = None
    size: tuple[int, int] | None = None

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        stride, n = stride_to(x, self.size), self.kernel
        for name, kernel, strides in (("row", (1, n), (1, stride)), ("column", (n, 1), (stride, 1))):
            x = conv(self.features, kernel, strides, dtype=self.dtype, name=f"{name}_conv")(nn.relu(x))
            x = BatchNorm(self.dtype, name=f"{name}_norm")(x, train)
        return x


class SepConv(nn.Module):
    """Twice: ReLU, depthwise convolution, 1 x 1 convolution, batch normalization (as in NASNet)."""

    features: int
    kernel: int = 3
    dtype: jnp.dtype | None = None
    size: tuple[int, int] | None = None
    affine: bool = True

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        for i in range(2):
            C, stride = x.shape[-1], stride_to(x, self.size)
            x = conv(C, self.kernel, stride, groups=C, dtype=self.dtype, name=f"depthwise_{i}")(nn.relu(x))
            x = conv(self.features, 1, dtype=self.dtype, name=f"pointwise_{i}")(x)
            x = BatchNorm(self.dtype, self.affine, name=f"norm_{i}")(x, train)
        return x


class DilConv(nn.Module):
    """ReLU, depthwise convolution of dilation 2, 1 x 1 convolution, batch normalization (as in DARTS)."""

    features: int
    kernel: int = 3
    dtype: jnp.dtype | None = None
    size: tuple[int, int] | None = None
    affine: bool = True

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        C, stride = x.shape[-1], stride_to(x, self.size)
        x = conv(C, self.kernel, stride, dilation=2, groups=C, dtype=self.dtype, name="depthwise")(nn.relu(x))
        x = conv(self.features, 1, dtype=self.dtype, name="pointwise")(x)
        return BatchNorm(self.dtype, self.affine, name="norm")(x, train)


class FactorizedReduce(nn.Module):
    """ReLU and halving without loss of what lies between the strides, batch normalization (as in DARTS).

    Half of the features come from the even pixels, half from the odd ones, by a 1 x 1 convolution each.
    """

    features: int
    dtype: jnp.dtype | None = None
    affine: bool = True

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(x)
        odd = jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)])[:, 1::2, 1::2]
        half = self.features // 2
        even = conv(half, 1, dtype=self.dtype, name="even")(x[:, ::2, ::2])
        odd = conv(self.features - half, 1, dtype=self.dtype, name="odd")(odd)
        return BatchNorm(self.dtype, self.affine, name="norm")(jnp.concatenate([even, odd], -1), train)


class Skip(nn.Module):
    """Identity where the image has `size` already, else a strided 1 x 1 `ReLUConvBN`."""

    features: int
    dtype: jnp.dtype | None = None
    size: tuple[int, int] | None = None

    finite = True

    @nn.compact
    def __call__(self, x, train: bool):
        if stride_to(x, self.size) == 1:
            return x
        return ReLUConvBN(self.features, 1, dtype=self.dtype, size=self.size, name="strided")(x, train)
