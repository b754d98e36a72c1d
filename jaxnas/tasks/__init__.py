"""Tasks: data with a loss and a metric to train networks on.

| member | what it is | needs |
|---|---|---|
| `arrays` | a `Task` of the user's own arrays, loss and metric | |
| `digits` | handwritten digits, 8 x 8 pixels, ten classes | scikit-learn, no download |
| `digit_properties`, `digit_rows` | several labels of each digit; the digits row by row | scikit-learn |
| `diabetes`, `breast_cancer` | regression of two numbers, classification of rows of measurements | scikit-learn |
| `sums`, `shapes` | the next token of "37+4=41."; segmentation of disks and squares | |
| `recall`, `copying` | associative recall in context, fuzzy or noisy as well; selective copying | |
| `number_words`, `spans` | "four hundred and two=402."; the words between quotation marks, labelled | |
| `text`, `tokens_of` | the next byte, or token, of files or of Python's source; `Tokens` | tokens: the extra `text` |
| `npz` | images in a NumPy file, `x_train`, `y_train`, `x_test`, `y_test` | a file |
| `folder` | images in folders, `train/CLASS/*.png` | a directory |
| `tfds` | an image classification dataset of TensorFlow Datasets | the extra `tfds`, to prepare it |
| `classification` | a `Task` of image arrays, as the readers above make it; `Stream` where they stay on the host | |

`Batch` is examples as arrays, `Dataset` whatever batches can be taken of, `Generated` one that a function of a row
makes. Losses: `cross_entropy`, `sigmoid_cross_entropy`, `squared_error`. A `Metric` is sums and their value:
`accuracy`, `exact_match`, `f1`, `span_f1`, `r2`, `mean_iou`, `perplexity`, `bits_per_token`, `bits_per_byte`,
`mean_absolute_error`; `mean_metric` makes one of a function of each example.
Augmentations: `random_shift`, `random_flip`, `cutout`, one after another by `chain`.
"""

from jaxnas.tasks._digits import digit_properties, digit_rows, digits
from jaxnas.tasks._folder import folder
from jaxnas.tasks._generated import shapes, sums
from jaxnas.tasks._npz import npz
from jaxnas.tasks._recall import copying, number_words, recall, spans
from jaxnas.tasks._tabular import breast_cancer, diabetes
from jaxnas.tasks._text import Tokens, text, tokens_of
from jaxnas.tasks._tfds import tfds
from jaxnas.tasks.augment import chain, cutout, random_flip, random_shift
from jaxnas.tasks.batch import Batch, Dataset, Generated
from jaxnas.tasks.images import classification
from jaxnas.tasks.losses import cross_entropy, sigmoid_cross_entropy, squared_error
from jaxnas.tasks.metrics import (
    Metric,
    accuracy,
    bits_per_byte,
    bits_per_token,
    exact_match,
    f1,
    mean_absolute_error,
    mean_iou,
    mean_metric,
    perplexity,
    r2,
    span_f1,
)
from jaxnas.tasks.stream import Stream
from jaxnas.tasks.task import Task, arrays

__all__ = [
    "Batch",
    "Dataset",
    "Generated",
    "Metric",
    "Stream",
    "Task",
    "Tokens",
    "accuracy",
    "arrays",
    "bits_per_byte",
    "bits_per_token",
    "breast_cancer",
    "chain",
    "classification",
    "copying",
    "cross_entropy",
    "cutout",
    "diabetes",
    "digit_properties",
    "digit_rows",
    "digits",
    "exact_match",
    "f1",
    "folder",
    "mean_absolute_error",
    "mean_iou",
    "mean_metric",
    "npz",
    "number_words",
    "perplexity",
    "r2",
    "random_flip",
    "random_shift",
    "recall",
    "shapes",
    "sigmoid_cross_entropy",
    "span_f1",
    "spans",
    "squared_error",
    "sums",
    "text",
    "tfds",
    "tokens_of",
]
