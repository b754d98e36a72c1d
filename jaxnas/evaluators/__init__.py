"""How good is it."""

from jaxnas.evaluators.direct import direct
from jaxnas.evaluators.table import table
from jaxnas.evaluators.trainer import Recipe, Trainer, trainer
from jaxnas.evaluators.training import training

__all__ = ["Recipe", "Trainer", "direct", "table", "trainer", "training"]
