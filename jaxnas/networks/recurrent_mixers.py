"""Linear recurrences as mixers: the gated delta rule, a state space."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks.inference import computed_once, differentiated_once
from jaxnas.networks.initializers import normal
from jaxnas.networks.mixers import (
    Sizes,
    by_head,
    count,
    joined_heads,
    masked,
    of_heads,
    remember,
    remembered,
)
from jaxnas.networks.recurrence import chunked, stepped

silu = differentiated_once(nn.silu)
TAPS = 4
"""Positions that a short convolution sees."""


class Recurrence(nn.Module):
    """A linear recurrence with a matrix for a state, see `networks.recurrence`.

    By the delta rule: queries, keys and values of each head after a short convolution, keys of length 1 (Gated
    DeltaNet: Yang, Kautz and Hatamizadeh, 2024). With `dynamic` besides, the values alone are convolved, by kernels
    that each position makes of itself (JetBlock: Gu et al., 2025). Without the delta rule: queries and keys (C and B)
    of `groups`, keys times their step, and a direct path (Mamba-2: Dao and Gu, 2024).

    Attributes:
      width, heads, head_size: as those of `Attention`; the size of queries and keys.
      groups: of queries and keys, without the delta rule.
      delta: whether it is by the delta rule.
      value_size: of values, by default that of keys; the state has `head_size * value_size` numbers a head.
      dynamic: whether kernels of the convolution depend on the position, with the delta rule.
      deviation: the standard deviation of kernels in the beginning.
    """

    width: int
    heads: int
    groups: int
    head_size: int
    delta: bool
    value_size: int | None = None
    dynamic: bool = False
    deviation: float = 0.02
    finite = True

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Heads and their size of what is projected."""
        shared = (self.heads if self.delta else self.groups, self.head_size)
        return {"query": shared, "key": shared, "value": (self.heads, self.value_size or self.head_size)}

    @property
    def convolved(self) -> tuple[str, ...]:
        """What a short convolution goes over."""
        return ("value",) if self.dynamic else tuple(self.sizes)

    def setup(self):
        H, V = self.sizes["value"]
        dense = functools.partial(nn.Dense, use_bias=False, kernel_init=normal(self.deviation))
        heads = {name: by_head(size, self.deviation, name) for name, size in self.sizes.items()}
        self.query, self.key, self.value = heads.values()
        self.gate = by_head((H, V), self.deviation, "gate")
        taps = 0.02 if self.dynamic else 0.5
        self.taps = {
            name: self.param(f"{name}_taps", normal(taps), (TAPS, *self.sizes[name])) for name in self.convolved
        }
        if self.dynamic:  # static in the beginning
            self.inner = dense(max(1, self.width // 8), name="inner")
            self.kernels = dense(TAPS * H * V, kernel_init=nn.initializers.zeros, name="kernels")
        self.decay = dense(H, name="decay")
        self.rate = self.param("rate", _log_uniform(1.0, 16.0), (H,))
        self.bias = self.param("bias", _inverse_softplus(1e-3, 1e-1), (H,))
        if self.delta:
            self.beta = dense(H, name="beta")
        else:
            self.direct = self.param("direct", nn.initializers.ones, (H,))
        self.scale = self.param("scale", nn.initializers.ones, (V,))
        self.output = joined_heads(self.width, self.deviation, "output")

    def __call__(self, inputs, train: bool):
        x, keep, sizes, at = inputs
        if at is not None:
            return self._next(x, at)
        x = x if keep is None else x * keep[..., None].astype(x.dtype)
        x = computed_once(x)
        parts = {name: computed_once(getattr(self, name)(x)) for name in self.sizes}
        taps = self._taps(x)
        parts |= {name: computed_once(_convolved(parts[name], taps[name])) for name in taps}
        q, k, v, log_decay, beta = self._gates(x, parts, sizes)
        if keep is not None:  # what is padded neither decays the state nor adds to it
            log_decay, beta = (None if a is None else a * keep[..., None] for a in (log_decay, beta))
            k = k * keep[..., None, None]
        y, _ = chunked(*map(computed_once, (q, k, v)), log_decay, beta)
        return self._joined(x, y, v, sizes)

    def _taps(self, x) -> dict[str, Any]:
        """What is convolved -> its kernels, `[TAPS, H, D]`, or of each position `[TAPS, B, T, H, D]`."""
        if not self.dynamic:
            return self.taps
        own = self.kernels(silu(self.inner(x)))
        own = jnp.moveaxis(own.reshape(*x.shape[:2], TAPS, *self.sizes["value"]), 2, 0)
        return {"value": self.taps["value"][:, None, None] + own}

    def _gates(self, x, parts, sizes: Sizes):
        q, k, v = (masked(silu(parts[name]), sizes.head_size) for name in self.sizes)
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
        mean = jnp.square(y).sum(-1, keepdims=True) / count(sizes.head_size, y.shape[-1])
        y = masked(y * jax.lax.rsqrt(mean + 1e-6) * self.scale * silu(self.gate(x)), sizes.head_size)
        return masked(self.output(of_heads(y.astype(x.dtype), sizes)), sizes.width)

    def state(self, batch: int, length: int, dtype: jnp.dtype = jnp.float32) -> Any:
        """The matrix, in 32 bits, and what the short convolutions have still to see; the same for every length."""
        H, V = self.sizes["value"]
        return {
            "matrix": jnp.zeros((batch, H, self.head_size, V)),
            "recent": {name: jnp.zeros((batch, TAPS - 1, *self.sizes[name]), dtype) for name in self.convolved},
        }

    def _next(self, x, at):
        """Of `x` `[B, 1, width]` at any position."""
        state = remembered(self, x, at)
        parts = {name: getattr(self, name)(x) for name in self.sizes}
        seen = {name: jnp.concatenate([recent, parts[name]], 1) for name, recent in state["recent"].items()}
        for name, taps in self._taps(x).items():
            taps = taps[:, :, 0].swapaxes(0, 1) if self.dynamic else taps
            parts[name] = (seen[name] * taps).sum(1, keepdims=True)
        gates = self._gates(x, parts, Sizes())
        y, matrix = stepped(*(None if each is None else each[:, 0] for each in gates), state["matrix"])
        recent = {name: part[:, 1:].astype(state["recent"][name].dtype) for name, part in seen.items()}
        remember(self, {"matrix": matrix, "recent": recent})
        return self._joined(x, y[:, None], gates[2], Sizes())


def _convolved(x, taps):
    """Each channel of `[B, T, H, D]` over the last positions by `taps`, see `Recurrence._taps`."""
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
