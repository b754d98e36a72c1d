"""What the mixers of a transformer have in common: what each is called with, what it remembers, how it is normalized.

A mixer lets positions of a sequence see each other: attention (`attention_mixers`), a linear recurrence
(`recurrent_mixers`), or nothing. Each is called on a whole sequence, `mixer((x, keep, sizes, None), train)`, or to
decode on one position, with what it knows of those before in the collection "cache": a state of fixed size that
`state(batch, length)` makes. Heads, key-value groups and head size are prefixes of the largest: `Sizes` says by masks
what of them is there, so that one program serves every choice.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks.initializers import normal


class Position(NamedTuple):
    """Of the token that is decoded.

    Attributes:
      at: its place, from 0.
      length: of the longest sequence, for a state that has to be made.
    """

    at: chex.Array
    length: int = 1


class Memory(NamedTuple):
    """What an encoder says of its inputs.

    Attributes:
      layers: outputs `[B, S, width]` of its layers, of those that are there, the last one first.
      keep: `[B, S]`, 0 where a position is padding; None where none is.
    """

    layers: Sequence[chex.Array]
    keep: chex.Array | None


class Sizes(NamedTuple):
    """What of a mixer is there, by masks of 0 and 1; None for all.

    Attributes:
      width: `[width]`, of the output.
      heads: `[heads]`.
      head_size: `[head_size]`.
      groups: `[heads, groups]`, which group of keys and values each head reads; None where it is fixed.
    """

    width: chex.Array | None = None
    heads: chex.Array | None = None
    head_size: chex.Array | None = None
    groups: chex.Array | None = None


def masked(x: chex.Array, mask: chex.Array | None) -> chex.Array:
    """`x` where its last axis is there."""
    return x if mask is None else x * mask.astype(x.dtype)


def count(mask: chex.Array | None, whole: int) -> chex.Array | float:
    """How many are there."""
    return float(whole) if mask is None else mask.sum()


class Norm(nn.Module):
    """RMS normalization, or with `layer` (0 to 1) layer normalization, of the features that `there` masks."""

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x, layer: chex.Array | float = 0.0, there: chex.Array | None = None):
        D, y = x.shape[-1], x.astype(jnp.float32)
        size, always_rms = count(there, D), isinstance(layer, float) and layer == 0
        if not always_rms:
            y = masked(y - layer * y.sum(-1, keepdims=True) / size, there)
        y = y * jax.lax.rsqrt(jnp.square(y).sum(-1, keepdims=True) / size + self.epsilon)
        y = y * self.param("scale", nn.initializers.ones, (D,))
        if not always_rms:
            y = y + layer * self.param("bias", nn.initializers.zeros, (D,))
        return masked(y, there).astype(x.dtype)


def by_head(features: tuple[int, int], deviation: float, name: str, bias: bool = False) -> nn.DenseGeneral:
    """Of each position `[heads, size]`."""
    return nn.DenseGeneral(features, use_bias=bias, kernel_init=normal(deviation), name=name)


def joined_heads(width: int, deviation: float, name: str) -> nn.DenseGeneral:
    """Of `[heads, size]` of each position, `[width]`."""
    return nn.DenseGeneral(width, axis=(-2, -1), use_bias=False, kernel_init=normal(deviation), name=name)


def remembered(mixer: nn.Module, x, at: Position) -> Any:
    """The mixer's state, which is made where it is not there yet."""
    if not mixer.has_variable("cache", "state"):
        mixer.put_variable("cache", "state", mixer.state(len(x), at.length, x.dtype))
    return mixer.get_variable("cache", "state")


def remember(mixer: nn.Module, state: Any) -> None:
    if mixer.is_mutable_collection("cache"):
        mixer.put_variable("cache", "state", state)


def of_heads(y, sizes: Sizes):
    return y if sizes.heads is None else y * sizes.heads[:, None].astype(y.dtype)


class Nothing(nn.Module):
    """Positions do not see each other."""

    finite = True

    def __call__(self, inputs, train: bool):
        return jnp.zeros_like(inputs[0])

    def state(self, batch: int, length: int, dtype: jnp.dtype = jnp.float32) -> Any:
        """None is needed."""
        return {}
