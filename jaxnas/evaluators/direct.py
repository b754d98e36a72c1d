"""Fitness straight from a user's function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.networks import GraphNetwork
from jaxnas.types import Evaluator, member_keys, population_of, scored


def direct(fitness: Callable, *, network: GraphNetwork | None = None, jittable: bool = True) -> Evaluator:
    """Evaluates `fitness(key, genome)`, or with a network `fitness(apply, genome, key)`, on every member.

    It gives a scalar, higher is better, or `(scalar, {name: metric})`. What is not finite marks a failure: the member
    is recorded as not valid, and counted, and never becomes a parent.

    Args:
      fitness: pure JAX code, vmapped over the population; or, with `jittable=False`, any Python function, called
        once for each active member with a NumPy genome.
      network: how genomes that are graphs compute. `apply(genome, inputs)` is its `apply`; for the very genome that
        `fitness` was given, weights are made ready once, outside of any loop that calls it.
      jittable: whether `fitness` can be traced.

    Raises:
      InputError: (when first evaluated) `fitness` gives something else.
    """

    def member(key, genome, wired):
        if network is None:
            return _said(fitness(key, genome))

        def apply(own, *inputs):
            return network.run(wired, *inputs) if own is genome else network.apply(own, *inputs)

        return _said(fitness(apply, genome, key))

    def traced(key, state, proposal):
        genomes, wired = proposal.genome, None
        if network is not None:
            wired = jax.vmap(network.prepare, out_axes=-1)(genomes)  # members last, as the network computes
        values, metrics = jax.vmap(member, (0, 0, -1))(member_keys(key, proposal), genomes, wired)
        return scored(values, metrics=metrics), state

    def called(key, state, proposal):
        P = population_of(proposal)
        host, keys = jax.tree.map(np.asarray, proposal), member_keys(key, proposal)
        values, metrics = np.full(P, np.nan, np.float32), {}
        for i in np.flatnonzero(host.active):
            one = jax.tree.map(lambda leaf: leaf[i], host.genome)  # noqa: B023 used at once
            said = fitness(keys[i], one) if network is None else fitness(network.apply, one, keys[i])
            values[i], named = _said(said)
            for name, value in named.items():
                metrics.setdefault(name, np.full(P, np.nan, np.float32))[i] = value
        return scored(values, valid=np.isfinite(values), metrics=metrics), state

    return Evaluator("direct", init=lambda key: (), evaluate=traced if jittable else called, jittable=jittable)


def _said(value) -> tuple:
    """The fitness and the metrics of what a fitness function returned."""
    value, metrics = value if isinstance(value, tuple) else (value, {})
    metrics = {name: jnp.asarray(metric) for name, metric in metrics.items()}
    for name, part in {"fitness": value, **metrics}.items():
        shape = np.shape(part)
        if shape != ():
            raise InputError(
                f"evaluator 'direct': expected {name} to be one number for each genome, got an array of shape {shape}; "
                "reduce it, by a sum or mean say."
            )
    return jnp.asarray(value, jnp.float32), metrics
