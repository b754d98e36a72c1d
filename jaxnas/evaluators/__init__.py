"""How good is it."""

from jaxnas.evaluators.cached import cached
from jaxnas.evaluators.curvature import largest_eigenvalue
from jaxnas.evaluators.direct import direct
from jaxnas.evaluators.retrain import parameters, retrain
from jaxnas.evaluators.scalarized import attainable, scalarized
from jaxnas.evaluators.supernet import supernet
from jaxnas.evaluators.table import table
from jaxnas.evaluators.trainer import Recipe, Trainer, trainer
from jaxnas.evaluators.training import training
from jaxnas.evaluators.with_cost import with_cost
from jaxnas.evaluators.zero_cost import zero_cost

__all__ = [
    "Recipe",
    "Trainer",
    "attainable",
    "cached",
    "direct",
    "largest_eigenvalue",
    "parameters",
    "retrain",
    "scalarized",
    "supernet",
    "table",
    "trainer",
    "training",
    "with_cost",
    "zero_cost",
]
