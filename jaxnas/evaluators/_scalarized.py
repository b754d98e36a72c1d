"""Fitness and a cost as one number, for strategies that read fitness alone."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.objectives import Objective
from jaxnas.types import Evaluator, Feedback

RAW = "raw_fitness"
"""The metric that holds fitness as it was before the innermost objective."""


def scalarized(evaluator: Evaluator, objective: Objective) -> Evaluator:
    """The evaluator, whose fitness is the objective's value; the metric `raw_fitness` is what it was before.

    Costs stay as they are. Wrapped twice, two costs count.

    Args:
      evaluator: must give the objective's cost.
      objective: see `jaxnas.costs`.

    Raises:
      InputError: an unknown cost; or where all is known (a table), a target that no genome meets, naming the smallest
        cost there is, and a negative fitness for an objective that has no meaning for it.
    """
    if not evaluator.cost_names:
        raise InputError(f"evaluator: {evaluator.name!r} gives no costs, which {objective.name} needs.")
    check.one_of(f"{objective.name}, cost", objective.cost, evaluator.cost_names)
    attainable(f"{objective.name}, target", evaluator, {objective.cost: objective.target})
    at = evaluator.cost_names.index(objective.cost)

    def applied(feedback: Feedback) -> Feedback:
        value = objective.value(feedback.fitness, feedback.cost[:, at])
        metrics = {RAW: feedback.fitness, **feedback.metrics}
        return feedback.replace(fitness=value, valid=feedback.valid & jnp.isfinite(value), metrics=metrics)

    def evaluate(key, state, proposal):
        feedback, state = evaluator.evaluate(key, state, proposal)
        return applied(feedback), state

    known = None
    if evaluator.known is not None:
        before = evaluator.known()
        least = np.min(before.fitness, where=before.valid, initial=np.inf)
        if objective.positive and least < 0:
            raise InputError(
                f"evaluator: the fitness of {evaluator.name!r} goes down to {least:.4g}, but {objective.name} "
                "multiplies it, so that it must not be negative: give it an accuracy, not a loss."
            )
        known = lambda: applied(evaluator.known())
    return evaluator._replace(name=f"{objective.name}({evaluator.name})", evaluate=evaluate, known=known)


def attainable(argument: str, evaluator: Evaluator, limits: Mapping[str, float]) -> None:
    """Raises `InputError` where it is known that no genome meets `limits`, cost name -> at most, all at once."""
    if evaluator.known is None or not limits:
        return
    known = evaluator.known()
    columns = {name: np.asarray(known.cost)[known.valid, evaluator.cost_names.index(name)] for name in limits}
    met = np.all([columns[name] <= limit for name, limit in limits.items()], axis=0)
    if not known.valid.any():
        raise InputError(f"{argument}: of no architecture in {evaluator.name!r} is {' and '.join(limits)} known.")
    if not met.any():
        asked = " and ".join(f"{name} of at most {limit:g}" for name, limit in limits.items())
        least = ", ".join(f"{column.min():.6g} ({name})" if len(limits) > 1 else f"{column.min():.6g}"
                          for name, column in columns.items())  # fmt: skip
        raise InputError(f"{argument}: no architecture in {evaluator.name!r} has {asked}; the smallest is {least}.")
