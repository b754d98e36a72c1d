"""Tabular evaluation: the fitness of every genome is already known."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.types import Evaluator, Space, scored


def table(space: Space, fitness: np.ndarray, *, metrics: Mapping[str, np.ndarray] | None = None) -> Evaluator:
    """Looks fitness up by `space.index`; jittable end to end, so whole searches can be scanned and vmapped.

    Args:
      space: must be enumerable.
      fitness: `[space.size]`, higher is better, row i for the genome `space.from_index(i)`. NaN marks a failure.
      metrics: more columns `[space.size]`, recorded and never shown to the strategy (test accuracy, say).

    Raises:
      ValueError: the space has no enumeration, or a column another length.
    """
    if space.index is None:
        raise ValueError(f"space {space.name!r} of {space.size} genomes has no index, which a table needs.")
    columns = {"fitness": fitness, **(metrics or {})}
    for name, column in columns.items():
        if np.shape(column) != (space.size,):
            raise ValueError(f"{name}: expected [{space.size}], a row for each genome, got {np.shape(column)}.")
    columns = {name: jnp.asarray(column, jnp.float32) for name, column in columns.items()}

    def evaluate(key, state, proposal):
        rows = jax.vmap(space.index)(proposal.genome)
        values = {name: column[rows] for name, column in columns.items()}
        fitness = values.pop("fitness")
        return scored(fitness, valid=jnp.isfinite(fitness), metrics=values), state

    return Evaluator("table", init=lambda key: (), evaluate=evaluate)
