"""A transformer whose every layer is a choice: of tokens, of numbers, of images in patches."""

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.networks.choice import Decision, check_decisions, exists, is_static, opened
from jaxnas.networks.initializers import normal
from jaxnas.networks.loop import over_modules
from jaxnas.networks.mixers import Memory, Norm, Position, masked
from jaxnas.networks.transformer_layer import Chosen, TransformerLayer, prefix, weights_of
from jaxnas.spaces._transformer import decisions_of, factors

FACTORS = ("mixers", "heads", "groups", "head_sizes", "ratios", "activations", "norms", "places", "widths")
"""Attributes that are options, of which there is one at least."""


class Transformer(nn.Module):
    """Embedding, layers of a mixer and a feed-forward network, norm, head; called with `(decisions, x, train)`.

    Inputs are tokens `[B, T]` of a vocabulary, numbers `[B, T, C]`, or images `[B, H, W, C]`, cut into patches. Outputs
    are `[B, T, classes]`, or `[B, classes]` of the mean over positions where `each` is false. Widths, heads, head sizes
    and hidden features are prefixes of the largest, so that one program serves all choices. Layers whose decisions are
    traced are compiled once, as a loop; variables are those of `layer_0`, `layer_1`, … all the same.

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
      tied: whether the head is the embedding transposed, or a matrix of its own; None for the first where there is an
        output for each position and as many classes as tokens, and else for a layer with a bias.
      base, scaling: of rotary positions, see `attention_mixers.rotated`.
      epsilon: of normalization.
      biases, qk_norm: of attention, see `attention_mixers.Attention`.
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
    tied: bool | None = None
    base: float = 10_000.0
    scaling: Sequence[float] = ()
    epsilon: float = 1e-6
    biases: bool = False
    qk_norm: bool = False

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
        if self.tied and (self.vocabulary != self.classes or not self.each):
            raise InputError("tied: expected as many classes as tokens, and an output for each position.")
        self.scaling = check.sequence("scaling", self.scaling, numbers.Real)
        if len(self.scaling) not in (0, 4):
            raise InputError(f"scaling: expected factor, low, high and length, or nothing, got {list(self.scaling)}.")
        check.real("base", self.base, least=1)
        check.real("epsilon", self.epsilon, least=0)
        recurrent = [mixer for mixer in self.mixers if mixer.partition(":")[0] in ("delta", "jet", "ssm")]
        if not self.causal and recurrent:
            raise InputError(f"mixers: {recurrent[0]!r} sees what comes before a position alone; causal=False has not.")
        super().__post_init__()

    def _options(self) -> dict[str, tuple[Any, ...]]:
        given = {name: getattr(self, name) for name in FACTORS}
        return factors(self.layers, **given, depths=self.depths, sources=self.sources)

    def named(self) -> dict[str, Sequence[Any]]:
        """What is left to decide -> its options."""
        return decisions_of(self.layers, self._options())

    def chosen(self, decisions: Mapping[str, Decision]) -> tuple[Decision, list[Chosen]]:
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
            Chosen(exists(of("depth"), self.depths, i), **{factor: of(f"layer_{i}_{factor}") for factor in own})
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
        features, there = prefix(every, self.widths)
        embedding, keep = None, None
        if self.vocabulary:
            embedding = nn.Embed(self.vocabulary, features, embedding_init=normal(self.deviation), name="embedding")
            keep = None if self.padding is None else (tokens(x, self.vocabulary) != self.padding).astype(jnp.float32)
            x = tokens(x, self.vocabulary)
            # One lookup XLA makes a slice of on GPUs, and gathers a divided table whole for it; of two it does not.
            alone = x.size == 1 and current().platform == "gpu"
            x = masked(embedding(jnp.tile(x, (1, 2)))[:, :1] if alone else embedding(x), there)
        else:
            x = masked(
                nn.Dense(features, kernel_init=normal(self.deviation), name="embedding")(self._positions(x)), there
            )
        if x.shape[1] > self.length:
            raise InputError(f"length: the network is for {self.length} positions, the inputs have {x.shape[1]}.")
        x, outputs = self._through(layers, every, x, keep, at, memory, train)
        norm = Norm(self.epsilon, name="norm")
        if not self.classes:
            return Memory([norm(x, 0.0, there) for x in _latest(outputs, decisions.get("depth", 0), self.depths)], keep)
        x = norm(x, 0.0, there)
        if not self.each:
            weight = jnp.ones(x.shape[:2]) if keep is None else keep
            x = (x * weight[..., None]).sum(1) / jnp.maximum(weight.sum(1), 1)[:, None]
        tied = self.tied
        if self.each and self.vocabulary == self.classes if tied is None else tied:
            return embedding.attend(x).astype(jnp.float32)
        head = nn.Dense(self.classes, use_bias=tied is None, kernel_init=normal(self.deviation), name="head")
        return head(x).astype(jnp.float32)

    def _through(self, layers: Sequence[Chosen], every: Decision, x, keep, at, memory, train: bool):
        """Output of the last layer, and of each, which are sown too: for who learns from them."""
        there = [i for i, chosen in enumerate(layers) if not (is_static(chosen.there) and not chosen.there)]
        rows = None if at is not None or self.is_initializing() else _rows([layers[i] for i in there])
        again = current().platform == "tpu"  # computes layers again for the gradient, whose memory is small
        if rows is None:
            outputs = []
            for i, chosen in enumerate(layers):
                apply = lambda module, x, i=i, chosen=chosen: module._layer(f"layer_{i}")(
                    chosen, every, x, keep, at, memory, train
                )
                x = (nn.remat(apply) if again else apply)(self, x) if i in there else x
                outputs.append(x)
        else:
            layer, (traced, whole) = self._layer(None), rows

            def run(x, row, variables, mutable):
                return layer.apply(variables, whole(row), every, x, keep, at, memory, train, mutable=mutable)

            apply = lambda x, row, own, mutable: jax.checkpoint(lambda *of: run(*of, mutable))(x, row, own)
            names = [f"layer_{i}" for i in there]
            made = over_modules(self, names, apply if again else run, x, traced, every=True)
            before = [x, *made]
            outputs = [before[sum(i <= last for i in there)] for last in range(len(layers))]
            x = outputs[-1]
        if self.is_mutable_collection("intermediates"):
            for i, output in enumerate(outputs):
                self.sow("intermediates", f"hidden_{i}", output)
        return x, outputs

    def _layer(self, name: str | None) -> TransformerLayer:
        """One of that name, or of none, unbound."""
        own = {f: getattr(self, f) for f in TransformerLayer.__dataclass_fields__ if f not in ("name", "parent")}
        return TransformerLayer(**own, name=name) if name else TransformerLayer(**own, parent=None)

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

    def stand_alone_mixers(self, decisions: Mapping[str, int]) -> dict[int, tuple[str, nn.Module]]:
        """Layer -> the name of its mixer and the mixer, unbound, of the layers that are there."""
        every, layers = self.chosen(decisions)
        layer, found = self._layer(None), {}
        for i, chosen in enumerate(layers):
            if chosen.there:
                name, made = list(layer.mixers_of(chosen, self.widths[every])[0].items())[chosen.mixer]
                found[i] = (name, made(parent=None))
        return found


def _rows(layers: Sequence[Chosen]) -> tuple[Any, Callable] | None:
    """What differs from layer to layer, and is decided when the program runs, as arrays `[layers, ...]`; and a function
    from a row of it to all that is decided of that layer. None where the layers are not of one structure."""
    apart = lambda chosen: {name: each for name, each in chosen._asdict().items() if not is_static(each)}
    alike = lambda chosen: {name: each for name, each in chosen._asdict().items() if is_static(each)}
    traced = [apart(chosen) for chosen in layers]
    if len(layers) < 2 or not traced[0] or any(alike(chosen) != alike(layers[0]) for chosen in layers):
        return None
    if len({jax.tree.structure(each) for each in traced}) > 1:
        return None
    rows = jax.tree.map(lambda *each: jnp.stack(each), *traced)
    return rows, lambda row: layers[0]._replace(**row)


def _latest(outputs: Sequence[chex.Array], depth: Decision, depths: Sequence[int]) -> list[chex.Array]:
    """Outputs of the layers that are there, the last one first; before the first layer, its own again."""
    if is_static(depth):
        return list(reversed(outputs[: depths[depth]]))
    weights = weights_of(opened(depth), depths)
    before = lambda i: (weight * outputs[max(d - 1 - i, 0)] for weight, d in zip(weights, depths, strict=True))
    return [sum(before(i)) for i in range(len(outputs))]


def tokens(x: chex.Array, vocabulary: int) -> chex.Array:
    """Whole numbers `[B, T]`; raises `InputError` for what are none."""
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
        raise InputError(
            f"vocabulary: {vocabulary} is for tokens, whole numbers [B, T], the inputs are {x.dtype} {list(x.shape)}; "
            "vocabulary=0 is for numbers."
        )
    return x
