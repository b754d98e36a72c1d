"""What lets positions of a sequence see each other: attention, attention within a window, linear recurrences, nothing;
and attention to the positions of another sequence.

Each is called on a whole sequence, `mixer((x, keep, sizes, None), train)`, or to decode on one position, with what it
knows of those before in the collection "cache": a state of fixed size that `state(batch, length)` makes. Heads,
key-value groups and head size are prefixes of the largest: `Sizes` says by masks what of them is there, so that one
program serves every choice.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks._attention import attend
from jaxnas.networks.choice import is_static
from jaxnas.networks.inference import computed_once, differentiated_once
from jaxnas.networks.initializers import normal
from jaxnas.networks.recurrence import chunked, stepped

silu = differentiated_once(nn.silu)
TAPS = 4
"""Positions that the short convolution of a recurrence sees."""
BASE = 10_000.0
"""Of rotary frequencies."""


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


def rotated(x: chex.Array, at: chex.Array, size: chex.Array | float) -> chex.Array:
    """Rotary positions (Su et al., 2021) of `[..., T, H, D]`, pairs side by side, so that a prefix keeps its pairs.

    Args:
      x: queries or keys.
      at: `[T]` or `[..., T]` positions.
      size: how many of D are there, by which the frequencies go.
    """
    D = x.shape[-1]
    frequency = BASE ** (-jnp.arange(0, D, 2) / jnp.maximum(size, 1.0))
    angle = at[..., None].astype(jnp.float32) * frequency
    cos, sin = (f(angle)[..., None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def _heads(features: tuple[int, ...], deviation: float, name: str) -> nn.DenseGeneral:
    return nn.DenseGeneral(features, use_bias=False, kernel_init=normal(deviation), name=name)


class Attention(nn.Module):
    """Softmax attention of `heads` queries over `groups` keys and values (Ainslie et al., 2023), rotary positions.

    Attributes:
      width: of inputs and outputs.
      heads, groups, head_size: the largest; `groups` divides `heads`.
      window: how many positions back each sees, itself included; 0 for all.
      causal: whether it sees what comes before it alone.
      deviation: the standard deviation of kernels in the beginning.
    """

    width: int
    heads: int
    groups: int
    head_size: int
    window: int = 0
    causal: bool = True
    deviation: float = 0.02
    finite = True

    def setup(self):
        heads = functools.partial(_heads, deviation=self.deviation)
        self.query = heads((self.heads, self.head_size), name="query")
        self.key = heads((self.groups, self.head_size), name="key")
        self.value = heads((self.groups, self.head_size), name="value")
        self.output = nn.DenseGeneral(
            self.width, axis=(-2, -1), use_bias=False, kernel_init=normal(self.deviation), name="output"
        )

    def __call__(self, inputs, train: bool):
        x, keep, sizes, at = inputs
        if at is not None:
            return self._next(x, at)
        q, k, v = self._projected(x, x, jnp.arange(x.shape[1]), sizes)
        windowed = self.window and self.window < x.shape[1]
        y = within(self.window, q, k, v, keep, self.causal) if windowed else everywhere(q, k, v, keep, self.causal)
        return self._joined(y, sizes)

    def _projected(self, x, of, at, sizes: Sizes):
        """Queries `[B, T, heads, D]` of `x`, keys and values `[B, S, groups, D]` of what it attends to, or of each head
        where groups are chosen; rotated where there are positions."""
        size = count(sizes.head_size, self.head_size)
        scale = (self.head_size / size) ** 0.5  # attention divides by the root of the largest
        x, of = (computed_once(x),) * 2 if of is x else (computed_once(x), computed_once(of))
        q, k, v = masked(self.query(x), sizes.head_size) * scale, self.key(of), masked(self.value(of), sizes.head_size)
        if at is not None:
            q, k = rotated(q, at, size), rotated(k, at, size)
        if sizes.groups is not None:
            k, v = (jnp.einsum("...gd,hg->...hd", a, sizes.groups.astype(a.dtype)) for a in (k, v))
        return q, k, v

    def _joined(self, y, sizes: Sizes):
        return masked(self.output(_of_heads(y, sizes)), sizes.width)

    def state(self, batch: int, length: int) -> Any:
        """Keys and values of the last positions, of `length` at most."""
        shape = (batch, min(self.window or length, length), self.groups, self.head_size)
        return {"key": jnp.zeros(shape), "value": jnp.zeros(shape)}

    def _next(self, x, at):
        """Of `x` `[B, 1, width]` at position `at`."""
        state, at = _remembered(self, x, at), at.at
        q, k, v = self._projected(x, x, at[None], Sizes())
        length = state["key"].shape[1]
        put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, at % length, 1)
        state = {"key": put(state["key"], k), "value": put(state["value"], v)}
        _remember(self, state)
        seen = jnp.broadcast_to(jnp.arange(length) <= at, (len(x), 1, 1, length))
        return self._joined(attend(q, state["key"], state["value"], seen), Sizes())


class CrossAttention(Attention):
    """Attention to what an encoder says of its positions, called with `((x, memory, sources, sizes), train)`: to the
    outputs of as many of its last layers, together, as `sources`, a decision and its options, says (Wang et al., 2020).
    """

    def __call__(self, inputs, train: bool):
        x, memory, (decision, options), sizes = inputs
        most = options[decision] if is_static(decision) else max(options)
        layers = [memory.layers[min(i, len(memory.layers) - 1)] for i in range(most)]
        q, k, v = self._projected(x, jnp.concatenate(layers, 1), None, sizes)
        S = layers[0].shape[1]
        keep = jnp.ones((len(x), S)) if memory.keep is None else memory.keep
        there = jnp.tile(keep, most)[:, None, None, :] > 0

        def of(sources):
            """With that many layers, of which a number is the least."""
            within = jnp.arange(most * S) < sources * S
            return attend(q, k, v, there & within)

        if is_static(decision):
            y = attend(q, k, v, there)
        elif jnp.ndim(decision) == 1:
            y = sum(weight * of(sources) for weight, sources in zip(decision, options, strict=True))
        else:
            y = of(jnp.asarray(options)[decision])
        return self._joined(y, sizes)


def everywhere(q, k, v, keep, causal: bool):
    """Attention over the whole sequence."""
    return attend(q, k, v, None if keep is None else keep[:, None, None, :] > 0, causal=causal)


def within(window: int, q, k, v, keep, causal: bool):
    """Attention of each position to those within `window`, block by block, so that memory is linear in the length."""
    B, T = q.shape[:2]
    N, reach = -(-T // window), (1, 0) if causal else (1, 1)
    pad = lambda x: jnp.pad(x, [(0, 0), (0, N * window - T), *[(0, 0)] * (x.ndim - 2)])
    blocks = lambda x: pad(x).reshape(B, N, window, *x.shape[2:])

    def around(x):
        """Of each block, itself and its neighbours."""
        x = blocks(x)
        x = jnp.pad(x, [(0, 0), reach, *[(0, 0)] * (x.ndim - 2)])
        return jnp.concatenate([x[:, i : i + N] for i in range(1 + sum(reach))], 2)

    there = around(jnp.ones((B, T)) if keep is None else keep) > 0
    back = window + jnp.arange(window)[:, None] - jnp.arange(there.shape[-1])  # how far before it each key is
    seen = (back >= 0) & (back < window) if causal else abs(back) < window
    flat = lambda x: x.reshape(B * N, *x.shape[2:])
    mask = flat(there)[:, None, None, :] & seen
    y = attend(flat(blocks(q)), flat(around(k)), flat(around(v)), mask)
    return y.reshape(B, N * window, *y.shape[2:])[:, :T]


class Recurrence(nn.Module):
    """A linear recurrence with a matrix for a state, see `networks.recurrence`.

    By the delta rule: queries, keys and values of each head after a short convolution, keys of length 1 (Gated
    DeltaNet: Yang, Kautz and Hatamizadeh, 2024). Without: queries and keys (C and B) of `groups`, keys times their
    step, and a direct path (Mamba-2: Dao and Gu, 2024).

    Attributes:
      width, heads, head_size: as those of `Attention`; the state has `head_size` squared numbers a head.
      groups: of queries and keys, without the delta rule.
      delta: whether it is by the delta rule.
      deviation: the standard deviation of kernels in the beginning.
    """

    width: int
    heads: int
    groups: int
    head_size: int
    delta: bool
    deviation: float = 0.02
    finite = True

    def setup(self):
        H, D = self.heads, self.head_size
        shared = H if self.delta else self.groups
        heads = functools.partial(_heads, deviation=self.deviation)
        self.query, self.key = heads((shared, D), name="query"), heads((shared, D), name="key")
        self.value, self.gate = heads((H, D), name="value"), heads((H, D), name="gate")
        taps = lambda name, heads: self.param(f"{name}_taps", normal(0.5), (TAPS, heads, D))
        self.taps = {"query": taps("query", shared), "key": taps("key", shared), "value": taps("value", H)}
        self.decay = nn.Dense(H, use_bias=False, kernel_init=normal(self.deviation), name="decay")
        self.rate = self.param("rate", _log_uniform(1.0, 16.0), (H,))
        self.bias = self.param("bias", _inverse_softplus(1e-3, 1e-1), (H,))
        if self.delta:
            self.beta = nn.Dense(H, use_bias=False, kernel_init=normal(self.deviation), name="beta")
        else:
            self.direct = self.param("direct", nn.initializers.ones, (H,))
        self.scale = self.param("scale", nn.initializers.ones, (D,))
        self.output = nn.DenseGeneral(
            self.width, axis=(-2, -1), use_bias=False, kernel_init=normal(self.deviation), name="output"
        )

    def __call__(self, inputs, train: bool):
        x, keep, sizes, at = inputs
        if at is not None:
            return self._next(x, at)
        x = x if keep is None else x * keep[..., None].astype(x.dtype)
        x = computed_once(x)
        parts = {name: getattr(self, name)(x) for name in self.taps}
        convolved = {
            name: computed_once(_convolved(computed_once(part), self.taps[name])) for name, part in parts.items()
        }
        q, k, v, log_decay, beta = self._gates(x, convolved, sizes)
        if keep is not None:  # what is padded neither decays the state nor adds to it
            log_decay, beta = (None if a is None else a * keep[..., None] for a in (log_decay, beta))
            k = k * keep[..., None, None]
        y, _ = chunked(*map(computed_once, (q, k, v)), log_decay, beta)
        return self._joined(x, y, v, sizes)

    def _gates(self, x, convolved, sizes: Sizes):
        q, k, v = (masked(silu(convolved[name]), sizes.head_size) for name in ("query", "key", "value"))
        step = nn.softplus(self.decay(x).astype(jnp.float32) + self.bias)
        log_decay = -jnp.exp(self.rate) * step
        if self.delta:
            q, k = (a * jax.lax.rsqrt(jnp.square(a).sum(-1, keepdims=True) + 1e-6) for a in (q, k))
            q = q * count(sizes.head_size, self.head_size) ** -0.5
            return q, k, v, log_decay, nn.sigmoid(self.beta(x).astype(jnp.float32))
        if sizes.groups is not None:
            q, k = (jnp.einsum("...gd,hg->...hd", a, sizes.groups) for a in (q, k))
        else:
            q, k = (jnp.repeat(a, self.heads // self.groups, -2) for a in (q, k))
        return q, k * step[..., None], v, log_decay, None

    def _joined(self, x, y, v, sizes: Sizes):
        if not self.delta:
            y = y + self.direct[:, None] * v
        mean = jnp.square(y).sum(-1, keepdims=True) / count(sizes.head_size, self.head_size)
        y = masked(y * jax.lax.rsqrt(mean + 1e-6) * self.scale * silu(self.gate(x)), sizes.head_size)
        return masked(self.output(_of_heads(y, sizes)), sizes.width)

    def state(self, batch: int, length: int) -> Any:
        """The matrix, and what the short convolutions have still to see; the same for every length."""
        H, D = self.heads, self.head_size
        shared = H if self.delta else self.groups
        recent = {"query": shared, "key": shared, "value": H}
        return {
            "matrix": jnp.zeros((batch, H, D, D)),
            "recent": {name: jnp.zeros((batch, TAPS - 1, heads, D)) for name, heads in recent.items()},
        }

    def _next(self, x, at):
        """Of `x` `[B, 1, width]` at any position."""
        state = _remembered(self, x, at)
        seen = {name: jnp.concatenate([state["recent"][name], getattr(self, name)(x)], 1) for name in self.taps}
        convolved = {name: (part * self.taps[name]).sum(1, keepdims=True) for name, part in seen.items()}
        gates = self._gates(x, convolved, Sizes())
        y, matrix = stepped(*(None if each is None else each[:, 0] for each in gates), state["matrix"])
        recent = {name: part[:, 1:] for name, part in seen.items()}
        _remember(self, {"matrix": matrix, "recent": recent})
        return self._joined(x, y[:, None], gates[2], Sizes())


def _remembered(mixer: nn.Module, x, at: Position) -> Any:
    """The mixer's state, which is made where it is not there yet."""
    if not mixer.has_variable("cache", "state"):
        mixer.put_variable("cache", "state", mixer.state(len(x), at.length))
    return mixer.get_variable("cache", "state")


