"""Handwritten digits, embedded in scikit-learn: 1,797 real images of 8x8 pixels, ten classes, no download."""

import numpy as np

from jaxnas.tasks.augment import random_shift
from jaxnas.tasks.losses import sigmoid_cross_entropy
from jaxnas.tasks.metrics import f1
from jaxnas.tasks.task import Task, arrays

PROPERTIES = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "above four": (5, 6, 7, 8, 9),
    "with a loop": (0, 6, 8, 9),
    "a divisor of twelve": (1, 2, 3, 4, 6),
}


def digits(*, augment: bool = True) -> Task:
    """The digits, standardized, in a fixed stratified split: 1,077 train, 360 validation, 360 test.

    Args:
      augment: shift training images by up to one pixel.
    """
    splits, fill = _standardized()
    return arrays(splits, name="digits", augment=random_shift(1, fill=fill) if augment else None)


def digit_properties(*, augment: bool = True) -> Task:
    """Several labels at once: which of `PROPERTIES` a handwritten digit has; F1 over all of them.

    Args:
      augment: shift training images by up to one pixel.
    """
    splits, fill = _standardized()
    has = np.array([[digit in members for members in PROPERTIES.values()] for digit in range(10)], np.float32)
    return arrays(
        {split: (x, has[y]) for split, (x, y) in splits.items()},
        name="digit_properties",
        loss=sigmoid_cross_entropy,
        metric=f1,
        outputs=len(PROPERTIES),
        augment=random_shift(1, fill=fill) if augment else None,
    )


def digit_rows() -> Task:
    """The digits as sequences: eight rows from the top, of eight pixels each."""
    splits, _ = _standardized()
    return arrays({split: (x[..., 0], y) for split, (x, y) in splits.items()}, name="digit_rows")


def _standardized() -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], float]:
    """Images and labels of each split, and the number that black is."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32")
    x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=360, random_state=0, stratify=y)
    x_train, x_val, y_train, y_val = train_test_split(x_rest, y_rest, test_size=360, random_state=0, stratify=y_rest)
    mean, std = x_train.mean(), x_train.std()
    pairs = {"train": (x_train, y_train), "validation": (x_val, y_val), "test": (x_test, y_test)}
    return {split: ((x - mean) / std, y) for split, (x, y) in pairs.items()}, -float(mean / std)
