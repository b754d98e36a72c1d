"""Tasks: data with a loss and a metric to train networks on, and problems to evaluate those that carry their weights.

| member | what it is | needs |
|---|---|---|
| `arrays` | a `Task` of the user's own arrays, loss and metric | |
| `digits` | handwritten digits, 8 x 8 pixels, ten classes | scikit-learn, no download |
| `npz` | images in a NumPy file, `x_train`, `y_train`, `x_test`, `y_test` | a file |
| `folder` | images in folders, `train/CLASS/*.png` | a directory |
| `tfds` | an image classification dataset of TensorFlow Datasets | the extra `tfds`, to prepare it |
| `classification` | a `Task` of image arrays, as the readers above make it; `Stream` where they stay on the host | |
| `xor`, `cart_pole`, `supervised` | a `Problem`: exclusive or, balancing poles, a task's examples | `spaces.graph` |
| `balancing`, `episode` | an `Environment`, and what a controller reaches in it | |

Augmentations: `random_shift`, `random_flip`, `cutout`, one after another by `chain`. Losses and metrics:
`cross_entropy`, `correct`. `Split` is examples and their targets.
"""

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
