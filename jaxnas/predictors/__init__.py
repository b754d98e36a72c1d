"""Predictors: regressions from features of a genome to its fitness, with uncertainty, for model-based search.

| member | what it is |
|---|---|
| `Predictor` | the interface: `fit` and `predict`, pure and of static shapes |
| `mlp_ensemble` | multilayer perceptrons whose spread is the uncertainty (White, Neiswanger and Savani, 2021) |

They need a space with `features`, or features of the user's own.
"""

from jaxnas.predictors.ensemble import mlp_ensemble
from jaxnas.predictors.predictor import Predictor

__all__ = ["Predictor", "mlp_ensemble"]
