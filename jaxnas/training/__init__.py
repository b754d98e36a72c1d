"""Training of one network, as a pure function that a population maps, a supernet repeats, a retraining compiles.

| name | what it is |
|---|---|
| `Recipe` | optimizer, schedule, decay, what is frozen |
| `Distillation` | a teacher to learn from besides |
| `Parent` | a trained network whose parts others are made of, and from which they learn |
| `trainer`, `Trainer`, `TrainState` | steps, from the first or from where one stopped, and scores |
| `fits` | refuses what does not go together |
"""

from jaxnas.training._fits import fits
from jaxnas.training.distillation import Distillation
from jaxnas.training.parent import Parent
from jaxnas.training.recipe import Recipe
from jaxnas.training.trainer import Trainer, TrainState, loss_dtype, trainer

__all__ = ["Distillation", "Parent", "Recipe", "TrainState", "Trainer", "fits", "loss_dtype", "trainer"]
