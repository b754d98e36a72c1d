"""Data and loss."""

from jaxnas.tasks._digits import digits
from jaxnas.tasks._folder import folder
from jaxnas.tasks._npz import npz
from jaxnas.tasks._tfds import tfds
from jaxnas.tasks.augment import chain, cutout, random_flip, random_shift
from jaxnas.tasks.control import Environment, balancing, cart_pole, episode
from jaxnas.tasks.images import classification
from jaxnas.tasks.problem import Problem, supervised, xor
from jaxnas.tasks.stream import Stream
from jaxnas.tasks.task import Split, Task, arrays, correct, cross_entropy

__all__ = [
    "Environment",
    "Problem",
    "Split",
    "Stream",
    "Task",
    "arrays",
    "balancing",
    "cart_pole",
    "chain",
    "classification",
    "correct",
    "cross_entropy",
    "cutout",
    "digits",
    "episode",
    "folder",
    "npz",
    "random_flip",
    "random_shift",
    "supervised",
    "tfds",
    "xor",
]
