"""Primitive operations, as Flax modules called with `(x, train)`. Images are `[B, H, W, channels]`."""

import flax.linen as nn
import jax.numpy as jnp

from jaxnas.networks.conv import conv_general_dilated
from jaxnas.networks.norm import BatchNorm


def conv(features: int, kernel: int = 3, stride: int = 1, *, dilation: int = 1, groups: int = 1, dtype=None, name=None):
    """A square `flax.linen.Conv` without bias, padded by half the kernel, on the fastest path of the backend."""
    half = dilation * (kernel // 2)
    return nn.Conv(
        features,
        (kernel, kernel),
        (stride, stride),
        padding=[(half, half)] * 2,
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=False,
        dtype=dtype,
        conv_general_dilated=conv_general_dilated,
        name=name,
    )


def avg_pool(x, window: int, stride: int = 1):
    """Mean over the window's pixels inside the image; `[B, H, W, C]` to `[B, ceil(H / stride), ceil(W / stride), C]`.

    Written as sums of shifted views, one axis at a time: XLA:CPU's window reductions are slow, their gradients more.
    """
    count = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    for axis in (1, 2):
        x, count = (_window_sum(a, axis, window, stride) for a in (x, count))
    return x / count


def _window_sum(x, axis: int, window: int, stride: int):
    size = -(-x.shape[axis] // stride)
    reach = (size - 1) * stride + window - x.shape[axis]
    before = reach // 2
    pad = [(0, 0)] * 4
    pad[axis] = (before, reach - before)
    x = jnp.pad(x, pad)
    at = [slice(None)] * 4
    total = 0
    for i in range(window):
        at[axis] = slice(i, i + (size - 1) * stride + 1, stride)
        total = total + x[tuple(at)]
    return total


class Zero(nn.Module):
    """No connection."""

    @nn.compact
    def __call__(self, x, train: bool):
        return jnp.zeros_like(x)


class Identity(nn.Module):
    """Skip connection."""

    @nn.compact
    def __call__(self, x, train: bool):
        return x


class AvgPool(nn.Module):
    """Average pooling; the padding does not count."""

    window: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x, train: bool):
        return avg_pool(x, self.window, self.stride)


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch normalization."""

    features: int
    kernel: int = 3
    stride: int = 1
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        x = conv(self.features, self.kernel, self.stride, dtype=self.dtype, name="conv")(nn.relu(x))
        return BatchNorm(self.dtype, name="norm")(x, train)
