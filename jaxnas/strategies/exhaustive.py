"""Every genome once, in the order of the space's enumeration."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.strategies.best import Best, black_box, unknown
from jaxnas.types import Space, Strategy, propose


@struct.dataclass
class State:
    asked: chex.Array
    best: Best


def exhaustive(space: Space, *, proposals: int = 1, budget: int = 0) -> Strategy:
    """Asks for rows 0, 1, 2, … of the space; after the last, all members are inactive. Recommends the best.

    Args:
      space: must be enumerable.
      proposals: P, architectures in each ask; `ceil(space.size / P)` rounds see them all.
      budget: training steps for each.

    Raises:
      ValueError: the space has no enumeration.
    """
    if space.from_index is None:
        raise ValueError(f"space {space.name!r} of {space.size} genomes has no enumeration to go through.")
    check.integer("proposals", proposals, least=1)

    def init(key):
        return State(jnp.int32(0), unknown(space, key))

    def ask(key, state):
        rows = state.asked + jnp.arange(proposals)
        active = rows < space.size
        genomes = jax.vmap(space.from_index)(jnp.minimum(rows, space.size - 1))
        proposal = propose(genomes, state.asked, budget=budget, active=active)
        return proposal, state.replace(asked=state.asked + active.sum(dtype=jnp.int32))

    def tell(key, state, proposal, feedback):
        return state.replace(best=state.best.update(proposal, feedback))

    return black_box("exhaustive", init, ask, tell, budget=budget)
