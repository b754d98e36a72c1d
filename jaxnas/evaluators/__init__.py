"""How good is it."""

from jaxnas.evaluators.cached import cached
from jaxnas.evaluators.curvature import largest_eigenvalue
from jaxnas.evaluators.direct import direct
from jaxnas.evaluators.retrain import parameters, retrain
from jaxnas.evaluators.supernet import supernet
from jaxnas.evaluators.table import table
from jaxnas.evaluators.trainer import Recipe, Trainer, trainer
from jaxnas.evaluators.training import training
from jaxnas.evaluators.zero_cost import zero_cost

__all__ = [
    "Recipe",
    "Trainer",
    "cached",
    "direct",
    "largest_eigenvalue",
    "parameters",
    "retrain",
    "supernet",
    "table",
    "trainer",
    "training",
    "zero_cost",
]
