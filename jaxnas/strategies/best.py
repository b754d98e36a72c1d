"""The best genome seen so far: what black-box strategies recommend."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.types import (
    Adopt,
    Ask,
    Feedback,
    Genome,
    Init,
    Proposal,
    Space,
    State,
    Strategy,
    Tell,
    narrow,
    take,
    usable,
)


@struct.dataclass
class Best:
    """`genome` and its `fitness` (-inf before anything usable was told)."""

    genome: Genome
    fitness: chex.Array

    def update(self, proposal: Proposal, feedback: Feedback) -> "Best":
        """The better of this and the best usable member; the earlier one on ties."""
        fitness = jnp.where(usable(proposal, feedback), feedback.fitness, -jnp.inf)
        i = jnp.argmax(fitness)
        better = fitness[i] > self.fitness
        genome = jax.tree.map(lambda new, old: jnp.where(better, new, old), take(proposal.genome, i), self.genome)
        return Best(genome, jnp.where(better, fitness[i], self.fitness))


def unknown(space: Space, key: chex.PRNGKey) -> Best:
    """The start: a random genome of fitness -inf."""
    return Best(space.sample(key), jnp.float32(-jnp.inf))


def multi_fidelity(name: str, init: Init, ask: Ask, tell: Tell, *, adopt: Adopt) -> Strategy:
    """A strategy that says itself how long each member is trained, reads fitness alone and recommends `state.best`."""
    return Strategy(
        name,
        init,
        ask,
        tell,
        recommend=lambda state: state.best.genome,
        needs=frozenset({"fitness", "budget"}),
        gives=frozenset({"budget"}),
        adopt=adopt,
    )


def of_largest_budget(
    best: Best, reached: chex.Array, proposal: Proposal, feedback: Feedback
) -> tuple[Best, chex.Array]:
    """The best among members of the largest budget told, and that budget: fitness of others is not comparable."""
    ok = usable(proposal, feedback)
    budget = jnp.max(jnp.where(ok, proposal.budget, -1))
    best = best.replace(fitness=jnp.where(budget > reached, -jnp.inf, best.fitness))
    counts = proposal.active & (proposal.budget >= jnp.maximum(budget, reached))
    return best.update(proposal.replace(active=counts), feedback), jnp.maximum(reached, budget)


def adopted(
    state: State, proposal: Proposal, genomes: Genome, wanted: chex.Array
) -> tuple[Proposal, State, chex.Array]:
    """`Strategy.adopt` of a strategy that learns from whatever genomes it is told of; these have no parents."""
    there = wanted & proposal.active
    put = lambda new, old: jnp.where(there.reshape(-1, *[1] * (old.ndim - 1)), new, old)
    genome = jax.tree.map(put, genomes, proposal.genome)
    return proposal.replace(genome=genome, parent=jnp.where(there[:, None], -1, proposal.parent)), state, there


def black_box(name: str, init: Init, ask: Ask, tell: Tell, *, budget: int, adopt: Adopt | None = None) -> Strategy:
    """A strategy that reads fitness alone and recommends `state.best`; a budget of 0 trains none.

    `tell` is handed feedback of 32 bits.
    """
    check.integer("budget", budget, least=0)
    gives = frozenset({"budget"} if budget else ())
    told = lambda key, state, proposal, feedback: tell(key, state, proposal, narrow(feedback))
    return Strategy(name, init, ask, told, recommend=lambda state: state.best.genome, gives=gives, adopt=adopt)
