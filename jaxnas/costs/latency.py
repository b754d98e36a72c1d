"""Latency of architectures, predicted from measured operations.

Each distinct operation of a space is timed alone; an architecture's latency is the sum over its operations. What that
leaves out (fusion, caches, operations side by side) is learned from a few whole networks: see `calibration`.
"""

import difflib
from collections.abc import Callable
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.costs.tables import LatencyTable, named_options
from jaxnas.costs.tracing import Tracer
from jaxnas.spaces import needed
from jaxnas.types import Space


class LatencyModel(NamedTuple):
    """Latency of a space's architectures in ms, in pure JAX.

    Attributes:
      latency: `genome [D] -> ms` of its pruned form.
      expected_latency: `probabilities [D, C] -> ms`, of decisions drawn independently; differentiable.
    """

    latency: Callable[[chex.Array], chex.Array]
    expected_latency: Callable[[chex.Array], chex.Array]


def latency_model(space: Space, network: nn.Module, table: LatencyTable, *, seed: int = 0) -> LatencyModel:
    """Predictions by a table.

    Args:
      space: of the genomes.
      network: whose operations the table must have; checked on random genomes.
      table: measured for this space and network.
      seed: of these genomes.

    Raises:
      InputError: a space that is not categorical, a table of another one, or an operation that it does not have, with
        the nearest that it has.
    """
    needed.categorical("latency_model", space)
    if named_options(space) != {name: list(options) for name, options in table.space.items()}:
        raise InputError(
            f"latency table: it is of a space that decides {', '.join(table.space)}, not of {space.name!r} with "
            f"{', '.join(space.decisions)} and the same options."
        )
    if not table.operations:  # fitted to whole networks
        if table.calibration.get("network") != str(network):
            raise InputError(
                f"latency table: it is of network {table.calibration.get('network')}, not of {network}; measure this."
            )
        return _model(space, table)
    genomes = jax.vmap(lambda key: space.pruned(space.sample(key)))(jax.random.split(jax.random.key(seed), 8))
    examples = [space.unpack(genome) for genome in np.asarray(genomes)]
    tracer = Tracer(network, table.batch, examples)
    for decisions in examples:
        for _, operation in tracer.operations(decisions):
            if operation not in table.operations:
                near = difflib.get_close_matches(operation, table.operations, n=1)
                raise InputError(
                    f"latency table: the network runs {operation!r}, which the table does not have"
                    f"{f' (the nearest is {near[0]!r})' if near else ''}. Measure this network with `jaxnas profile`."
                )

    return _model(space, table)


def _model(space: Space, table: LatencyTable) -> LatencyModel:
    def latency(genome):
        genome = space.pruned(jnp.asarray(genome))
        at = lambda term: jnp.asarray(term.ms, jnp.float32)[tuple(genome[d] for d in term.decisions)]
        return sum(at(term) for term in table.terms)

    def expected_latency(probabilities):
        total = 0.0
        for term in table.terms:
            left = jnp.asarray(term.ms, jnp.float32)
            for d in reversed(term.decisions):
                left = left @ probabilities[d, : left.shape[-1]]
            total += left
        return total

    return LatencyModel(latency, expected_latency)


def fastest(space: Space, latency: Callable, *, samples: int = 256, seed: int = 0) -> tuple[np.ndarray, float]:
    """A genome of least latency, by descent over neighbors from the fastest of random ones; and its latency.

    Raises:
      InputError: a space without neighbors, or whose genomes are no single arrays; a latency that is known of none of
        the samples.
    """
    needed.one_array("fastest", space)
    needed.functions("fastest", space, "neighbors")
    known = lambda ms: jnp.where(jnp.isnan(ms), jnp.inf, ms)
    of, neighbors = jax.jit(lambda genomes: known(jax.vmap(latency)(genomes))), jax.jit(space.neighbors)
    start = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), samples))
    best = start[jnp.argmin(of(start))]
    value = float(of(best[None])[0])
    if value == float("inf"):
        raise InputError(f"latency: it is not known of any of {samples} samples of space {space.name!r}.")
    while True:
        genomes, mask = neighbors(best)
        near = jnp.where(mask, of(genomes), jnp.inf)
        if not float(near.min()) < value:
            return np.asarray(best), value
        best, value = genomes[jnp.argmin(near)], float(near.min())
