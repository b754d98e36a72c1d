"""Two growing graphs gene by gene (Stanley and Miikkulainen, 2002, sections 3.2 and 3.3): crossover and distance.

Genes are matched by identity, a few of one parent at a time with one of the other after another: memory is linear in
the connections, where all pairs at once would be a square for each pair of parents.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.batching import vmap_last_axis
from jaxnas.spaces._graph_genome import Graph

MISSING = np.float32(np.inf)
"""Weight of a connection that is not there."""
ROWS = 8
"""Connections that are compared at a time."""
SMALL = 20
"""Genomes of fewer genes are compared by their number of differences, not by the fraction (section 3.3)."""


def crossover(key: chex.PRNGKey, a: Graph, b: Graph, disable_rate: float) -> Graph:
    """A child with the topology of `a`, the fitter, and of shared genes the weight of either with equal probability.

    A connection disabled in one of them is in the child with probability `disable_rate`.
    """
    weight, enabled = _match_genes(a, b)
    words = jax.random.bits(key, a.weight.shape, jnp.uint8)
    other = (weight != MISSING) & (words & 1 == 1)
    stays = ~(a.enabled & enabled) & ((words >> 1) < np.uint8(round(disable_rate * 127)))
    return a.replace(weight=jnp.where(other, weight, a.weight), enabled=(a.innovation != 0) & ~stays)


def distance_with(disjoint_coefficient: float, weight_coefficient: float) -> Callable[[Graph, Graph], chex.Array]:
    """The compatibility distance of two graphs, the paper's equation 1."""

    def distance(a, b):
        weight, _ = match_genes(a, b)
        shared = weight != MISSING
        count, of_a, of_b = (
            there.sum(0, dtype=jnp.float32) for there in (shared, a.innovation != 0, b.innovation != 0)
        )
        largest = jnp.maximum(of_a, of_b)
        size = jnp.where(largest < SMALL, 1, largest)
        weights = jnp.where(shared, jnp.abs(a.weight - weight), 0.0).sum(0) / count
        return disjoint_coefficient * (of_a + of_b - 2 * count) / size + weight_coefficient * weights

    return vmap_last_axis(distance)


def match_genes(a: Graph, b: Graph) -> tuple[chex.Array, chex.Array]:
    """`[E, L]` for each connection of `a` its weight in `b`, or `MISSING`, and whether it is enabled there.

    Of L pairs of graphs along the last axis, see `batching`.
    """
    # The initial ones are in the same places. The others are compared as far as there are any.
    first = a.inputs * a.outputs
    grown = a.innovation.shape[0] - first
    of_a, of_b = a.innovation[first:], b.innovation[first:]
    rows, L = min(ROWS, grown), max(of_a.shape[-1], of_b.shape[-1])

    def some(i, found):
        at = jnp.minimum(i * rows, grown - rows)
        own = jax.lax.dynamic_slice_in_dim(of_a, at, rows)

        def look(j, part):
            here = (own == of_b[j]) & (of_b[j] != 0)
            weight, enabled = part
            return jnp.where(here, b.weight[first + j], weight), enabled & (b.enabled[first + j] | ~here)

        part = jnp.full((rows, L), MISSING), jnp.ones((rows, L), bool)
        part = jax.lax.fori_loop(0, (of_b != 0).sum(0, dtype=jnp.int32).max(), look, part)
        return tuple(jax.lax.dynamic_update_slice_in_dim(*pair, at, 0) for pair in zip(found, part, strict=True))

    found = jnp.full((grown, L), MISSING), jnp.ones((grown, L), bool)
    if grown:
        found = jax.lax.fori_loop(0, -(-(of_a != 0).sum(0, dtype=jnp.int32).max() // rows), some, found)
    initial = b.weight[:first], b.enabled[:first]
    both = lambda x, y: jnp.concatenate([jnp.broadcast_to(x, (first, L)), y])
    return tuple(map(both, initial, found))


_match_genes = vmap_last_axis(match_genes)
