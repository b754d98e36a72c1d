"""Fitness straight from a user's function of the genome."""

from collections.abc import Callable

import jax
import numpy as np

from jaxnas.types import Evaluator, member_keys, population_of, scored


def direct(fitness: Callable, *, jittable: bool = True) -> Evaluator:
    """Evaluates `fitness(key, genome) -> scalar` on every member; higher is better, NaN marks a failure.

    Args:
      fitness: pure JAX code, vmapped over the population; or, with `jittable=False`, any Python function, called
        once for each active member with a NumPy genome.
      jittable: whether `fitness` can be traced.
    """

    def traced(key, state, proposal):
        return scored(jax.vmap(fitness)(member_keys(key, proposal), proposal.genome)), state

    def called(key, state, proposal):
        values = np.full(population_of(proposal), np.nan, np.float32)
        host, keys = jax.tree.map(np.asarray, proposal), member_keys(key, proposal)
        for i in np.flatnonzero(host.active):
            member = jax.tree.map(lambda leaf: leaf[i], host.genome)  # noqa: B023 used at once
            values[i] = fitness(keys[i], member)
        return scored(values, valid=np.isfinite(values)), state

    return Evaluator("direct", init=lambda key: (), evaluate=traced if jittable else called, jittable=jittable)
