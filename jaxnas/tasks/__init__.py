"""Data and loss."""

from jaxnas.tasks.augment import chain, cutout, random_flip, random_shift
from jaxnas.tasks.digits import digits
from jaxnas.tasks.folder import folder
from jaxnas.tasks.images import classification
from jaxnas.tasks.npz import npz
from jaxnas.tasks.stream import Stream
from jaxnas.tasks.task import Split, Task, arrays, correct, cross_entropy
from jaxnas.tasks.tfds import tfds

__all__ = [
    "Split",
    "Stream",
    "Task",
    "arrays",
    "chain",
    "classification",
    "correct",
    "cross_entropy",
    "cutout",
    "digits",
    "folder",
    "npz",
    "random_flip",
    "random_shift",
    "tfds",
]
