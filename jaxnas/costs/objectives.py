"""Fitness and one cost as one number, so that any strategy searches with cost; `evaluators.scalarized` applies them.

Two costs are two objectives, one around the other.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError


class Objective(NamedTuple):
    """How a cost counts.

    Attributes:
      name: for messages and files.
      cost: the name of the cost.
      target: what it should be at most.
      value: `(fitness, cost) -> objective`, element by element, higher is better; NaN where it has no meaning.
      positive: whether it has a meaning only for fitness of 0 or more.
    """

    name: str
    cost: str
    target: float
    value: Callable[[chex.Array, chex.Array], chex.Array]
    positive: bool = False


def weighted_product(cost: str, *, target: float, alpha: float = -0.07, beta: float = -0.07) -> Objective:
    """MnasNet's reward, `fitness * (cost / target)^w` (Tan et al., 2019, equations 2 and 3).

    w is `alpha` up to the target and `beta` above it. The default is the paper's soft constraint, by which twice the
    cost is worth 5 % of accuracy; its hard one is `alpha=0, beta=-1`. Fitness must be an accuracy, as a fraction or in
    percent: of a negative fitness, a loss say, the product would prefer the slow, so that is not valid.

    Args:
      cost: the name of the cost, which must be positive.
      target: T, in the cost's unit.
      alpha: w where the cost is at most the target.
      beta: w above it.

    Raises:
      InputError: a target that is not positive, a w above 0.
    """
    _positive("target", target)
    check.real("alpha", alpha, most=0)
    check.real("beta", beta, most=0)

    def value(fitness, cost):
        w = jnp.where(cost <= target, alpha, beta)
        return jnp.where((fitness >= 0) & (cost > 0), fitness * (cost / target) ** w, jnp.nan)

    return Objective("weighted_product", cost, target, value, positive=True)


def penalty(cost: str, *, target: float, weight: float) -> Objective:
    """`fitness - weight * max(cost / target - 1, 0)`: each whole target above the target takes `weight` of fitness.

    Args:
      cost: its name.
      target: T, in the cost's unit.
      weight: in the fitness's unit.

    Raises:
      InputError: a target that is not positive, a negative weight.
    """
    _positive("target", target)
    check.real("weight", weight, least=0)

    def value(fitness, cost):
        return fitness - weight * jnp.maximum(cost / target - 1, 0)

    return Objective("penalty", cost, target, value)


def constraint(cost: str, *, target: float, floor: float) -> Objective:
    """Fitness within the target; above it `floor - (cost / target - 1)`, so that whoever violates less is better.

    Deb's (2000) comparison of feasible and infeasible members as one number: as long as fitness never falls below
    `floor`, every feasible member is above every other.

    Args:
      cost: its name.
      target: T, in the cost's unit.
      floor: what no fitness is below: 0 for an accuracy.

    Raises:
      InputError: a target that is not positive, a floor that is no finite number.
    """
    _positive("target", target)
    check.real("floor", floor, least=-3e38, most=3e38)

    def value(fitness, cost):
        return jnp.where(cost <= target, fitness, floor - (cost / target - 1))

    return Objective("constraint", cost, target, value)


def _positive(argument: str, value: float) -> None:
    check.real(argument, value)
    if not 0 < value < float("inf"):
        raise InputError(f"{argument}: expected a positive number, got {value!r}.")
