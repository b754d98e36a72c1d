"""How good is it."""

from jaxnas.evaluators._cached import cached
from jaxnas.evaluators._direct import direct
from jaxnas.evaluators._retrain import parameters, retrain
from jaxnas.evaluators._scalarized import attainable, scalarized
from jaxnas.evaluators._supernet import supernet
from jaxnas.evaluators._table import table
from jaxnas.evaluators._trainer import Recipe, Trainer, trainer
from jaxnas.evaluators._training import training
from jaxnas.evaluators._with_cost import with_cost
from jaxnas.evaluators._zero_cost import zero_cost
from jaxnas.evaluators.curvature import largest_eigenvalue

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
