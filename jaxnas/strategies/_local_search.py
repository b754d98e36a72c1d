"""Local search with restarts (White, Nolen and Savani, 2021, Algorithm 1, moving at the first improvement)."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, adopted, black_box, unknown
from jaxnas.types import Genome, Space, Strategy, propose, take, usable


@struct.dataclass
class LocalSearchState:
    """Where the search stands: a center, and its N neighbors of which the first `asked` in `order` were proposed."""

    center: Genome
    fitness: chex.Array
    center_id: chex.Array
    order: chex.Array
    left: chex.Array
    asked: chex.Array
    best: Best


def local_search(space: Space, *, proposals: int = 1, budget: int = 0) -> Strategy:
    """Walks to the first better neighbor, neighbors in random order; from a local optimum, restarts at random.

    With `proposals` > 1 the neighbors are tried P at a time and the best of them is taken if it improves; a restart
    begins at the best of P random genomes. The end of a neighborhood is padded with inactive members.

    Args:
      space: must have `neighbors`.
      proposals: P, architectures in each ask.
      budget: training steps for each.

    Raises:
      InputError: a space without neighbors, a number out of its range.
    """
    P = proposals
    needed.functions("strategy 'local_search'", space, "neighbors")
    check.integer("proposals", P, least=1)

    def init(key):
        center = space.sample(key)
        N = jax.eval_shape(space.neighbors, center)[1].shape[0]
        return LocalSearchState(
            center=center,
            fitness=jnp.float32(-jnp.inf),
            center_id=jnp.int32(-1),
            order=jnp.arange(N, dtype=jnp.int32),
            left=jnp.int32(0),
            asked=jnp.int32(0),
            best=unknown(space, key),
        )

    def ask(key, state):
        N = state.order.shape[0]
        restart = state.left == 0
        fresh = jax.vmap(space.sample)(jax.random.split(key, P))
        neighbors, mask = space.neighbors(state.center)
        begin = mask.sum(dtype=jnp.int32) - state.left
        near = take(neighbors, state.order[jnp.clip(begin + jnp.arange(P), 0, N - 1)])
        center_id = jnp.where(restart, -1, state.center_id)
        proposal = propose(
            jax.tree.map(lambda a, b: jnp.where(restart, a, b), fresh, near),
            state.asked,
            parent=jnp.stack([jnp.full(P, center_id), jnp.full(P, -1, jnp.int32)], 1),
            budget=budget,
            active=restart | (jnp.arange(P) < state.left),
        )
        return proposal, state.replace(
            fitness=jnp.where(restart, -jnp.inf, state.fitness),
            center_id=center_id,
            left=jnp.maximum(state.left - P, 0),
            asked=state.asked + proposal.active.sum(dtype=jnp.int32),
        )

    def tell(key, state, proposal, feedback):
        # An answer about another center, from an ask before the last move, only counts for the best.
        fresh = usable(proposal, feedback) & (proposal.parent[:, 0] == state.center_id)
        fitness = jnp.where(fresh, feedback.fitness, -jnp.inf)
        i = jnp.argmax(fitness)
        moves = fitness[i] > state.fitness
        center = jax.tree.map(lambda new, old: jnp.where(moves, new[i], old), proposal.genome, state.center)
        mask = space.neighbors(center)[1]
        order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape, jnp.float32), jnp.inf)).astype(
            jnp.int32
        )
        return LocalSearchState(
            center=center,
            fitness=jnp.where(moves, fitness[i], state.fitness),
            center_id=jnp.where(moves, proposal.id[i], state.center_id),
            order=jnp.where(moves, order, state.order),
            left=jnp.where(moves, mask.sum(dtype=jnp.int32), state.left),
            asked=state.asked,
            best=state.best.update(proposal, feedback),
        )

    def adopt(state, proposal, genomes, wanted):
        # Of a neighborhood only neighbors count.
        return adopted(state, proposal, genomes, wanted & (state.center_id < 0))

    return black_box("local_search", init, ask, tell, budget=budget, adopt=adopt)
