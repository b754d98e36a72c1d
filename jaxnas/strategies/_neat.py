"""Neuroevolution of augmenting topologies (Stanley and Miikkulainen, 2002): speciated evolution."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.types import Genome, Space, Strategy, in_32_bits, propose, take, usable

NOBODY = jnp.iinfo(jnp.int32).max


@struct.dataclass
class Species:
    """S places for species.

    Attributes:
      number: `[S]` int32, in order of birth; -1 where the place is free.
      representative: genomes `[S, ...]`, what others are compared to.
      best: `[S]` highest fitness of any of its members, ever.
      improved: `[S]` int32, the generation when that rose last.
    """

    number: chex.Array
    representative: Genome
    best: chex.Array
    improved: chex.Array


@struct.dataclass
class NeatState:
    """The generation that was told last, and its species.

    Attributes:
      genomes: `[P, ...]`.
      fitness: `[P]`, -inf where not usable.
      id: `[P]` int32.
      member_of: `[P]` int32, numbers of species.
      species: those places.
      founded: int32, species ever.
      threshold: compatibility distance within which a genome belongs to a species.
      generation: int32, generations told.
      improved: int32, the generation when the best fitness of all rose last.
      asked: int32, ids given out.
      misplaced: int32, genomes that found no place for a species of their own, ever, and went to the nearest.
      best: the best ever seen.
    """

    genomes: Genome
    fitness: chex.Array
    id: chex.Array
    member_of: chex.Array
    species: Species
    founded: chex.Array
    threshold: chex.Array
    generation: chex.Array
    improved: chex.Array
    asked: chex.Array
    misplaced: chex.Array
    best: Best


def neat(
    space: Space,
    *,
    proposals: int = 150,
    threshold: float = 3.0,
    target_species: int = 10,
    threshold_step: float = 0.2,
    max_species: int = 32,
    survival: float = 0.2,
    crossover_rate: float = 0.75,
    interspecies_rate: float = 0.001,
    elitism: int = 5,
    stagnation: int = 15,
    refocus: int = 20,
    budget: int = 0,
) -> Strategy:
    """Speciated evolution with fitness sharing, of genomes that can be mutated, crossed and compared.

    Each ask is a whole generation: children of the last generation told, by species. A species has children in
    proportion to its members' mean fitness, which is what sharing fitness among them comes to (section 3.3); where some
    fitness is negative, the lowest counts as 0, and so does what lies three times as far below the median as the best
    lies above it: a penalty of -100 among 0 … 4 must not make all others alike. Parents are drawn from the fittest of a
    species. Children belong to the oldest species whose representative, a member of the last generation at random, is
    within the threshold, else they found one. Recommends the best ever seen.

    Where the paper says nothing: a species that stagnates has no children, unless it has the fittest of all; of equally
    fit parents the older counts as the fitter.

    Args:
      space: with `distance`, as `spaces.graph` has.
      proposals: P, the size of a generation.
      threshold: compatibility distance, at first.
      target_species: the threshold grows by the fraction `threshold_step` of it after a generation that has more, and
        shrinks after one that has fewer.
      threshold_step: 0 keeps the threshold, as the paper does.
      max_species: places for species; who finds none belongs to the nearest, and is counted (`state.misplaced`).
      survival: the fraction of a species that may have children.
      crossover_rate: probability that a child has two parents.
      interspecies_rate: probability that the second is of any species.
      elitism: the fittest of species of more than so many members is handed on unchanged.
      stagnation: generations without a higher fitness after which a species has no children.
      refocus: generations without one in all species after which, once, only the best two have children.
      budget: training steps for each.

    Raises:
      InputError: a space without a distance, a number out of its range.
    """
    needed.functions("strategy 'neat'", space, "mutate", "crossover", "distance")
    check.integer("proposals", proposals, least=2)
    check.integer("max_species", max_species, least=1)
    check.integer("target_species", target_species, least=1, most=max_species, because="max_species")
    for name, value in {"elitism": elitism, "stagnation": stagnation, "refocus": refocus}.items():
        check.integer(name, value, least=0)
    check.real("threshold", threshold, least=0)
    check.real("threshold_step", threshold_step, least=0)
    for name, value in {"crossover_rate": crossover_rate, "interspecies_rate": interspecies_rate}.items():
        check.real(name, value, least=0, most=1)
    check.real("survival", survival, least=0, most=1)
    P, S = proposals, max_species

    def init(key):
        genomes = jax.vmap(space.sample)(jax.random.split(key, P))
        return NeatState(
            genomes=genomes,
            fitness=jnp.full(P, -jnp.inf, jnp.float32),
            id=jnp.full(P, -1, jnp.int32),
            member_of=jnp.full(P, -1, jnp.int32),
            species=Species(
                number=jnp.full(S, -1, jnp.int32),
                representative=take(genomes, jnp.zeros(S, jnp.int32)),
                best=jnp.full(S, -jnp.inf, jnp.float32),
                improved=jnp.zeros(S, jnp.int32),
            ),
            founded=jnp.int32(0),
            threshold=jnp.float32(threshold),
            generation=jnp.int32(0),
            improved=jnp.int32(0),
            asked=jnp.int32(0),
            misplaced=jnp.int32(0),
            best=unknown(space, key),
        )

    def ask(key, state):
        breed_key, key = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(2))
        some = jnp.isfinite(state.fitness).any()
        children, parent = bred(breed_key, state)
        genomes = jax.tree.map(
            lambda new, old: jnp.where(some, new, old), children, state.genomes
        )  # at first, of `init`
        failed = ~some & (state.asked > 0)  # nobody may have children
        anew = lambda: jax.vmap(space.sample)(jax.random.split(breed_key, P))
        genomes = jax.lax.cond(failed, anew, lambda: genomes)
        state, member_of = speciated(key, state, genomes)
        parent = jnp.where(some, parent, -1)
        proposal = propose(genomes, state.asked, parent=parent, budget=budget, extra={"species": member_of})
        return proposal, state.replace(asked=state.asked + P)

    def bred(key, state):
        """`[P]` children and the ids of their parents, in order of the places of their species."""
        species, alive = state.species, state.species.number >= 0
        of = alive & (state.member_of[:, None] == species.number) & jnp.isfinite(state.fitness)[:, None]  # [P, S]
        sizes = of.sum(0, dtype=jnp.int32)
        best = jnp.max(jnp.where(of, state.fitness[:, None], -jnp.inf), 0)
        ahead = jnp.argmax(best)
        stale = state.generation - species.improved > stagnation
        may = (sizes > 0) & (~stale | (jnp.arange(S) == ahead))
        rank = (best[:, None] < best).sum(1, dtype=jnp.int32)
        gap = state.generation - state.improved
        may &= (rank < 2) | (gap == 0) | (gap % (refocus + 1) > 0)  # the others come anew from those two
        usable_fitness = jnp.where(jnp.isfinite(state.fitness), state.fitness, jnp.inf)
        middle = in_32_bits(jnp.nanmedian)(jnp.where(jnp.isfinite(state.fitness), state.fitness, jnp.nan))
        above = best.max() - middle
        fence = jnp.where(above > 0, middle - 3 * above, -jnp.inf)
        lowest = jnp.minimum(jnp.maximum(usable_fitness.min(), fence), 0.0)
        shared = jnp.where(of, jnp.maximum(state.fitness - lowest, 0.0)[:, None], 0.0).sum(0)
        share = jnp.where(may, shared / jnp.maximum(sizes, 1), 0.0)
        share = jnp.where(share.sum() > 0, share, may.astype(jnp.float32))  # all of fitness 0
        ends = jnp.round(jnp.cumsum(share) / share.sum() * P).astype(jnp.int32)
        begins = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])

        # Members by species, the fittest first; those without come last.
        place = jnp.where(of.any(1), jnp.argmax(of, 1), S)
        order = jnp.lexsort((-usable_fitness, place))
        first = jnp.cumsum(sizes, dtype=jnp.int32) - sizes
        parents = jnp.maximum(1, jnp.ceil(survival * sizes.astype(jnp.float32))).astype(jnp.int32)
        i = jnp.arange(P)
        own = (i[:, None] >= ends).sum(1, dtype=jnp.int32)
        own = jnp.minimum(own, S - 1)
        keys = jax.vmap(partial(jax.random.fold_in, key))(i)
        words = jax.vmap(lambda k: jax.random.uniform(k, (5,), jnp.float32))(keys)
        among = jnp.cumsum(may, dtype=jnp.int32)
        other = jnp.argmax(among > (words[:, 4] * among[-1]).astype(jnp.int32)[:, None], 1)
        other = jnp.where(words[:, 1] < interspecies_rate, other, own)

        def chosen(word, of_species):
            return order[
                first[of_species] + jnp.minimum(word * parents[of_species], parents[of_species] - 1).astype(jnp.int32)
            ]

        a, b = chosen(words[:, 2], own), chosen(words[:, 3], other)
        fitter = (state.fitness[a] > state.fitness[b]) | (
            (state.fitness[a] == state.fitness[b]) & (state.id[a] < state.id[b])
        )
        elite = (i == begins[own]) & (sizes[own] > elitism)
        mates = (words[:, 0] < crossover_rate) & ~elite
        a, b = jnp.where(mates & ~fitter, b, a), jnp.where(mates, jnp.where(fitter, b, a), a)
        a = jnp.where(elite, order[first[own]], a)

        def child(key, mates, elite, mother, father):
            cross_key, mutate_key = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(1, 3))
            crossed = space.crossover(cross_key, mother, father)
            made = jax.tree.map(lambda x, y: jnp.where(mates, x, y), crossed, mother)
            mutant = space.mutate(mutate_key, made)
            return jax.tree.map(lambda x, y: jnp.where(elite, x, y), mother, mutant)

        children = jax.vmap(child)(keys, mates, elite, take(state.genomes, a), take(state.genomes, b))
        return children, jnp.stack([state.id[a], jnp.where(mates, state.id[b], -1)], 1)

    def speciated(key, state, genomes):
        """The state with the species that those genomes make up, and the number of each genome's."""
        species = state.species
        # A representative of each old species, at random among those of the last generation.
        lots = jax.random.uniform(key, (P,), jnp.float32)
        of = (state.member_of[:, None] == species.number) & (species.number >= 0)
        drawn = jnp.argmax(jnp.where(of, lots[:, None], -1.0), 0)
        there = of.any(0)
        old = jax.tree.map(
            lambda new, leaf: jnp.where(there.reshape(S, *[1] * (leaf.ndim - 1)), new, leaf),
            take(state.genomes, drawn),
            species.representative,
        )
        species = species.replace(representative=old, number=jnp.where(there, species.number, -1))
        before = jnp.where(there, species.number, NOBODY)
        members = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), genomes)  # so they are compared, see `lanes`

        def goes_on(carry):
            _, _, member_of, _, _, pending = carry
            return pending & (member_of < 0).any()

        def one(carry):
            # The next representative: of the oldest species left, else the first genome without, who founds one.
            species, queue, member_of, near, founded, _ = carry
            is_old = (queue < NOBODY).any()
            free = species.number < 0
            pending = is_old | free.any()
            slot = jnp.where(is_old, jnp.argmin(queue), jnp.argmax(free))
            founder = jnp.argmax(member_of < 0)
            founds = pending & ~is_old
            put = lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, slot, 0)
            kept = lambda leaf, new: jnp.where(founds, new, leaf[slot])
            representative = jax.tree.map(lambda old, new: kept(old, new[founder]), species.representative, genomes)
            number = jnp.where(is_old, queue[slot], founded)
            apart = jax.vmap(space.distance, (-1, None))(members, representative).astype(jnp.float32)
            joins = pending & (member_of < 0) & ((apart < state.threshold) | (~is_old & (jnp.arange(P) == founder)))
            closer = pending & (apart < near[0])
            near = jnp.where(closer, apart, near[0]), jnp.where(closer, number, near[1])
            species = Species(
                number=put(species.number, kept(species.number, founded)),
                representative=jax.tree.map(put, species.representative, representative),
                best=put(species.best, kept(species.best, -jnp.inf)),
                improved=put(species.improved, kept(species.improved, state.generation)),
            )
            queue = put(queue, jnp.where(is_old, NOBODY, queue[slot]))
            return species, queue, jnp.where(joins, number, member_of), near, founded + founds, pending

        nobody = jnp.full(P, -1, jnp.int32)
        carry = (species, before, nobody, (jnp.full(P, jnp.inf, jnp.float32), nobody), state.founded, jnp.bool_(True))
        species, _, member_of, (_, nearest), founded, _ = jax.lax.while_loop(goes_on, one, carry)
        lost = member_of < 0
        member_of = jnp.where(lost, nearest, member_of)
        lives = (member_of[:, None] == species.number).any(0)
        count = (lives & (species.number >= 0)).sum(dtype=jnp.float32)
        moved = state.threshold * (1 + threshold_step * jnp.sign(count - target_species))
        return state.replace(
            species=species.replace(number=jnp.where(lives, species.number, -1)),
            founded=founded,
            threshold=moved,
            misplaced=state.misplaced + lost.sum(dtype=jnp.int32),
        ), member_of

    def tell(key, state, proposal, feedback):
        fitness = jnp.where(usable(proposal, feedback), feedback.fitness, -jnp.inf)
        species, member_of = state.species, proposal.extra["species"]
        of = (member_of[:, None] == species.number) & (species.number >= 0)
        best = jnp.max(jnp.where(of, fitness[:, None], -jnp.inf), 0)
        better = best > species.best
        generation = state.generation + 1
        return state.replace(
            genomes=proposal.genome,
            fitness=fitness,
            id=proposal.id,
            member_of=member_of,
            species=species.replace(
                best=jnp.where(better, best, species.best), improved=jnp.where(better, generation, species.improved)
            ),
            generation=generation,
            improved=jnp.where(fitness.max() > state.best.fitness, generation, state.improved),
            best=state.best.update(proposal, feedback),
        )

    return black_box("neat", init, ask, tell, budget=budget)._replace(recorded=("species",))
