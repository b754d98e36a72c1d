"""Uniform paths that train a supernet's options equally often."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.spaces import needed
from jaxnas.strategies._random_search import RandomSearchState
from jaxnas.strategies.best import black_box, unknown
from jaxnas.types import Space, Strategy, propose


def fair_paths(space: Space, *, budget: int = 1) -> Strategy:
    """Each round's paths have every option of each decision equally often: strict fairness (Chu et al., 2021).

    P is the number of options of the largest decision; one with fewer options repeats them, each as often as the others
    after as many rounds. Where the authors add up the P gradients of a round for one step, the evaluator steps on each.
    Recommends the best seen, which means little while weights still learn.

    Args:
      space: a plain product of its options.
      budget: weight steps on each path.

    Raises:
      InputError: a space that is not categorical, or that restricts combinations of options, so that no such paths
        exist.
    """
    check.integer("budget", budget, least=1)
    mask = needed.categorical("strategy 'fair_paths'", space)
    needed.free_combinations("strategy 'fair_paths'", space, "random_search(budget=…)")
    counts = mask.sum(1, dtype=np.int32)
    D, C = mask.shape

    def init(key):
        return RandomSearchState(jnp.int32(0), unknown(space, key))

    def ask(key, state):
        mixed = jax.vmap(lambda k: jax.random.permutation(k, jnp.arange(C, dtype=jnp.int32)))(
            jax.random.split(key, D)
        )  # [D, P]
        turn = state.asked // C
        # A decision of fewer options goes on in the next round where this one left off.
        genomes = (mixed + turn * C) % counts[:, None]
        proposal = propose(genomes.T, state.asked, budget=budget)
        return proposal, state.replace(asked=state.asked + C)

    def tell(key, state, proposal, feedback):
        return state.replace(best=state.best.update(proposal, feedback))

    one = black_box("fair_paths", init, ask, tell, budget=budget)
    return one._replace(needs=one.needs | {"shared"})
