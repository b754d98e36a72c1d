"""Softmax attention as a mixer: to all positions, within a window, to those of another sequence."""

from collections.abc import Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks._attention import attend
from jaxnas.networks.choice import is_static
from jaxnas.networks.inference import computed_once
from jaxnas.networks.mixers import (
    Norm,
    Sizes,
    by_head,
    count,
    joined_heads,
    masked,
    of_heads,
    remember,
    remembered,
)


def rotated(
    x: chex.Array, at: chex.Array, size: chex.Array | float, base: float = 10_000.0, scaling: Sequence[float] = ()
) -> chex.Array:
    """Rotary positions (Su et al., 2021) of `[..., T, H, D]`, pairs side by side, so that a prefix keeps its pairs.

    Args:
      x: queries or keys.
      at: `[T]` or `[..., T]` positions.
      size: how many of D are there, by which the frequencies go.
      base: of the frequencies.
      scaling: of low frequencies, as in Llama 3.1: `(factor, low, high, length)`: waves longer than `length / low`
        positions are made `factor` times longer, those shorter than `length / high` stay, others are in between.
    """
    D = x.shape[-1]
    frequency = base ** (-jnp.arange(0, D, 2) / jnp.maximum(size, 1.0))
    if scaling:
        factor, low, high, length = scaling
        stays = jnp.clip((length * frequency / (2 * jnp.pi) - low) / (high - low), 0, 1)
        frequency = frequency * (stays + (1 - stays) / factor)
    angle = at[..., None].astype(jnp.float32) * frequency
    cos, sin = (f(angle)[..., None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


class Attention(nn.Module):
    """Softmax attention of `heads` queries over `groups` keys and values (Ainslie et al., 2023), rotary positions.

    Attributes:
      width: of inputs and outputs.
      heads, groups, head_size: the largest; `groups` divides `heads`.
      window: how many positions back each sees, itself included; 0 for all.
      causal: whether it sees what comes before it alone.
      base, scaling: of rotary positions, see `rotated`.
      biases: whether queries, keys and values have one.
      qk_norm: whether queries and keys are normalized, head by head (RMS).
      epsilon: of that normalization.
      deviation: the standard deviation of kernels in the beginning.
    """

    width: int
    heads: int
    groups: int
    head_size: int
    window: int = 0
    causal: bool = True
    base: float = 10_000.0
    scaling: Sequence[float] = ()
    biases: bool = False
    qk_norm: bool = False
    epsilon: float = 1e-6
    deviation: float = 0.02
    finite = True

    def setup(self):
        of = lambda heads, name: by_head((heads, self.head_size), self.deviation, name, self.biases)
        self.query, self.key, self.value = of(self.heads, "query"), of(self.groups, "key"), of(self.groups, "value")
        if self.qk_norm:
            self.query_norm, self.key_norm = (Norm(self.epsilon, name=f"{name}_norm") for name in ("query", "key"))
        self.output = joined_heads(self.width, self.deviation, "output")

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
        q, k, v = masked(self.query(x), sizes.head_size), self.key(of), masked(self.value(of), sizes.head_size)
        if self.qk_norm:
            q, k = self.query_norm(q, there=sizes.head_size), self.key_norm(k, there=sizes.head_size)
        q = q * scale
        if at is not None:
            q, k = (rotated(a, at, size, self.base, self.scaling) for a in (q, k))
        if sizes.groups is not None:
            k, v = (jnp.einsum("...gd,hg->...hd", a, sizes.groups.astype(a.dtype)) for a in (k, v))
        return q, k, v

    def _joined(self, y, sizes: Sizes):
        return masked(self.output(of_heads(y, sizes)), sizes.width)

    def state(self, batch: int, length: int, dtype: jnp.dtype = jnp.float32) -> Any:
        """Keys and values of the last positions, of `length` at most."""
        shape = (batch, min(self.window or length, length), self.groups, self.head_size)
        return {"key": jnp.zeros(shape, dtype), "value": jnp.zeros(shape, dtype)}

    def _next(self, x, at):
        """Of `x` `[B, 1, width]` at position `at`."""
        state, at = remembered(self, x, at), at.at
        q, k, v = self._projected(x, x, at[None], Sizes())
        length = state["key"].shape[1]
        put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), at % length, 1)
        state = {"key": put(state["key"], k), "value": put(state["value"], v)}
        remember(self, state)
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
