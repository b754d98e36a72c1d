"""Data and loss."""

from jaxnas.tasks.augment import chain, cutout, random_flip, random_shift
from jaxnas.tasks.digits import digits
from jaxnas.tasks.npz import npz
from jaxnas.tasks.task import Split, Task, arrays, correct, cross_entropy

__all__ = [
    "Split",
    "Task",
    "arrays",
    "chain",
    "correct",
    "cross_entropy",
    "cutout",
    "digits",
    "npz",
    "random_flip",
    "random_shift",
]
