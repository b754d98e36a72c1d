"""Handwritten digits, embedded in scikit-learn: 1,797 real images of 8x8 pixels, ten classes, no download."""

from jaxnas.tasks.augment import random_shift
from jaxnas.tasks.task import Task, arrays


def digits(*, augment: bool = True) -> Task:
    """The digits, standardized, in a fixed stratified split: 1,077 train, 360 validation, 360 test.

    Args:
      augment: shift training images by up to one pixel.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32")
    x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=360, random_state=0, stratify=y)
    x_train, x_val, y_train, y_val = train_test_split(x_rest, y_rest, test_size=360, random_state=0, stratify=y_rest)
    mean, std = x_train.mean(), x_train.std()
    pairs = {"train": (x_train, y_train), "validation": (x_val, y_val), "test": (x_test, y_test)}
    splits = {split: ((x - mean) / std, y) for split, (x, y) in pairs.items()}
    return arrays(splits, name="digits", augment=random_shift(1, fill=-float(mean / std)) if augment else None)
