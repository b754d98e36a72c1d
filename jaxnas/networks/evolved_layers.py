"""Layers of the Evolved Transformer's branches: convolutions of sequences, attention, a gated linear unit.

Each is called with `(Inputs, train)`. Widths are prefixes of the largest: what a layer reads is 0 where it is not
there, and what it gives is cut by who asked for it, so that one program serves every width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks.attention_mixers import Attention, CrossAttention
from jaxnas.networks.choice import Options
from jaxnas.networks.inference import differentiated_once
from jaxnas.networks.initializers import normal
from jaxnas.networks.mixers import Memory, Sizes
from jaxnas.spaces._evolved_genome import ATTEND, DEAD, IDENTITY
from jaxnas.spaces._evolved_transformer import layer_of

ACTIVATIONS: dict[str, Callable] = {
    "swish": differentiated_once(nn.silu),
    "relu": nn.relu,
    "leaky_relu": partial(nn.leaky_relu, negative_slope=0.2),
    "none": lambda x: x,
}


class Inputs(NamedTuple):
    """What a layer sees.

    Attributes:
      x: `[B, T, W]`.
      keep: `[B, T]`, 0 where a position is padding; None where none is.
      width: how many of W are there; None for all.
      memory: what an encoder says, for a decoder.
    """

    x: chex.Array
    keep: chex.Array | None
    width: chex.Array | None
    memory: Memory | None


class Layer(nn.Module):
    """What the layers have in common.

    Attributes:
      features: of the output.
      size: to which the output is padded by 0, so that it is as wide as those of other layers.
      width: of the network, by which kernels are drawn.
      causal: whether positions see what comes before them alone.
    """

    features: int
    size: int
    width: int
    causal: bool
    finite = True

    def padded(self, y):
        return y if y.shape[-1] == self.size else jnp.pad(y, [(0, 0), (0, 0), (0, self.size - y.shape[-1])])

    def dense(self, name: str) -> nn.Dense:
        return nn.Dense(self.features, kernel_init=normal(self.width**-0.5), name=name)

    def convolved(self, x, kernel):
        """`x` `[B, T, W]` by `[k, W or 1, features]`; with one channel in the middle, each of W by itself."""
        k = len(kernel)
        pad = (k - 1, 0) if self.causal else (k // 2, k // 2)
        groups = x.shape[-1] // kernel.shape[1]
        own = partial(conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)
        return own(x[:, None], kernel[None].astype(x.dtype), (1, 1), ((0, 0), pad))[:, 0]


class Conv(Layer):
    """A convolution over `span` positions."""

    span: int = 1

    @nn.compact
    def __call__(self, inputs: Inputs, train: bool):
        x, shape = inputs.x, (self.span, inputs.x.shape[-1], self.features)
        kernel = self.param("kernel", normal((self.span * self.width) ** -0.5), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = x @ kernel[0].astype(x.dtype) if self.span == 1 else self.convolved(x, kernel)
        return self.padded(y + bias.astype(x.dtype))


class Separable(Layer):
    """A convolution of each channel by itself, then one of a single position."""

    span: int = 3

    @nn.compact
    def __call__(self, inputs: Inputs, train: bool):
        x = inputs.x
        taps = self.param("taps", normal(self.span**-0.5), (self.span, 1, x.shape[-1]))
        return self.padded(self.dense("output")(self.convolved(x, taps)))


class Lightweight(Layer):
    """The same with kernels that are weights of a mean, one for each `reduction` channels (Wu et al., 2019)."""

    span: int = 3
    reduction: int = 1

    @nn.compact
    def __call__(self, inputs: Inputs, train: bool):
        x, W = inputs.x, inputs.x.shape[-1]
        logits = self.param("taps", normal(1.0), (self.span, -(-W // self.reduction)))
        taps = jnp.repeat(jax.nn.softmax(logits, 0), self.reduction, 1)[:, None, :W]
        return self.padded(self.dense("output")(self.convolved(x, taps)))


class GatedLinearUnit(Layer):
    """A product of two matrices' outputs, of which a sigmoid makes one a gate (Dauphin et al., 2017)."""

    @nn.compact
    def __call__(self, inputs: Inputs, train: bool):
        return self.padded(self.dense("value")(inputs.x) * nn.sigmoid(self.dense("gate")(inputs.x)))


class Attending(Layer):
    """Attention of as many features as it reads, to the sequence itself or, where `cross`, to an encoder's."""

    heads: int = 8
    cross: bool = False

    @nn.compact
    def __call__(self, inputs: Inputs, train: bool):
        x, keep, width, memory = inputs
        size = x.shape[-1] // self.heads
        of = {"heads": self.heads, "groups": self.heads, "head_size": size, "deviation": self.width**-0.5}
        sizes = Sizes(head_size=None if width is None else (jnp.arange(size) * self.heads < width).astype(x.dtype))
        if self.cross:
            given = (x, memory, (0, (1,)), sizes)
            return self.padded(CrossAttention(self.features, **of, name="attention")(given, train))
        attention = Attention(self.features, **of, causal=self.causal, name="attention")
        return self.padded(attention((x, keep, sizes, None), train))


class Identity(Layer):
    """Its input."""

    def __call__(self, inputs: Inputs, train: bool):
        return inputs.x


class Dead(Layer):
    """A branch that is not there."""

    def __call__(self, inputs: Inputs, train: bool):
        return jnp.zeros((*inputs.x.shape[:2], self.size), inputs.x.dtype)


def factories(layers: tuple[str, ...], heads: int, **common) -> Options:
    """Name -> factory of each of `layers`; `heads` are those of attention to the encoder."""

    def factory(name: str) -> Callable[..., nn.Module]:
        kind, sizes = layer_of(name)
        if name == ATTEND:
            return partial(Attending, heads=heads, cross=True)
        if kind == "attention":
            return partial(Attending, heads=sizes[0])
        if kind == "lightweight":
            return partial(Lightweight, span=sizes[0], reduction=sizes[1])
        if kind in ("conv", "separable"):
            return partial(Conv if kind == "conv" else Separable, span=sizes[0])
        return {"glu": GatedLinearUnit, IDENTITY: Identity, DEAD: Dead}[name]

    return Options({name: partial(factory(name), **common) for name in layers})
