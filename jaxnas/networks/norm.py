"""Batch normalization (Ioffe and Szegedy, 2015), with the fewest passes over the batch.

The formula of `flax.linen.BatchNorm` with its gradient by autodiff passes over the batch more often, forward and
backward. Names and meaning of the variables are flax's. Devices that share a batch (`Execution.batch_axis`) normalize
it by its statistics over all of them.
"""

from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnas.execution import current

EPSILON = 1e-5
MOMENTUM = 0.9


class BatchNorm(nn.Module):
    """Normalizes `[B, H, W, C]` over all axes but the last, by the batch in training and running averages after.

    Attributes:
      dtype: of the result, by default that of the input; statistics are float32.
      affine: whether a learned scale and bias follow.
    """

    dtype: jnp.dtype | None = None
    affine: bool = True

    @nn.compact
    def __call__(self, x, train: bool):
        C = x.shape[-1]
        shape = (C,), jnp.float32
        scale = self.param("scale", nn.initializers.ones, *shape) if self.affine else jnp.ones(*shape)
        bias = self.param("bias", nn.initializers.zeros, *shape) if self.affine else jnp.zeros(*shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, *shape)
        var = self.variable("batch_stats", "var", jnp.ones, *shape)
        dtype = self.dtype or x.dtype
        if not train:
            factor = scale * lax.rsqrt(var.value + EPSILON)
            return (x * factor + (bias - mean.value * factor)).astype(dtype)
        y, batch_mean, batch_var = normalize(
            x.astype(jnp.promote_types(x.dtype, jnp.float32)), scale, bias, current().batch_axis
        )
        if not self.is_initializing() and self.is_mutable_collection("batch_stats"):
            mean.value = (MOMENTUM * mean.value + (1 - MOMENTUM) * batch_mean).astype(jnp.float32)
            var.value = (MOMENTUM * var.value + (1 - MOMENTUM) * batch_var).astype(jnp.float32)
        return y.astype(dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(
    x: chex.Array, scale: chex.Array, bias: chex.Array, axis: str | None = None
) -> tuple[chex.Array, chex.Array, chex.Array]:
    """`(y, mean, var)` of `x` `[B, H, W, C]`; no gradient flows through the returned statistics.

    With `axis`, statistics are those of all devices along it, and so is the gradient that flows through them; that of
    `scale` and `bias` is the device's own part.
    """
    return _normalize_forward(x, scale, bias, axis)[0]


def _normalize_forward(x, scale, bias, axis):
    n = x.size // x.shape[-1] * (1 if axis is None else lax.axis_size(axis))
    total, square = _over_devices(axis, *_sums(x, x))
    mean = total / n
    var = jnp.maximum(square / n - mean * mean, 0)
    rsqrt = lax.rsqrt(var + EPSILON)
    factor = scale * rsqrt
    return (x * factor + (bias - mean * factor), mean, var), (x, scale, mean, rsqrt)


def _normalize_backward(axis, residuals, cotangents):
    x, scale, mean, rsqrt = residuals
    g = cotangents[0]
    n = x.size // x.shape[-1] * (1 if axis is None else lax.axis_size(axis))
    own = _sums(g, x)
    to_scale = lambda g, with_x: (with_x - mean * g) * rsqrt
    g_sum, with_x = _over_devices(axis, *own)
    a = scale * rsqrt
    b = -a * rsqrt * to_scale(g_sum, with_x) / n
    to_x = a * g + b * x - (a * g_sum / n + b * mean)
    return to_x.astype(x.dtype), to_scale(*own).astype(scale.dtype), own[0].astype(scale.dtype)


def _over_devices(axis, *sums):
    return sums if axis is None else lax.psum(jnp.stack(sums), axis)


def _sums(g, x):
    """Sums of `g` and of `g * x` over all axes but the last, along rows of W * C first: long vectors, few of them."""
    *_, W, C = x.shape

    def total(a):
        return a.reshape(-1, W * C).sum(0).reshape(W, C).sum(0)

    return total(g), total(g * x)


normalize.defvjp(_normalize_forward, _normalize_backward)
