"""The interface of predictors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex

Fit = Callable[[chex.PRNGKey, chex.Array, chex.Array, chex.Array], Any]
Predict = Callable[[Any, chex.Array], tuple[chex.Array, chex.Array]]


class Predictor(NamedTuple):
    """A regression with uncertainty: pure functions, jittable and vmappable, of static shapes.

    Attributes:
      fit: `(key, x [N, F], y [N], mask [N]) -> params`; rows where `mask` is False have no influence.
      predict: `(params, x [M, F]) -> (mean [M], std [M])`.
    """

    fit: Fit
    predict: Predict
