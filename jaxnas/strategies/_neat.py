"""Neuroevolution of augmenting topologies (Stanley and Miikkulainen, 2002): speciated evolution."""

from functools import partial

import chex
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies._neat_reproduction import Reproduction, reproduce
from jaxnas.strategies._neat_speciation import Speciation, speciate
from jaxnas.strategies._neat_state import NeatState, Species
from jaxnas.strategies.best import adopted, black_box, unknown
from jaxnas.types import Feedback, Proposal, Space, Strategy, propose, take, usable


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
      max_species: places for species; a genome that finds none belongs to the nearest, and is counted in
        `state.misplaced`.
      survival: the fraction of a species that may have children.
      crossover_rate: probability that a child has two parents.
      interspecies_rate: probability that the second is of any species.
      elitism: the fittest of a species of more than `elitism` members is handed on unchanged.
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
    reproduction = Reproduction(survival, crossover_rate, interspecies_rate, elitism, stagnation, refocus)
    speciation = Speciation(target_species, threshold_step)

    def ask(key, state):
        breed_key, key = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(2))
        some = jnp.isfinite(state.fitness).any()
        children, parent = reproduce(breed_key, state, space, reproduction)
        # At first, those of `init`.
        genomes = jax.tree.map(lambda new, old: jnp.where(some, new, old), children, state.genomes)
        failed = ~some & (state.asked > 0)  # then none can be a parent
        again = lambda: jax.vmap(space.sample)(jax.random.split(breed_key, proposals))
        genomes = jax.lax.cond(failed, again, lambda: genomes)
        state, member_of = speciate(key, state, genomes, space.distance, speciation)
        parent = jnp.where(some, parent, -1)
        proposal = propose(genomes, state.asked, parent=parent, budget=budget, extra={"species": member_of})
        return proposal, state.replace(asked=state.asked + proposals)

    def adopt(state, proposal, genomes, wanted):
        proposal, state, there = adopted(state, proposal, genomes, wanted)
        to_all = jax.vmap(jax.vmap(space.distance, (None, 0)), (0, None))
        apart = to_all(proposal.genome, state.species.representative)
        nearest = jnp.argmin(jnp.where(state.species.number >= 0, apart, jnp.inf), 1)
        species = jnp.where(there, state.species.number[nearest], proposal.extra["species"])
        return proposal.replace(extra={"species": species}), state, there

    init = partial(_init, space, proposals, max_species, threshold)
    return black_box("neat", init, ask, _tell, budget=budget, adopt=adopt)._replace(recorded=("species",))


def _init(space: Space, proposals: int, max_species: int, threshold: float, key: chex.PRNGKey) -> NeatState:
    P, S = proposals, max_species
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


def _tell(key: chex.PRNGKey, state: NeatState, proposal: Proposal, feedback: Feedback) -> NeatState:
    fitness = jnp.where(usable(proposal, feedback), feedback.fitness, -jnp.inf)
    generation = state.generation + 1
    improved = jnp.where(fitness.max() > state.best.fitness, generation, state.improved)
    told = state.replace(
        genomes=proposal.genome,
        fitness=fitness,
        id=proposal.id,
        member_of=proposal.extra["species"],
        generation=generation,
        improved=improved,
        best=state.best.update(proposal, feedback),
    )
    best = jnp.max(jnp.where(told.membership, fitness[:, None], -jnp.inf), 0)
    better = best > state.species.best
    species = state.species.replace(
        best=jnp.where(better, best, state.species.best),
        improved=jnp.where(better, generation, state.species.improved),
    )
    return told.replace(species=species)
