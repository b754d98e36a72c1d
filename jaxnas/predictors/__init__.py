"""Genome features -> fitness, with uncertainty."""

from jaxnas.predictors.ensemble import mlp_ensemble
from jaxnas.predictors.predictor import Predictor

__all__ = ["Predictor", "mlp_ensemble"]
