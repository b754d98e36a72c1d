"""Softmax attention in the form that XLA runs fastest on the platform that is said.

On accelerators that is JAX's own kernel; of long sequences for some queries after others, whose weights are computed
again for the gradient, so that memory is linear in the length. On the CPU queries go block by block, so that causal
attention computes little of what its mask removes, heads before positions, and each softmax is computed once for all
that reads it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.execution import current
from jaxnas.networks.inference import barrier

BLOCK, MOST_BLOCKS = 64, 8
"""Queries in a block at least, and blocks at most, each of which is compiled, on the CPU."""
AT_ONCE = 512
"""Queries of an accelerator's block."""


def attend(q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array | None = None, *, causal: bool = False):
    """Outputs `[B, T, H, D]` of queries `[B, T, H, D]` over keys and values `[B, S, G, D]`, H a multiple of G.

    Args:
      q, k, v: queries are not scaled yet.
      seen: `[B, 1 or H, 1 or T, S]` bool, which keys each query sees; None for all.
      causal: whether it sees those up to its own position alone; T = S then.
    """
    B, T, H, D = q.shape
    if current().platform != "cpu":
        if T <= AT_ONCE:
            return jax.nn.dot_product_attention(q, k, v, mask=seen, is_causal=causal)
        return _in_turn(q, k, v, seen, causal)
    S, G = k.shape[1:3]
    q = (q * D**-0.5).transpose(0, 2, 1, 3).reshape(B, G, H // G, T, D)
    k, v = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)
    if seen is not None:
        seen = jnp.broadcast_to(seen, (B, H, *seen.shape[2:])).reshape(B, G, H // G, *seen.shape[2:])
    size = max(BLOCK, -(-T // MOST_BLOCKS)) if causal else T
    blocks = []
    for begin in range(0, T, size):
        end = min(begin + size, T)
        last = end if causal else S
        scores = q[:, :, :, begin:end].reshape(B, G, -1, D) @ k[..., :last]
        scores = scores.reshape(B, G, H // G, end - begin, last)
        if causal:
            scores = jnp.where(np.arange(begin, end)[:, None] >= np.arange(last), scores, -1e30)
        if seen is not None:
            own = seen if seen.shape[3] == 1 else seen[:, :, :, begin:end]
            scores = jnp.where(own[..., :last], scores, -1e30)
        weights = _softmax(scores).reshape(B, G, -1, last)
        blocks.append((weights @ v[:, :, :last]).reshape(B, H, end - begin, D))
    return jnp.concatenate(blocks, 2).transpose(0, 2, 1, 3)


def _in_turn(q, k, v, seen, causal: bool):
    """`AT_ONCE` queries after others; what is padded sees something too, and is cut off."""
    B, T, H, D = q.shape
    N = -(-T // AT_ONCE)
    blocks = lambda x, axis: jnp.moveaxis(
        jnp.pad(x, [(0, N * AT_ONCE - T) if i == axis else (0, 0) for i in range(x.ndim)], mode="edge").reshape(
            *x.shape[:axis], N, AT_ONCE, *x.shape[axis + 1 :]
        ),
        axis,
        0,
    )
    by_query = seen is not None and seen.shape[2] > 1
    rows = (jnp.arange(N) * AT_ONCE, blocks(q, 1), blocks(seen, 2) if by_query else None)

    @jax.checkpoint
    def block(row):
        begin, q, own = row
        mask = own if by_query else seen
        if causal:
            before = begin + jnp.arange(AT_ONCE)[:, None] >= jnp.arange(k.shape[1])
            mask = before[None, None] if mask is None else mask & before
        return jax.nn.dot_product_attention(q, k, v, mask=mask)

    return jnp.moveaxis(jax.lax.map(block, rows), 0, 1).reshape(B, N * AT_ONCE, H, D)[:, :T]


@jax.custom_vjp
def _softmax(scores):
    return jax.nn.softmax(scores, -1)


def _forward(scores):
    weights = barrier(jax.nn.softmax(scores, -1))
    return weights, weights


def _backward(weights, gradient):
    gradient = barrier(gradient)
    return (barrier(weights * (gradient - (weights * gradient).sum(-1, keepdims=True))),)


_softmax.defvjp(_forward, _backward)
