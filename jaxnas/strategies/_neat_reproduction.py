"""The next generation of NEAT: how many children each species has, of which parents."""

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxnas.strategies._neat_state import NeatState
from jaxnas.types import Genome, Space, in_32_bits, take


class Reproduction(NamedTuple):
    """Its numbers, as `neat` documents them."""

    survival: float
    crossover_rate: float
    interspecies_rate: float
    elitism: int
    stagnation: int
    refocus: int


class _Parents(NamedTuple):
    """Places in the generation of the P children's parents, the fitter first, and what is done with them."""

    first: chex.Array
    second: chex.Array
    mates: chex.Array
    elite: chex.Array


def reproduce(key: chex.PRNGKey, state: NeatState, space: Space, rules: Reproduction) -> tuple[Genome, chex.Array]:
    """`[P]` children, in order of the places of their species, and `[P, 2]` the ids of their parents."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(len(state.fitness)))
    words = jax.vmap(lambda k: jax.random.uniform(k, (5,), jnp.float32))(keys)
    parents = _select(words, state, rules)

    def child(key, mates, elite, mother, father):
        cross_key, mutate_key = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(1, 3))
        crossed = space.crossover(cross_key, mother, father)
        made = jax.tree.map(lambda x, y: jnp.where(mates, x, y), crossed, mother)
        mutant = space.mutate(mutate_key, made)
        return jax.tree.map(lambda x, y: jnp.where(elite, x, y), mother, mutant)

    mothers, fathers = take(state.genomes, parents.first), take(state.genomes, parents.second)
    children = jax.vmap(child)(keys, parents.mates, parents.elite, mothers, fathers)
    second = jnp.where(parents.mates, state.id[parents.second], -1)
    return children, jnp.stack([state.id[parents.first], second], 1)


def _select(words: chex.Array, state: NeatState, rules: Reproduction) -> _Parents:
    """Parents by five uniform numbers `[P, 5]`: whether to mate, with which species, two members, another species."""
    P, S = len(state.fitness), len(state.species.number)
    member = state.membership & jnp.isfinite(state.fitness)[:, None]  # [P, S]
    sizes = member.sum(0, dtype=jnp.int32)
    may = _may_reproduce(state, member, sizes, rules)
    begins, ends = _children(state, member, sizes, may)
    # Members by species, the fittest first; those without a species come last.
    place = jnp.where(member.any(1), jnp.argmax(member, 1), S)
    order = jnp.lexsort((-_finite(state.fitness), place))
    first = jnp.cumsum(sizes, dtype=jnp.int32) - sizes
    parents = jnp.maximum(1, jnp.ceil(rules.survival * sizes.astype(jnp.float32))).astype(jnp.int32)
    i = jnp.arange(P)
    own = jnp.minimum((i[:, None] >= ends).sum(1, dtype=jnp.int32), S - 1)
    among = jnp.cumsum(may, dtype=jnp.int32)
    other = jnp.argmax(among > (words[:, 4] * among[-1]).astype(jnp.int32)[:, None], 1)
    other = jnp.where(words[:, 1] < rules.interspecies_rate, other, own)

    def chosen(word, species):
        return order[first[species] + jnp.minimum(word * parents[species], parents[species] - 1).astype(jnp.int32)]

    a, b = chosen(words[:, 2], own), chosen(words[:, 3], other)
    fitter = (state.fitness[a] > state.fitness[b]) | (
        (state.fitness[a] == state.fitness[b]) & (state.id[a] < state.id[b])
    )
    elite = (i == begins[own]) & (sizes[own] > rules.elitism)
    mates = (words[:, 0] < rules.crossover_rate) & ~elite
    a, b = jnp.where(mates & ~fitter, b, a), jnp.where(mates, jnp.where(fitter, b, a), a)
    return _Parents(jnp.where(elite, order[first[own]], a), b, mates, elite)


def _may_reproduce(state: NeatState, member: chex.Array, sizes: chex.Array, rules: Reproduction) -> chex.Array:
    """`[S]` species that have children: not stagnating, or the best; and where all stagnate, once, the best two."""
    best = _best(state, member)
    stale = state.generation - state.species.improved > rules.stagnation
    may = (sizes > 0) & (~stale | (jnp.arange(len(sizes)) == jnp.argmax(best)))
    rank = (best[:, None] < best).sum(1, dtype=jnp.int32)
    gap = state.generation - state.improved
    return may & ((rank < 2) | (gap == 0) | (gap % (rules.refocus + 1) > 0))


def _children(
    state: NeatState, member: chex.Array, sizes: chex.Array, may: chex.Array
) -> tuple[chex.Array, chex.Array]:
    """`[S]` the first of each species' children, and the one after the last: in proportion to its mean fitness."""
    lowest = jnp.minimum(jnp.maximum(_finite(state.fitness).min(), _fence(state, member)), 0.0)
    shared = jnp.where(member, jnp.maximum(state.fitness - lowest, 0.0)[:, None], 0.0).sum(0)
    share = jnp.where(may, shared / jnp.maximum(sizes, 1), 0.0)
    share = jnp.where(share.sum() > 0, share, may.astype(jnp.float32))  # all of fitness 0
    ends = jnp.round(jnp.cumsum(share) / share.sum() * len(member)).astype(jnp.int32)
    return jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]]), ends


def _fence(state: NeatState, member: chex.Array) -> chex.Array:
    """Fitness three times as far below the median as the best lies above it; -inf where all are equal."""
    middle = in_32_bits(jnp.nanmedian)(jnp.where(jnp.isfinite(state.fitness), state.fitness, jnp.nan))
    above = _best(state, member).max() - middle
    return jnp.where(above > 0, middle - 3 * above, -jnp.inf)


def _best(state: NeatState, member: chex.Array) -> chex.Array:
    """`[S]` highest fitness in each species."""
    return jnp.max(jnp.where(member, state.fitness[:, None], -jnp.inf), 0)


def _finite(fitness: chex.Array) -> chex.Array:
    """`[P]` fitness, infinite where it is not usable, so that it is never the lowest."""
    return jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)
