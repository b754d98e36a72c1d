"""A transformer whose every layer is a choice: of tokens, of numbers, of images in patches."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.networks.choice import Choice, Decision, Gated, check_decisions, exists, is_static, joint, opened, width
from jaxnas.networks.inference import computed_once, differentiated_once
from jaxnas.networks.initializers import normal
from jaxnas.networks.mixers import (
    Attention,
    CrossAttention,
    Memory,
    Nothing,
    Position,
    Recurrence,
    Sizes,
    count,
    masked,
)
from jaxnas.spaces._transformer import decisions_of, factors

ACTIVATIONS: dict[str, Callable] = {
    "gelu": differentiated_once(nn.gelu),
    "relu": nn.relu,
    "relu2": lambda x: jnp.square(nn.relu(x)),
    "swiglu": differentiated_once(nn.silu),
    "geglu": differentiated_once(nn.gelu),
}


FACTORS = ("mixers", "heads", "groups", "head_sizes", "ratios", "activations", "norms", "places", "widths")
"""Attributes that are options, of which there is one at least."""


class FeedForward(nn.Module):
    """Each position by itself, called with `((x, hidden mask, width mask), train)`."""

    width: int
    hidden: int
    activation: str
    deviation: float
    finite = True

    @nn.compact
    def __call__(self, inputs, train: bool):
        x, inner, outer = inputs
        x = computed_once(x)
        dense = partial(nn.Dense, use_bias=False, kernel_init=normal(self.deviation))
        h = ACTIVATIONS[self.activation](dense(self.hidden, name="up")(x))
        if self.activation.endswith("glu"):
            h = h * dense(self.hidden, name="gate")(x)
        return masked(dense(self.width, name="down")(masked(h, inner)), outer)


class NoFeedForward(nn.Module):
    """In place of one that is not there."""

    finite = True

    @nn.compact
    def __call__(self, inputs, train: bool):
        return jnp.zeros_like(inputs[0])


class Norm(nn.Module):
    """RMS normalization, or with `layer` (0 to 1) layer normalization, of the features that `there` masks."""

    @nn.compact
    def __call__(self, x, layer: chex.Array | float, there: chex.Array | None):
        D, y = x.shape[-1], x.astype(jnp.float32)
        size, always_rms = count(there, D), isinstance(layer, float) and layer == 0
        if not always_rms:
            y = masked(y - layer * y.sum(-1, keepdims=True) / size, there)
        y = y * jax.lax.rsqrt(jnp.square(y).sum(-1, keepdims=True) / size + 1e-6)
        y = y * self.param("scale", nn.initializers.ones, (D,))
        if not always_rms:
            y = y + layer * self.param("bias", nn.initializers.zeros, (D,))
        return masked(y, there).astype(x.dtype)


class Layer(NamedTuple):
    """What is decided of one layer; decisions of any kind."""

    there: Decision
    mixer: Decision
    heads: Decision
    groups: Decision
    head_size: Decision
    ratio: Decision
    activation: Decision
    norm: Decision
    place: Decision
    sources: Decision = 0


class Transformer(nn.Module):
    """Embedding, layers of a mixer and a feed-forward network, norm, head; called with `(decisions, x, train)`.

    Inputs are tokens `[B, T]` of a vocabulary, numbers `[B, T, C]`, or images `[B, H, W, C]`, cut into patches. Outputs
    are `[B, T, classes]`, or `[B, classes]` of the mean over positions where `each` is false. With as many
    classes as tokens, the head is the embedding transposed. Widths, heads, head sizes and hidden features are prefixes
    of the largest, so that one program serves all choices.

    Attributes:
      layers, mixers, heads, groups, head_sizes, ratios, activations, norms, places, widths, depths, sources: those of
        `spaces.transformer`.
      classes: outputs; 0 for an encoder, which gives a `Memory` in their place.
      vocabulary: number of tokens, by default as many as classes; 0 where inputs are no tokens.
      each: whether there is an output for each position.
      causal: whether positions see what comes before them alone.
      window: positions that the mixer "window" sees.
      patch: pixels of a patch's side.
      padding: the token that is none; None where all count.
      length: the longest sequence.
    """

    layers: int = 4
    mixers: Sequence[str] = ("attention",)
    heads: Sequence[int] = (4,)
    groups: Sequence[int] = (4,)
    head_sizes: Sequence[int] = (32,)
    ratios: Sequence[float] = (4,)
    activations: Sequence[str] = ("gelu",)
    norms: Sequence[str] = ("rms",)
    places: Sequence[str] = ("pre",)
    widths: Sequence[int] = (128,)
    depths: Sequence[int] = ()
    sources: Sequence[int] = ()
    classes: int = 256
    vocabulary: int | None = None
    each: bool = True
    causal: bool = True
    window: int = 64
    patch: int = 4
    padding: int | None = None
    length: int = 8192

    def __post_init__(self):
        for field in (*FACTORS, "sources"):
            setattr(self, field, tuple(check.sequence(field, getattr(self, field))))  # a config's lists have no hash
        self.depths = tuple(check.sequence("depths", self.depths)) or (self.layers,)
        self._options()
        check.integer("classes", self.classes, least=0)
        for field in ("window", "patch", "length"):
            check.integer(field, getattr(self, field), least=1)
        self.vocabulary = self.classes if self.vocabulary is None else self.vocabulary
        check.integer("vocabulary", self.vocabulary, least=0)
        if 0 < self.vocabulary < self.classes and self.each:
            raise InputError(f"vocabulary: expected the task's {self.classes} tokens at least, got {self.vocabulary}.")
        if not self.causal and {"delta", "ssm"} & set(self.mixers):
            raise InputError("mixers: 'delta' and 'ssm' see what comes before a position alone; causal=False has none.")
        super().__post_init__()

    def _options(self) -> dict[str, tuple[Any, ...]]:
        given = {name: getattr(self, name) for name in FACTORS}
        return factors(self.layers, **given, depths=self.depths, sources=self.sources)

    def named(self) -> dict[str, Sequence[Any]]:
        """What is left to decide -> its options."""
        return decisions_of(self.layers, self._options())

    def chosen(self, decisions: Mapping[str, Decision]) -> tuple[Decision, list[Layer]]:
        """The decision of width, and those of each layer; 0 where nothing is left to decide.

        Raises:
          InputError: decisions of another space.
        """
        options = self._options()
        check_decisions(decisions, self.named(), "options")
        own = [factor for factor in options if factor not in ("width", "depth")]
        # Only a mixer that is not there spares anything: the gates of the others need not be conditionals.
        of = lambda name: decisions.get(name, 0) if name.endswith("mixer") else opened(decisions.get(name, 0))
        layers = [
            Layer(exists(of("depth"), self.depths, i), **{factor: of(f"layer_{i}_{factor}") for factor in own})
            for i in range(self.layers)
        ]
        return of("width"), layers

    @property
    def deviation(self) -> float:
        """Of kernels in the beginning: one over the root of the largest width, whatever the one that is chosen."""
        return max(self.widths) ** -0.5

    @nn.compact
    def __call__(self, decisions, x, train: bool, at: Position | None = None, memory: Memory | None = None):
        """Outputs; with `at`, of the one position `[B, 1]` after those in the collection "cache", see `decoder`; where
        there are `sources`, of what attends to an encoder's `memory`."""
        if (memory is None) == bool(self.sources):
            raise InputError("memory: expected an encoder's where the network has sources, and only there.")
        every, layers = self.chosen(decisions)
        features, there = _prefix(every, self.widths)
        embedding, keep = None, None
        if self.vocabulary:
            embedding = nn.Embed(self.vocabulary, features, embedding_init=normal(self.deviation), name="embedding")
            keep = None if self.padding is None else (tokens(x, self.vocabulary) != self.padding).astype(jnp.float32)
            x = masked(embedding(tokens(x, self.vocabulary)), there)
        else:
            x = masked(
                nn.Dense(features, kernel_init=normal(self.deviation), name="embedding")(self._positions(x)), there
            )
        if x.shape[1] > self.length:
            raise InputError(f"length: the network is for {self.length} positions, the inputs have {x.shape[1]}.")
        outputs = []
        for i, layer in enumerate(layers):
            apply = lambda module, x, i=i, layer=layer: module._layer(i, layer, every, x, keep, at, memory, train)
            x = (nn.remat(apply) if current().platform == "tpu" else apply)(self, x)
            outputs.append(x)
            self.sow("intermediates", f"layer_{i}", x)  # for who learns from them
        norm = Norm(name="norm")
        if not self.classes:
            return Memory([norm(x, 0.0, there) for x in _latest(outputs, decisions.get("depth", 0), self.depths)], keep)
        x = norm(x, 0.0, there)
        if not self.each:
            weight = jnp.ones(x.shape[:2]) if keep is None else keep
            x = (x * weight[..., None]).sum(1) / jnp.maximum(weight.sum(1), 1)[:, None]
        if self.each and self.vocabulary == self.classes:
            return embedding.attend(x).astype(jnp.float32)
        return nn.Dense(self.classes, kernel_init=normal(self.deviation), name="head")(x).astype(jnp.float32)

    def _positions(self, x):
        """`[B, T, C]` of numbers, or of an image's patches."""
        if x.ndim == 3:
            return x
        if x.ndim != 4 or x.shape[1] % self.patch or x.shape[2] % self.patch:
            raise InputError(
                f"inputs: expected [B, T, C], or images [B, H, W, C] that patches of {self.patch} x {self.patch} "
                f"pixels cover, got {list(x.shape)}."
            )
        B, H, W, C = x.shape
        x = x.reshape(B, H // self.patch, self.patch, W // self.patch, self.patch, C)
        return x.swapaxes(2, 3).reshape(B, -1, self.patch**2 * C)

    def _layer(self, i: int, layer: Layer, every: Decision, x, keep, at, memory, train: bool):
        """The layer, or what it is given where it is not there."""
        if is_static(layer.there) and not layer.there:
            return x
        there = _prefix(every, self.widths)[1]
        present = 1.0 if is_static(layer.there) else _number(layer.there, (0.0, 1.0))
        mixers, sizes = self.mixers_of(layer, x.shape[-1], there)
        feed_forward, hidden = self._feed_forward(layer, every, x.shape[-1])
        mixer = _unless_absent(layer.mixer, layer.there, len(mixers), list(mixers).index("none"))
        activation = _unless_absent(layer.activation, layer.there, len(feed_forward), len(feed_forward) - 1)
        kind, post = _number(layer.norm, _flags(self.norms, "layer")), _number(layer.place, _flags(self.places, "post"))

        def added(name: str, x, of: Callable):
            """The sum of x and what is made of it, normalized before or after."""
            norm = Norm(name=f"{name}_norm_{i}")
            if isinstance(post, float):
                after = norm(x + of(x), kind, there) if post else x + of(norm(x, kind, there))
            else:
                y = x + of((1 - post) * norm(x, kind, there) + post * x)
                after = (1 - post) * y + post * norm(y, kind, there)
            return after if isinstance(present, float) else x + present * (after - x)

        x = added("mixer", x, lambda x: Choice(mixers, name=f"mixer_{i}")(mixer, (x, keep, sizes, at), train))
        if memory is not None:
            cross = CrossAttention(x.shape[-1], **self._heads_of(layer), deviation=self.deviation, name=f"cross_{i}")
            of = (memory, (layer.sources, self.sources), sizes)
            x = added("cross", x, lambda x: cross((x, *of), train))
        apply = Choice(feed_forward, name=f"feed_forward_{i}")
        return added("feed_forward", x, lambda x: apply(activation, (x, hidden, there), train))

    def stand_alone_mixers(self, decisions: Mapping[str, int]) -> dict[int, tuple[str, nn.Module]]:
        """Layer -> the name of its mixer and the mixer, unbound, of the layers that are there."""
        every, layers = self.chosen(decisions)
        found = {}
        for i, layer in enumerate(layers):
            if layer.there:
                name, made = list(self.mixers_of(layer, self.widths[every])[0].items())[layer.mixer]
                found[i] = (name, made(parent=None))
        return found

    def mixers_of(
        self, layer: Layer, features: int, there: chex.Array | None = None
    ) -> tuple[dict[str, Callable[..., nn.Module]], Sizes]:
        """Options of a layer's mixer, as large as what is decided of it needs, and what of them is there."""
        common = {"width": features, "deviation": self.deviation, **self._heads_of(layer)}
        fixed = is_static(layer.heads) and is_static(layer.groups)
        grouped = None if fixed else self._grouping(layer)[: common["heads"], : common["groups"]]
        of_heads, of_size = _prefix(layer.heads, self.heads)[1], _prefix(layer.head_size, self.head_sizes)[1]
        factories = {
            "attention": partial(Attention, **common, causal=self.causal),
            "window": partial(Attention, **common, causal=self.causal, window=self.window),
            "delta": partial(Recurrence, **common, delta=True),
            "ssm": partial(Recurrence, **common, delta=False),
            "none": Nothing,
        }
        names = [*self.mixers, *(["none"] if "none" not in self.mixers else [])]
        return {name: factories[name] for name in names}, Sizes(there, of_heads, of_size, grouped)

    def _heads_of(self, layer: Layer) -> dict[str, int]:
        """How many there are of a layer's heads at most, of groups, and their size."""
        heads, head_size = _prefix(layer.heads, self.heads)[0], _prefix(layer.head_size, self.head_sizes)[0]
        groups = self.groups[layer.groups] if is_static(layer.groups) else max(self.groups)
        return {"heads": heads, "groups": min(groups, heads), "head_size": head_size}

    def _grouping(self, layer: Layer):
        """`[heads, groups]` which group each head reads, by decisions of any kind."""
        H, G = max(self.heads), max(self.groups)
        table = np.zeros((len(self.heads), len(self.groups), H, G), np.float32)
        for a, heads in enumerate(self.heads):
            for b, groups in enumerate(self.groups):
                for h in range(heads):
                    table[a, b, h, h // (heads // min(groups, heads))] = 1
        return jnp.einsum("a,b,abhg->hg", _weights(layer.heads, self.heads), _weights(layer.groups, self.groups), table)

    def _feed_forward(self, layer: Layer, every: Decision, features: int):
        """Options of a layer's feed-forward network, and the mask of its hidden features."""
        widths, of = ((features,), 0) if is_static(every) else (self.widths, every)
        hidden = [max(1, round(ratio * width)) for ratio in self.ratios for width in widths]
        most, inner = _prefix(joint(layer.ratio, of, (len(self.ratios), len(widths))), hidden)
        options = {name: partial(FeedForward, features, most, name, self.deviation) for name in self.activations}
        return {**options, "none": NoFeedForward}, inner


def _latest(outputs: Sequence[chex.Array], depth: Decision, depths: Sequence[int]) -> list[chex.Array]:
    """Outputs of the layers that are there, the last one first; before the first layer, its own again."""
    if is_static(depth):
        return list(reversed(outputs[: depths[depth]]))
    weights = _weights(opened(depth), depths)
    before = lambda i: (weight * outputs[max(d - 1 - i, 0)] for weight, d in zip(weights, depths, strict=True))
    return [sum(before(i)) for i in range(len(outputs))]


def _prefix(decision: Decision, sizes: Sequence[int]) -> tuple[int, chex.Array | None]:
    """As `width`, with None for a mask where all is there."""
    most, mask = width(decision, sizes)
    return most, None if isinstance(mask, float) else mask


def tokens(x: chex.Array, vocabulary: int) -> chex.Array:
    """Whole numbers `[B, T]`; raises `InputError` for what are none."""
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
        raise InputError(
            f"vocabulary: {vocabulary} is for tokens, whole numbers [B, T], the inputs are {x.dtype} {list(x.shape)}; "
            "vocabulary=0 is for numbers."
        )
    return x


def _flags(options: Sequence[str], which: str) -> tuple[float, ...]:
    return tuple(float(option == which) for option in options)


def _number(decision: Decision, values: Sequence[float]) -> float | chex.Array:
    """The value chosen; of weights, the mean by them."""
    if is_static(decision):
        return float(values[decision])
    table = jnp.asarray(values, jnp.float32)
    return decision @ table if jnp.ndim(decision) == 1 else table[decision]


def _weights(decision: Decision, options: Sequence[Any]) -> chex.Array:
    return decision if jnp.ndim(decision) == 1 else jax.nn.one_hot(decision, len(options), dtype=jnp.float32)


def _unless_absent(decision: Decision, there: Decision, options: int, none: int) -> Decision:
    """A decision among `options`, of which `none` is taken where the layer is not there."""
    if isinstance(decision, Gated):
        pad = lambda x: jnp.pad(x, (0, options - len(x)))
        decision = Gated(pad(decision.weights), pad(decision.gates))
        return decision if is_static(there) else _unless_absent(opened(decision), there, options, none)
    if jnp.ndim(decision) == 1 or jnp.ndim(there) == 1:
        weights = decision if jnp.ndim(decision) == 1 else jax.nn.one_hot(decision, options, dtype=jnp.float32)
        weights = jnp.pad(weights, (0, options - len(weights)))
        present = _number(there, (0.0, 1.0))
        return present * weights + (1 - present) * jnp.eye(options)[none]
    return decision if is_static(there) else jnp.where(there > 0, decision, none)
