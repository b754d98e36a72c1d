"""Cost of architectures, predicted by a table: latency from measured operations, say.

Each distinct operation of a space is timed alone; an architecture's latency is the sum over its operations. What that
leaves out (fusion, caches, operations side by side) is learned from a few whole networks: see `calibration`.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.costs.tables import CostTable, CostTerm, named_options
from jaxnas.costs.tracing import Tracer
from jaxnas.execution import execution
from jaxnas.spaces import needed
from jaxnas.types import Space


class CostModel(NamedTuple):
    """A cost of a space's architectures, in pure JAX.

    Attributes:
      cost: `genome [D] ->` that of its pruned form, in the table's unit.
      expected_cost: `probabilities [D, C] ->` that of decisions drawn independently; differentiable.
    """

    cost: Callable[[chex.Array], chex.Array]
    expected_cost: Callable[[chex.Array], chex.Array]


def cost_model(space: Space, network: nn.Module, table: CostTable, *, seed: int = 0) -> CostModel:
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
    needed.categorical("cost_model", space)
    if named_options(space) != {name: list(options) for name, options in table.space.items()}:
        raise InputError(
            f"cost table: it is of a space that decides {', '.join(table.space)}, not of {space.name!r} with "
            f"{', '.join(space.decisions)} and the same options."
        )
    if not table.operations:  # fitted to whole networks
        if table.calibration.get("network") != str(network):
            raise InputError(
                f"cost table: it is of network {table.calibration.get('network')}, not of {network}; measure this."
            )
        return costs_of(space, table.terms)
    genomes = jax.vmap(lambda key: space.pruned(space.sample(key)))(jax.random.split(jax.random.key(seed), 8))
    examples = [space.unpack(genome) for genome in np.asarray(genomes)]
    with execution(platform=table.environment["platform"]):  # whose programs may have other forms than those of here
        tracer = Tracer(network, table.batch, examples)
        runs = dict.fromkeys(key for decisions in examples for _, key in tracer.operations(decisions))
    for operation in runs:
        if operation not in table.operations:
            near = difflib.get_close_matches(operation, table.operations, n=1)
            raise InputError(
                f"cost table: the network runs {operation!r}, which the table does not have"
                f"{f' (the nearest is {near[0]!r})' if near else ''}. Measure this network with `jaxnas profile`."
            )
    return costs_of(space, table.terms)


def costs_of(space: Space, terms: Sequence[CostTerm]) -> CostModel:
    """The sum of terms of a pruned genome's decisions."""

    def cost(genome):
        genome = space.pruned(jnp.asarray(genome))
        at = lambda term: jnp.asarray(term.values, jnp.float32)[tuple(genome[d] for d in term.decisions)]
        return sum(at(term) for term in terms)

    def expected_cost(probabilities):
        total = 0.0
        for term in terms:
            left = jnp.asarray(term.values, jnp.float32)
            for d in reversed(term.decisions):
                left = left @ probabilities[d, : left.shape[-1]]
            total += left
        return total

    return CostModel(cost, expected_cost)


def cheapest(space: Space, cost: Callable, *, samples: int = 256, seed: int = 0) -> tuple[np.ndarray, float]:
    """A genome of least cost, by descent over neighbors from the cheapest of random ones; and its cost.

    Raises:
      InputError: a space without neighbors, or whose genomes are no single arrays; a cost that is known of none of
        the samples.
    """
    needed.one_array("cheapest", space)
    needed.functions("cheapest", space, "neighbors")
    known = lambda costs: jnp.where(jnp.isnan(costs), jnp.inf, costs)
    of, neighbors = jax.jit(lambda genomes: known(jax.vmap(cost)(genomes))), jax.jit(space.neighbors)
    start = jax.vmap(space.sample)(jax.random.split(jax.random.key(seed), samples))
    best = start[jnp.argmin(of(start))]
    value = float(of(best[None])[0])
    if value == float("inf"):
        raise InputError(f"cost: it is not known of any of {samples} samples of space {space.name!r}.")
    while True:
        genomes, mask = neighbors(best)
        near = jnp.where(mask, of(genomes), jnp.inf)
        if not float(near.min()) < value:
            return np.asarray(best), value
        best, value = genomes[jnp.argmin(near)], float(near.min())
