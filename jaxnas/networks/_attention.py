"""Softmax attention in the form that XLA runs fastest on the platform that is said.

On accelerators that is JAX's own kernel. On the CPU queries go block by block, so that causal attention computes little
of what its mask removes, heads before positions, and each softmax is computed once for all that reads it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.execution import current
from jaxnas.networks.inference import barrier

BLOCK, MOST_BLOCKS = 64, 8
"""Queries in a block at least, and blocks at most, each of which is compiled."""


def attend(q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array | None = None, *, causal: bool = False):
    """Outputs `[B, T, H, D]` of queries `[B, T, H, D]` over keys and values `[B, S, G, D]`, H a multiple of G.

    Args:
      q, k, v: queries are not scaled yet.
      seen: `[B, 1 or H, 1 or T, S]` bool, which keys each query sees; None for all.
      causal: whether it sees those up to its own position alone; T = S then.
    """
    if current().platform != "cpu":
        return jax.nn.dot_product_attention(q, k, v, mask=seen, is_causal=causal)
    B, T, H, D = q.shape
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
