"""Small random integers from few random words: on the CPU, random bits are most of what a table search costs."""

import chex
import jax
import jax.numpy as jnp

MOST = 256
"""Up to this n, `below` is uniform to within n/2^16 = 0.4 % of each probability."""


def uint16_pairs(key: chex.PRNGKey, count: int) -> chex.Array:
    """`[count]` uniform integers below 2^16 (as uint32), two from each random word."""
    words = jax.random.bits(key, (-(-count // 2),), jnp.uint32)
    return jnp.concatenate([words & 0xFFFF, words >> 16])[:count]


def below(drawn: chex.Array, n: chex.Array) -> chex.Array:
    """Integers (int32) in [0, n) from `uint16_pairs`; n up to `MOST`."""
    return (drawn * jnp.asarray(n).astype(jnp.uint32) >> jnp.uint32(16)).astype(jnp.int32)
