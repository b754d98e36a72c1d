"""Every genome once."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.types import Space, Strategy, propose


@struct.dataclass
class ExhaustiveState:
    asked: chex.Array
    best: Best


def exhaustive(space: Space, *, distinct: bool = False, proposals: int = 1, budget: int = 0) -> Strategy:
    """Asks for rows 0, 1, 2, … of the space; after the last, all members are inactive. Recommends the best.

    Args:
      space: must be enumerable.
      distinct: ask only for the `canonical` genome of those that build the same network, see `distinct_genomes`.
      proposals: P, architectures in each ask; `ceil(count / P)` rounds see them all.
      budget: training steps for each.

    Raises:
      InputError: the space has no enumeration.
    """
    needed.functions("strategy 'exhaustive'", space, "from_index")
    every = distinct_genomes(space) if distinct else None
    check.integer("proposals", proposals, least=1)
    count = len(every) if distinct else space.size

    def init(key):
        return ExhaustiveState(jnp.int32(0), unknown(space, key))

    def ask(key, state):
        rows = state.asked + jnp.arange(proposals)
        active = rows < count
        rows = jnp.minimum(rows, count - 1)
        genomes = jnp.asarray(every)[rows] if distinct else jax.vmap(space.from_index)(rows)
        proposal = propose(genomes, state.asked, budget=budget, active=active)
        return proposal, state.replace(asked=state.asked + active.sum(dtype=jnp.int32))

    def tell(key, state, proposal, feedback):
        return state.replace(best=state.best.update(proposal, feedback))

    return black_box("exhaustive", init, ask, tell, budget=budget)


def distinct_genomes(space: Space) -> np.ndarray:
    """`[U, D]` the canonical genomes of an enumerable space, in lexicographic order, so that neighbors are alike."""
    canonical = jax.jit(jax.vmap(lambda row: space.canonical(space.from_index(row))))
    return np.unique(np.asarray(canonical(jnp.arange(space.size))), axis=0)
