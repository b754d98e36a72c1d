"""What it costs to run, and how that counts."""

from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product

__all__ = [
    "Objective",
    "constraint",
    "penalty",
    "weighted_product",
]
