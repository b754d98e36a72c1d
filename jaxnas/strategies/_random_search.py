"""Random search: the baseline that every strategy has to beat (Li and Talwalkar, 2019)."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.strategies.best import Best, adopted, black_box, unknown
from jaxnas.types import Space, Strategy, propose


@struct.dataclass
class RandomSearchState:
    asked: chex.Array
    best: Best


def random_search(space: Space, *, proposals: int = 1, budget: int = 0) -> Strategy:
    """Uniform samples, independent and with repeats; recommends the best seen.

    Args:
      space: what to sample from.
      proposals: P, architectures in each ask.
      budget: training steps for each.
    """
    check.integer("proposals", proposals, least=1)

    def init(key):
        return RandomSearchState(jnp.int32(0), unknown(space, key))

    def ask(key, state):
        genomes = jax.vmap(space.sample)(jax.random.split(key, proposals))
        return propose(genomes, state.asked, budget=budget), state.replace(asked=state.asked + proposals)

    def tell(key, state, proposal, feedback):
        return state.replace(best=state.best.update(proposal, feedback))

    return black_box("random_search", init, ask, tell, budget=budget, adopt=adopted)
