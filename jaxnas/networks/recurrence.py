"""Linear recurrences over a sequence, whose state is a matrix: in chunks for training, step by step for decoding.

    S_t = a_t S_{t-1} + k_t u_t^T,    y_t = S_t^T q_t

with u_t = v_t (gated linear attention; Mamba-2: Dao and Gu, 2024) or, by the delta rule, u_t = b_t (v_t - a_t S_{t-1}^T
k_t), which replaces what the state holds at k_t (gated delta rule: Yang, Kautz and Hatamizadeh, 2024). Within a chunk
all positions are computed at once, so that time and memory are linear in the length.
"""

import chex
import jax
import jax.numpy as jnp

from jaxnas.networks.inference import computed_once

CHUNK = 64
"""Positions that are computed at once."""


def chunked(
    q: chex.Array,
    k: chex.Array,
    v: chex.Array,
    log_decay: chex.Array,
    beta: chex.Array | None = None,
    state: chex.Array | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[chex.Array, chex.Array]:
    """The recurrence over a whole sequence.

    Args:
      q, k: `[B, T, H, K]`.
      v: `[B, T, H, V]`.
      log_decay: `[B, T, H]`, log a, at most 0.
      beta: `[B, T, H]` in [0, 1], of the delta rule, for keys of length at most 1; None without.
      state: `[B, H, K, V]` to begin with; zeros by default.
      chunk: positions at once, a power of 2.

    Returns:
      y `[B, T, H, V]` and the state after the last position.
    """
    B, T, H, K = k.shape
    chunk = min(chunk, 1 << (T - 1).bit_length())
    V, N = v.shape[-1], -(-T // chunk)
    pad = lambda x: jnp.pad(x, [(0, 0), (0, N * chunk - T), *[(0, 0)] * (x.ndim - 2)])
    # [N, B, H, chunk, ...]: what is padded has no key, and does not decay.
    split = lambda x: jnp.moveaxis(pad(x).reshape(B, N, chunk, H, *x.shape[3:]), (1, 3), (0, 2))
    q, k, v, log_decay = map(split, (q, k, v, log_decay))
    total = jnp.cumsum(log_decay, -1)
    at, before = jnp.arange(chunk)[:, None], jnp.arange(chunk)
    between = jnp.exp(jnp.where(at >= before, total[..., :, None] - total[..., None, :], -jnp.inf))
    inside = computed_once((q @ k.swapaxes(-1, -2)) * between)
    since, until = jnp.exp(total)[..., None], jnp.exp(total[..., -1:] - total)[..., None]
    if beta is None:
        taken = jnp.zeros_like(k)
    else:
        # u = b (v - since S^T k - what the chunk's earlier u have put at k): a triangular system for each chunk.
        beta = split(beta)[..., None]
        system = jnp.where(at > before, beta * (k @ k.swapaxes(-1, -2)) * between, 0)
        both = beta * jnp.concatenate([v, since * k], -1)
        solved = computed_once(_inverse(computed_once(system))) @ computed_once(both)
        v, taken = solved[..., :V], solved[..., V:]
    state = jnp.zeros((B, H, K, V), v.dtype) if state is None else state

    def step(state, now):
        inside, query, key, v, taken, kept = now
        u = v - taken @ state
        return kept * state + key.swapaxes(-1, -2) @ u, query @ state + inside @ u

    rows = (inside, since * q, until * k, v, taken, jnp.exp(total[..., -1])[..., None, None])
    state, y = jax.lax.scan(step, state, rows)
    return jnp.moveaxis(y, (0, 2), (1, 3)).reshape(B, N * chunk, H, V)[:, :T], state


@jax.custom_vjp
def _inverse(lower: chex.Array) -> chex.Array:
    """`(1 + lower)^-1` of matrices `[..., C, C]` that are 0 but below their diagonal, C a power of 2.

    By halves, ((A, 0), (B, D))^-1 = ((A^-1, 0), (-D^-1 B A^-1, D^-1)), from blocks of one up: products alone, which
    grow no larger on the way than at the end, as powers would. LAPACK's solver, which XLA:CPU calls, waits for ever
    where two devices of one process are at it.
    """
    C = lower.shape[-1]
    inverse = jnp.ones((*lower.shape[:-1], 1, 1), lower.dtype)  # [..., C / size, size, size]
    size = 1
    while size < C:
        n = C // (2 * size)
        grid = lower.reshape(*lower.shape[:-2], n, 2, size, n, 2, size)[..., :, 1, :, :, 0, :]
        below = jnp.moveaxis(jnp.diagonal(grid, axis1=-4, axis2=-2), -1, -3)
        first, second = inverse[..., 0::2, :, :], inverse[..., 1::2, :, :]
        upper = jnp.concatenate([first, jnp.zeros_like(first)], -1)
        lower_left = computed_once(-second @ below @ first)
        inverse = jnp.concatenate([upper, jnp.concatenate([lower_left, second], -1)], -2)
        size *= 2
    return inverse[..., 0, :, :]


def _forward(lower):
    inverse = _inverse(lower)
    return inverse, inverse


def _backward(inverse, gradient):
    transposed = inverse.swapaxes(-1, -2)
    return (-transposed @ gradient @ transposed,)


_inverse.defvjp(_forward, _backward)


def stepped(
    q: chex.Array,
    k: chex.Array,
    v: chex.Array,
    log_decay: chex.Array,
    beta: chex.Array | None,
    state: chex.Array,
) -> tuple[chex.Array, chex.Array]:
    """One position: arguments as those of `chunked` without the axis of positions."""
    state = jnp.exp(log_decay)[..., None, None] * state
    if beta is not None:
        v = beta[..., None] * (v - jnp.einsum("bhk,bhkv->bhv", k, state))
    state = state + k[..., :, None] * v[..., None, :]
    return jnp.einsum("bhk,bhkv->bhv", q, state), state