def _remember(mixer: nn.Module, state: Any) -> None:
    if mixer.is_mutable_collection("cache"):
        mixer.put_variable("cache", "state", state)


def _of_heads(y, sizes: Sizes):
    return y if sizes.heads is None else y * sizes.heads[:, None].astype(y.dtype)


def _convolved(x, taps):
    """Each channel of `[B, T, H, D]` over the last positions by `taps` `[TAPS, H, D]`."""
    padded = jnp.pad(x, [(0, 0), (TAPS - 1, 0), (0, 0), (0, 0)])
    return sum(padded[:, i : i + x.shape[1]] * taps[i] for i in range(TAPS))


@functools.cache
def _log_uniform(low: float, high: float):
    """Logarithms of rates that are uniform in between."""
    return lambda key, shape: jnp.log(jax.random.uniform(key, shape, jnp.float32, low, high))


@functools.cache
def _inverse_softplus(low: float, high: float):
    """What softplus makes steps of that are log-uniform in between."""

    def initializer(key, shape):
        step = jnp.exp(jax.random.uniform(key, shape, jnp.float32, jnp.log(low), jnp.log(high)))
        return step + jnp.log(-jnp.expm1(-step))

    return initializer


class Nothing(nn.Module):
    """Positions do not see each other."""

    finite = True

    def __call__(self, inputs, train: bool):
        return jnp.zeros_like(inputs[0])

    def state(self, batch: int, length: int) -> Any:
        """None is needed."""
        return {}
