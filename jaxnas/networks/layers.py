"""Residual layers over data of any shape: vectors, sequences, images, tokens."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks.choice import Choice, Options
from jaxnas.networks.initializers import lecun_normal

dense = partial(nn.Dense, kernel_init=lecun_normal())


class Skip(nn.Module):
    """Nothing is added to the residual."""

    @nn.compact
    def __call__(self, x, train: bool):
        return jnp.zeros_like(x)


class Dense(nn.Module):
    """Each position by itself: two matrices with a nonlinearity between, or with `gate` a product of two halves."""

    features: int
    activation: Callable = nn.relu
    gate: bool = False

    @nn.compact
    def __call__(self, x, train: bool):
        h = self.activation(dense(self.features, name="up")(x))
        h = h * dense(self.features, name="gate")(x) if self.gate else h
        return dense(x.shape[-1], name="down")(h)


class Neighbourhood(nn.Module):
    """A convolution of `width` along every axis of positions, as one matrix product over shifted views, then ReLU.

    Where it is `causal`, of what comes before a position along the last axis of positions, itself included.
    """

    features: int
    width: int
    causal: bool

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.relu(dense(x.shape[-1], name="conv")(jnp.concatenate(shifted(x, self.width, self.causal), -1)))


class Average(nn.Module):
    """A matrix times the mean over all positions; where it is `causal`, over those up to each along the last axis."""

    causal: bool

    @nn.compact
    def __call__(self, x, train: bool):
        axes = tuple(range(1, x.ndim - 1))
        if self.causal and x.ndim > 2:
            count = jnp.arange(1, x.shape[-2] + 1, dtype=x.dtype)[:, None]
            mean = jnp.cumsum(x, -2) / count
        else:
            mean = jnp.broadcast_to(x.mean(axes, keepdims=True), x.shape)
        return nn.relu(dense(x.shape[-1], name="average")(mean))


def shifted(x: jax.Array, width: int, causal: bool) -> list[jax.Array]:
    """Views of `[B, ..., C]`, shifted along every axis of positions as a kernel of that width covers; 0 outside."""
    ranks = x.ndim - 2
    if not ranks:
        raise InputError(f"operation 'conv_{width}': inputs {x.shape} have no positions, which a convolution needs.")
    before = [width // 2] * (ranks - 1) + [width - 1 if causal else width // 2]
    pad = [(0, 0), *((b, width - 1 - b) for b in before), (0, 0)]
    padded, sizes = jnp.pad(x, pad), x.shape[1:-1]
    return [
        padded[(slice(None), *(slice(o, o + n) for o, n in zip(offsets, sizes, strict=True)))]
        for offsets in itertools.product(range(width), repeat=ranks)
    ]


OPERATIONS: dict[str, Callable[[int, bool], Callable[..., nn.Module]]] = {
    "identity": lambda features, causal: Skip,
    "dense": lambda features, causal: partial(Dense, features),
    "dense_gelu": lambda features, causal: partial(Dense, features, nn.gelu),
    "dense_tanh": lambda features, causal: partial(Dense, features, jnp.tanh),
    "gated": lambda features, causal: partial(Dense, features, nn.silu, gate=True),
    "conv_3": lambda features, causal: partial(Neighbourhood, features, 3, causal),
    "conv_5": lambda features, causal: partial(Neighbourhood, features, 5, causal),
    "average": lambda features, causal: partial(Average, causal),
}
"""Name -> `(features, causal) -> factory` of what is added to a residual."""


class Layers(nn.Module):
    """Embedding, layers with a normalization and a residual each, head; called with `(decisions, x, train)`.

    Inputs are `[B, ..., C]` numbers, with any number of axes of positions between, or whole numbers `[B, ...]`, which
    are tokens of a vocabulary. Outputs are `[B, classes]`, or `[B, ..., classes]` where there is one for each position.

    Attributes:
      operations: those of the space `layers`, in the same order.
      depth: number of layers.
      features: width of all layers.
      classes: outputs.
      each: whether there is an output for each position, or one for the mean over them.
      causal: whether positions see what comes before them alone, along the last axis of positions.
      vocabulary: number of tokens; 0 where inputs are no tokens.
    """

    operations: Sequence[str]
    depth: int = 4
    features: int = 32
    classes: int = 10
    each: bool = False
    causal: bool = False
    vocabulary: int = 0

    def __post_init__(self):
        for operation in check.sequence("operations", self.operations, of=str):
            check.one_of("operations", operation, OPERATIONS)
        for field in ("depth", "features", "classes"):
            check.integer(field, getattr(self, field), least=1)
        check.integer("vocabulary", self.vocabulary, least=0)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        options = Options({name: OPERATIONS[name](self.features, self.causal) for name in self.operations})
        if self.vocabulary:
            if not jnp.issubdtype(x.dtype, jnp.integer):
                raise InputError(f"vocabulary: for whole numbers, tokens, but the inputs are {x.dtype}.")
            x = nn.Embed(self.vocabulary, self.features, name="embedding")(x)
        else:
            x = dense(self.features, name="embedding")(x)
        for i in range(self.depth):
            name = f"layer_{i}"
            x = x + Choice(options, name=name)(decisions[name], nn.LayerNorm(name=f"norm_{i}")(x), train)
        x = nn.LayerNorm(name="head_norm")(x)
        if not self.each:
            x = x.mean(tuple(range(1, x.ndim - 1)), dtype=jnp.float32)
        return dense(self.classes, name="head")(x).astype(jnp.float32)
