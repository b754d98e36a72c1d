"""Mutation of growing graphs (Stanley and Miikkulainen, 2002, section 3.1): weights, connections, nodes."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import rng
from jaxnas.batching import vmap_last_axis
from jaxnas.spaces._graph_genome import Graph, end_identities, identity, position_between, split_identities

TRIES = 16
"""Pairs of nodes drawn for a new connection until one is free; the paper's authors try 20."""


class Rates(NamedTuple):
    """Probabilities and amounts of mutations, as `graph` documents them."""

    weight: float
    replace: float
    add_node: float
    add_connection: float
    toggle: float
    weight_range: float
    weight_step: float
    weight_limit: float


def mutate(key: chex.PRNGKey, genome: Graph, rates: Rates) -> Graph:
    """A child of `genome` alone, each mutation at its rate."""
    words = jax.random.bits(key, (4,), jnp.uint32)
    happens = lambda word, rate: word < np.uint32(rate * (2**32 - 1))
    splits, joins = happens(words[0], rates.add_node), happens(words[1], rates.add_connection)
    # What grows keeps its weights: they would change before it is seen what the new part is good for.
    perturbs = happens(words[2], rates.weight) & ~splits & ~joins
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(1, 4))
    weight = jnp.where(perturbs, perturb_weights(keys[0], genome, rates), genome.weight)
    drawn = rng.uint16_pairs(keys[2], 2)
    genome = toggle_connection(drawn[0], genome.replace(weight=weight), happens(words[3], rates.toggle))
    genome = add_connection(keys[1], genome, joins, rates.weight_range)
    return split_connection(drawn[1], genome, splits)


def perturb_weights(key: chex.PRNGKey, genome: Graph, rates: Rates) -> chex.Array:
    """`[E]` weights: the fraction `rates.replace` of them drawn again, the others changed by up to a step."""
    words = jax.random.bits(key, genome.weight.shape, jnp.uint32)
    by = (words >> 8).astype(jnp.float32) * np.float32(2**-23) - 1  # [-1, 1)
    again = (words & 0xFF) < round(rates.replace * 2**8)
    weight = jnp.where(again, rates.weight_range * by, genome.weight + rates.weight_step * by)
    return jnp.where(genome.innovation != 0, jnp.clip(weight, -rates.weight_limit, rates.weight_limit), 0.0)


def add_connection(key: chex.PRNGKey, genome: Graph, wanted: chex.Array, weight_range: float) -> Graph:
    """Where `wanted`, a connection between two nodes that have none; as before where `TRIES` pairs are all taken."""
    I, E = genome.inputs, len(genome.weight)  # noqa: E741
    nodes, count = I + genome.outputs + genome.hidden, genome.connections
    drawn = rng.uint16_pairs(key, 2 * TRIES + 2)
    source = rng.below(drawn[:TRIES], nodes)
    target = I + rng.below(drawn[TRIES : 2 * TRIES], nodes - I)
    free = ~_has_connection(genome, source, target)
    if not genome.recurrent:
        positions = genome.positions
        free &= positions[source] < positions[target]
    found, i = wanted & free.any(), jnp.argmax(free)
    weight = weight_range * (drawn[-1].astype(jnp.float32) / 2**15 - 1)
    return genome.replace(
        **_put(genome, jnp.where(found, count, E), source[i], target[i], weight, _identities(genome)),
        overflow=genome.overflow + (found & (count == E)),
    )


def toggle_connection(drawn: chex.Array, genome: Graph, wanted: chex.Array) -> Graph:
    """Where `wanted`, one connection enabled that was not, or the other way round."""
    i = rng.below(drawn, genome.connections)
    return genome.replace(enabled=genome.enabled ^ (wanted & (jnp.arange(len(genome.weight)) == i)))


def split_connection(drawn: chex.Array, genome: Graph, wanted: chex.Array) -> Graph:
    """Where `wanted`, an enabled connection replaced by a node between two: weight 1 into it, the old one out of it."""
    H, E = len(genome.node), len(genome.weight)
    hidden, count = genome.hidden, genome.connections
    among = genome.enabled & (genome.innovation != 0)
    old = _nth(among, count, rng.below(drawn, among.sum(dtype=jnp.int32)))
    source, target, weight = genome.source[old], genome.target[old], genome.weight[old]
    names = split_identities(genome.innovation[old])
    fresh = ~(genome.node[:, None] == names).any(0)
    name = names[jnp.argmax(fresh)]
    positions = genome.positions
    low, high = positions[source], positions[target]
    position = position_between(low, high, name)
    between = genome.recurrent | ((low < position) & (position < high))  # not where there is nothing in between
    wanted &= among.any()
    room = fresh.any() & between & (hidden < H) & (count + 2 <= E)
    does = wanted & room
    here, at = does & (jnp.arange(H) == hidden), jnp.where(does, count + jnp.arange(2), E)
    genome = genome.replace(
        node=jnp.where(here, name, genome.node),
        position=jnp.where(here, position, genome.position),
        split=jnp.where(here[:, None], jnp.stack([source, target]), genome.split),
        enabled=genome.enabled & ~(does & (jnp.arange(E) == old)),
        overflow=genome.overflow + (wanted & ~room),
    )
    new, known = genome.inputs + genome.outputs + hidden, _identities(genome)
    genome = genome.replace(**_put(genome, at[0], source, new, 1.0, known))
    return genome.replace(**_put(genome, at[1], new, target, weight, known))


@vmap_last_axis
def _has_connection(genome: Graph, source: chex.Array, target: chex.Array) -> chex.Array:
    """`[TRIES]` whether each pair of nodes is joined already, enabled or not."""

    def look(e, found):
        return found | ((genome.source[e] == source) & (genome.target[e] == target))

    return jax.lax.fori_loop(0, (genome.innovation != 0).sum(0, dtype=jnp.int32).max(), look, source < 0)


@vmap_last_axis
def _nth(among: chex.Array, count: chex.Array, n: chex.Array) -> chex.Array:
    """The place of the n-th True in the first `count` of `among`."""

    def look(e, carry):
        before, found = carry
        return before + among[e], jnp.where(among[e] & (before == n), e, found)

    zero = jnp.zeros_like(n)
    return jax.lax.fori_loop(0, count.max(), look, (zero, zero))[1]


def _identities(genome: Graph) -> chex.Array:
    return jnp.concatenate([end_identities(genome.inputs, genome.outputs), genome.node])


def _put(genome: Graph, at, source, target, weight, identities) -> dict[str, chex.Array]:
    """The connection's fields with one more at place `at`; as they are where that is past the end."""
    values = {
        "innovation": identity(identities[source], identities[target]),
        "source": source,
        "target": target,
        "weight": jnp.float32(weight),
        "enabled": jnp.bool_(True),
    }
    return {n: jnp.where(jnp.arange(len(genome.weight)) == at, v, getattr(genome, n)) for n, v in values.items()}
