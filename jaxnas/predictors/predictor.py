"""What every predictor is."""

from collections.abc import Callable
from typing import NamedTuple


class Predictor(NamedTuple):
    """A regression with uncertainty: pure functions, jittable and vmappable, of static shapes.

    Attributes:
      fit: `(key, x [N, F], y [N], mask [N]) -> params`; rows where `mask` is False have no influence.
      predict: `(params, x [M, F]) -> (mean [M], std [M])`.
    """

    fit: Callable
    predict: Callable
