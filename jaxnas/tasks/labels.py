"""What can be a label: a whole number that says the class, and nothing that only looks like one."""

from collections.abc import Mapping

import numpy as np

from jaxnas.check import InputError

ONE_HOT = "expected labels [N], got one-hot ones {}; give whole numbers, y.argmax(1)."
REGRESSION = "a regression is a task of tasks.arrays with a loss of your own"


def whole(where: str, y: np.ndarray) -> np.ndarray:
    """Labels `[N]` or `[N, 1]` of any type of numbers as `[N]` int32.

    Raises:
      InputError: text, another shape, or a number that is not whole, below 0 or beyond 32 bits.
    """
    if is_one_hot(y):
        raise InputError(f"{where}: {ONE_HOT.format(y.shape)}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{where}: expected labels [N], got {y.shape}.")
    if y.dtype.kind not in "fiub":
        said = f"{y.dtype} ({y.flat[0]})" if y.size else y.dtype
        raise InputError(f"{where}: expected labels that are whole numbers, got {said}; number the classes 0, 1, 2, …")
    if y.dtype.kind == "f":
        # NaN and infinity are not equal to what is left of them.
        wrong = np.flatnonzero(~(np.isfinite(y) & (np.trunc(y) == y)))
        if len(wrong):
            raise InputError(
                f"{where}: expected labels that are whole numbers, example {wrong[0]} has {y[wrong[0]]}; {REGRESSION}."
            )
    wrong = np.flatnonzero((y < 0) | (y > np.iinfo(np.int32).max))
    if len(wrong):
        raise InputError(
            f"{where}: expected labels from 0 on, and below 2147483648 (32 bits), example {wrong[0]} has {y[wrong[0]]}."
        )
    return y.astype(np.int32)


def is_one_hot(y: np.ndarray) -> bool:
    """Whether each of the targets `[N, K]` is 1 in one place and 0 in all others."""
    if y.ndim != 2 or y.shape[1] < 2 or not y.size or y.dtype.kind not in "fiub":
        return False
    return bool((((y == 0) | (y == 1)).all(1) & (y.sum(1) == 1)).all())


def numbered(where: str, labels: Mapping[str, np.ndarray], option: str, every: bool = False) -> None:
    """Raises `InputError` where labels, whose number of classes is not given, are no numbers of classes.

    They are not where some up to the largest do not occur, and there are more of them than half of the training
    examples: years, ages, identities.

    Args:
      where: for messages.
      labels: split -> `[N]` whole numbers from 0 on.
      option: of the function that was called, which says the number of classes.
      every: whether it takes nothing but a label that does not occur.
    """
    found = np.unique(np.concatenate([np.unique(y) for y in labels.values()]))
    classes, examples = int(found[-1]) + 1, len(labels["train"])
    if len(found) < classes and (every or classes > examples / 2):
        missing = int(np.flatnonzero(found != np.arange(len(found)))[0])
        raise InputError(
            f"{where}: expected labels 0, 1, 2, … of classes, got {len(found)} different ones up to {classes - 1} for "
            f"{examples} training examples ({missing} does not occur). Number the classes without gaps, or say with "
            f"{option} how many there are; {REGRESSION}."
        )
