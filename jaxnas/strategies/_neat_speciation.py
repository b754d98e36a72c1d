"""Species of NEAT: genomes within a distance of a representative (Stanley and Miikkulainen, 2002, section 3.3)."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxnas.strategies._neat_state import NeatState, Species
from jaxnas.types import Genome, take

NO_SPECIES = jnp.iinfo(jnp.int32).max


class Speciation(NamedTuple):
    """Its numbers, as `neat` documents them."""

    target_species: int
    threshold_step: float


class _Sorting(NamedTuple):
    """Genomes on their way into species.

    Attributes:
      species: those found so far among them.
      queue: `[S]` numbers of the old species that have not been compared yet; `NO_SPECIES` for the others.
      member_of: `[P]` number of each genome's species, -1 where it has none yet.
      near: `[P]` the least distance to a representative so far, and `[P]` the number of its species.
      founded: species ever.
      pending: whether there is a representative left to compare, or a place for a species.
    """

    species: Species
    queue: chex.Array
    member_of: chex.Array
    near: tuple[chex.Array, chex.Array]
    founded: chex.Array
    pending: chex.Array


def speciate(
    key: chex.PRNGKey, state: NeatState, genomes: Genome, distance: Callable, rules: Speciation
) -> tuple[NeatState, chex.Array]:
    """The state with the species that `genomes` `[P, ...]` make up, and `[P]` the number of each genome's."""
    P = len(state.fitness)
    species = _with_representatives(key, state)
    queue = jnp.where(species.number >= 0, species.number, NO_SPECIES)
    none = jnp.full(P, -1, jnp.int32)
    near = jnp.full(P, jnp.inf, jnp.float32), none
    found = _Sorting(species, queue, none, near, state.founded, jnp.bool_(True))
    members = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), genomes)  # so they are compared, see `batching`

    def compare(found):
        return _next_representative(found, state, genomes, members, distance)

    found = jax.lax.while_loop(lambda found: found.pending & (found.member_of < 0).any(), compare, found)
    lost = found.member_of < 0
    member_of = jnp.where(lost, found.near[1], found.member_of)
    lives = (member_of[:, None] == found.species.number).any(0)
    count = (lives & (found.species.number >= 0)).sum(dtype=jnp.float32)
    threshold = state.threshold * (1 + rules.threshold_step * jnp.sign(count - rules.target_species))
    return state.replace(
        species=found.species.replace(number=jnp.where(lives, found.species.number, -1)),
        founded=found.founded,
        threshold=threshold,
        misplaced=state.misplaced + lost.sum(dtype=jnp.int32),
    ), member_of


def _with_representatives(key: chex.PRNGKey, state: NeatState) -> Species:
    """The species that have members, each represented by one of them at random."""
    S = len(state.species.number)
    lots = jax.random.uniform(key, state.fitness.shape, jnp.float32)
    member = state.membership
    drawn = jnp.argmax(jnp.where(member, lots[:, None], -1.0), 0)
    there = member.any(0)
    representative = jax.tree.map(
        lambda new, old: jnp.where(there.reshape(S, *[1] * (old.ndim - 1)), new, old),
        take(state.genomes, drawn),
        state.species.representative,
    )
    number = jnp.where(there, state.species.number, -1)
    return state.species.replace(representative=representative, number=number)


def _next_representative(
    found: _Sorting, state: NeatState, genomes: Genome, members: Genome, distance: Callable
) -> _Sorting:
    """Compares the oldest species left, else founds one of the first genome without, with all that have none."""
    species, queue, member_of, near, founded, _ = found
    is_old = (queue < NO_SPECIES).any()
    free = species.number < 0
    pending = is_old | free.any()
    slot = jnp.where(is_old, jnp.argmin(queue), jnp.argmax(free))
    founder = jnp.argmax(member_of < 0)
    founds = pending & ~is_old
    put = lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, slot, 0)
    kept = lambda leaf, new: jnp.where(founds, new, leaf[slot])
    representative = jax.tree.map(lambda old, new: kept(old, new[founder]), species.representative, genomes)
    number = jnp.where(is_old, queue[slot], founded)
    apart = jax.vmap(distance, (-1, None))(members, representative).astype(jnp.float32)
    is_founder = ~is_old & (jnp.arange(len(member_of)) == founder)
    joins = pending & (member_of < 0) & ((apart < state.threshold) | is_founder)
    closer = pending & (apart < near[0])
    return _Sorting(
        species=Species(
            number=put(species.number, kept(species.number, founded)),
            representative=jax.tree.map(put, species.representative, representative),
            best=put(species.best, kept(species.best, -jnp.inf)),
            improved=put(species.improved, kept(species.improved, state.generation)),
        ),
        queue=put(queue, jnp.where(is_old, NO_SPECIES, queue[slot])),
        member_of=jnp.where(joins, number, member_of),
        near=(jnp.where(closer, apart, near[0]), jnp.where(closer, number, near[1])),
        founded=founded + founds,
        pending=pending,
    )
