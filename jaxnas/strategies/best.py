"""The best genome seen so far: what black-box strategies recommend."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.types import Ask, Feedback, Genome, Init, Proposal, Space, Strategy, Tell, narrow, take, usable


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


def black_box(name: str, init: Init, ask: Ask, tell: Tell, *, budget: int) -> Strategy:
    """A strategy that reads fitness alone and recommends `state.best`; a budget of 0 trains none.

    `tell` is handed feedback of 32 bits.
    """
    check.integer("budget", budget, least=0)
    gives = frozenset({"budget"} if budget else ())
    told = lambda key, state, proposal, feedback: tell(key, state, proposal, narrow(feedback))
    return Strategy(name, init, ask, told, recommend=lambda state: state.best.genome, gives=gives)
