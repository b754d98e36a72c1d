"""One layer of a transformer: a mixer and a feed-forward network, each a choice, and what is added around them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.networks.attention_mixers import Attention, CrossAttention
from jaxnas.networks.choice import Choice, Decision, Gated, is_static, joint, opened, width
from jaxnas.networks.inference import computed_once, differentiated_once
from jaxnas.networks.initializers import normal
from jaxnas.networks.mixers import Norm, Nothing, Position, Sizes, masked
from jaxnas.networks.recurrent_mixers import Recurrence
from jaxnas.spaces._transformer import mixer_of

ACTIVATIONS: dict[str, Callable] = {
    "gelu": differentiated_once(nn.gelu),
    "relu": nn.relu,
    "relu2": lambda x: jnp.square(nn.relu(x)),
    "swiglu": differentiated_once(nn.silu),
    "geglu": differentiated_once(nn.gelu),
}


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
        activation, h = ACTIVATIONS[self.activation], dense(self.hidden, name="up")(x)
        gated = self.activation.endswith("glu")
        h = h * activation(dense(self.hidden, name="gate")(x)) if gated else activation(h)
        return masked(dense(self.width, name="down")(masked(h, inner)), outer)


class NoFeedForward(nn.Module):
    """In place of one that is not there."""

    finite = True

    @nn.compact
    def __call__(self, inputs, train: bool):
        return jnp.zeros_like(inputs[0])


class Chosen(NamedTuple):
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


class TransformerLayer(nn.Module):
    """Called with `(chosen, every, x, keep, at, memory, train)`: what is decided of it, and of the width of all layers.

    Attributes: those of `Transformer` of the same names, and `deviation`, the standard deviation of kernels in the
    beginning.
    """

    mixers: Sequence[str]
    heads: Sequence[int]
    groups: Sequence[int]
    head_sizes: Sequence[int]
    ratios: Sequence[float]
    activations: Sequence[str]
    norms: Sequence[str]
    places: Sequence[str]
    widths: Sequence[int]
    sources: Sequence[int]
    causal: bool
    window: int
    base: float
    scaling: Sequence[float]
    epsilon: float
    biases: bool
    qk_norm: bool
    deviation: float

    @nn.compact
    def __call__(self, chosen: Chosen, every: Decision, x, keep, at: Position | None, memory, train: bool):
        there = prefix(every, self.widths)[1]
        present = 1.0 if is_static(chosen.there) else number(chosen.there, (0.0, 1.0))
        mixers, sizes = self.mixers_of(chosen, x.shape[-1], there)
        feed_forward, hidden = self._feed_forward(chosen, every, x.shape[-1])
        mixer = _unless_absent(chosen.mixer, chosen.there, len(mixers), list(mixers).index("none"))
        activation = _unless_absent(chosen.activation, chosen.there, len(feed_forward), len(feed_forward) - 1)
        kind, post = number(chosen.norm, _flags(self.norms, "layer")), number(chosen.place, _flags(self.places, "post"))

        def added(name: str, x, of: Callable):
            """The sum of x and what is made of it, normalized before or after."""
            norm = Norm(self.epsilon, name=f"{name}_norm")
            if isinstance(post, float):
                after = norm(x + of(x), kind, there) if post else x + of(norm(x, kind, there))
            else:
                y = x + of((1 - post) * norm(x, kind, there) + post * x)
                after = (1 - post) * y + post * norm(y, kind, there)
            return after if isinstance(present, float) else x + present * (after - x)

        x = added("mixer", x, lambda x: Choice(mixers, name="mixer")(mixer, (x, keep, sizes, at), train))
        if memory is not None:
            cross = CrossAttention(x.shape[-1], **self._heads_of(chosen), deviation=self.deviation, name="cross")
            of = (memory, (chosen.sources, self.sources), sizes)
            x = added("cross", x, lambda x: cross((x, *of), train))
        apply = Choice(feed_forward, name="feed_forward")
        return added("feed_forward", x, lambda x: apply(activation, (x, hidden, there), train))

    def mixers_of(
        self, chosen: Chosen, features: int, there: chex.Array | None = None
    ) -> tuple[dict[str, Callable[..., nn.Module]], Sizes]:
        """Options of the mixer, as large as what is decided of it needs, and what of them is there."""
        common = {"width": features, "deviation": self.deviation, **self._heads_of(chosen)}
        fixed = is_static(chosen.heads) and is_static(chosen.groups)
        grouped = None if fixed else self._grouping(chosen)[: common["heads"], : common["groups"]]
        of_heads, of_size = prefix(chosen.heads, self.heads)[1], prefix(chosen.head_size, self.head_sizes)[1]
        rotary = {name: getattr(self, name) for name in ("base", "scaling", "biases", "qk_norm", "epsilon")}
        attention = partial(Attention, **common, causal=self.causal, **rotary)
        factories = {
            "attention": attention,
            "window": partial(attention, window=self.window),
            "delta": partial(Recurrence, **common, delta=True),
            "jet": partial(Recurrence, **common, delta=True, dynamic=True),
            "ssm": partial(Recurrence, **common, delta=False),
            "none": Nothing,
        }
        options = [*self.mixers, *(["none"] if "none" not in self.mixers else [])]
        made = {}
        for option in options:
            kind, own = mixer_of(option)
            if kind == "ssm" and own:
                own["groups"] = own["heads"]
            made[option] = partial(factories[kind], **own)
        return made, Sizes(there, of_heads, of_size, grouped)

    def _heads_of(self, chosen: Chosen) -> dict[str, int]:
        """How many there are of the heads at most, of groups, and their size."""
        heads, head_size = prefix(chosen.heads, self.heads)[0], prefix(chosen.head_size, self.head_sizes)[0]
        groups = self.groups[chosen.groups] if is_static(chosen.groups) else max(self.groups)
        return {"heads": heads, "groups": min(groups, heads), "head_size": head_size}

    def _grouping(self, chosen: Chosen):
        """`[heads, groups]` which group each head reads, by decisions of any kind."""
        H, G = max(self.heads), max(self.groups)
        table = np.zeros((len(self.heads), len(self.groups), H, G), np.float32)
        for a, heads in enumerate(self.heads):
            for b, groups in enumerate(self.groups):
                for h in range(heads):
                    table[a, b, h, h // (heads // min(groups, heads))] = 1
        heads, groups = weights_of(chosen.heads, self.heads), weights_of(chosen.groups, self.groups)
        return jnp.einsum("a,b,abhg->hg", heads, groups, table)

    def _feed_forward(self, chosen: Chosen, every: Decision, features: int):
        """Options of the feed-forward network, and the mask of its hidden features."""
        widths, of = ((features,), 0) if is_static(every) else (self.widths, every)
        hidden = [ratio and max(1, round(ratio * width)) for ratio in self.ratios for width in widths]
        most, inner = prefix(joint(chosen.ratio, of, (len(self.ratios), len(widths))), hidden)
        make = partial(FeedForward, features, most, deviation=self.deviation) if most else _no_feed_forward
        return {**{name: partial(make, activation=name) for name in self.activations}, "none": NoFeedForward}, inner


def _no_feed_forward(activation: str, **names) -> nn.Module:
    return NoFeedForward(**names)


def prefix(decision: Decision, sizes: Sequence[int]) -> tuple[int, chex.Array | None]:
    """As `choice.width`, with None for a mask where all is there."""
    most, mask = width(decision, sizes)
    return most, None if isinstance(mask, float) else mask


def number(decision: Decision, values: Sequence[float]) -> float | chex.Array:
    """The value chosen; of weights, the mean by them."""
    if is_static(decision):
        return float(values[decision])
    table = jnp.asarray(values, jnp.float32)
    return decision @ table if jnp.ndim(decision) == 1 else table[decision]


def weights_of(decision: Decision, options: Sequence[Any]) -> chex.Array:
    """A decision as weights of its options."""
    return decision if jnp.ndim(decision) == 1 else jax.nn.one_hot(decision, len(options), dtype=jnp.float32)


def _flags(options: Sequence[str], which: str) -> tuple[float, ...]:
    return tuple(float(option == which) for option in options)


def _unless_absent(decision: Decision, there: Decision, options: int, none: int) -> Decision:
    """A decision among `options`, of which `none` is taken where the layer is not there."""
    if isinstance(decision, Gated):
        pad = lambda x: jnp.pad(x, (0, options - len(x)))
        decision = Gated(pad(decision.weights), pad(decision.gates))
        return decision if is_static(there) else _unless_absent(opened(decision), there, options, none)
    if jnp.ndim(decision) == 1 or jnp.ndim(there) == 1:
        weights = decision if jnp.ndim(decision) == 1 else jax.nn.one_hot(decision, options, dtype=jnp.float32)
        weights = jnp.pad(weights, (0, options - len(weights)))
        present = number(there, (0.0, 1.0))
        return present * weights + (1 - present) * jnp.eye(options)[none]
    return decision if is_static(there) else jnp.where(there > 0, decision, none)
