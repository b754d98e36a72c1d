"""What it costs to run, and how that counts."""

from jaxnas.costs.kernels import Attribution, Kernel, attribute, read_trace, record_trace
from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product

__all__ = [
    "Attribution",
    "Kernel",
    "Objective",
    "attribute",
    "constraint",
    "penalty",
    "read_trace",
    "record_trace",
    "weighted_product",
]
