"""Data and loss."""

from jaxnas.tasks.augment import random_shift
from jaxnas.tasks.digits import digits
from jaxnas.tasks.task import Split, Task, arrays, correct, cross_entropy

__all__ = ["Split", "Task", "arrays", "correct", "cross_entropy", "digits", "random_shift"]
