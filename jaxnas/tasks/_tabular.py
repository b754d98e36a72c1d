"""Rows of measurements, embedded in scikit-learn."""

from collections.abc import Callable

import numpy as np

from jaxnas.tasks.losses import cross_entropy, squared_error
from jaxnas.tasks.metrics import Metric, accuracy, r2
from jaxnas.tasks.task import Task, arrays


def diabetes() -> Task:
    """Regression of two numbers: how diabetes progressed in a year, and blood pressure, from nine other measurements.

    442 patients in a fixed split, 266 train, 88 validation, 88 test; all numbers standardized. The metric is R², the
    mean of both.
    """
    from sklearn.datasets import load_diabetes

    made = load_diabetes(scaled=False)
    pressure = made.feature_names.index("bp")
    x = np.delete(made.data, pressure, 1)
    y = np.stack([made.target, made.data[:, pressure]], 1)
    return _task("diabetes", x, y, squared_error, r2, 2)


def breast_cancer() -> Task:
    """Classification of rows: whether a tumour is benign, from thirty measurements.

    569 patients in a fixed split, 343 train, 113 validation, 113 test; measurements standardized.
    """
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return _task("breast_cancer", x, y, cross_entropy, accuracy, 2)


def _task(name: str, x: np.ndarray, y: np.ndarray, loss: Callable, metric: Metric, outputs: int) -> Task:
    order = np.random.default_rng(0).permutation(len(x))
    fifth = len(x) // 5
    rows = {"test": order[:fifth], "validation": order[fifth : 2 * fifth], "train": order[2 * fifth :]}
    numbers = lambda a: (a - a[rows["train"]].mean(0)) / a[rows["train"]].std(0)
    x, y = numbers(x), numbers(y) if y.ndim == 2 else y
    splits = {split: (x[chosen], y[chosen]) for split, chosen in rows.items()}
    return arrays(splits, name=name, loss=loss, metric=metric, outputs=outputs)
