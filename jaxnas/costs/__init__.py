"""What it costs to run, and how that counts."""

from jaxnas.costs.kernels import Attribution, Kernel, attribute, read_trace, record_trace
from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product
from jaxnas.costs.timing import Timing, interleaved, noise_floor, repeated

__all__ = [
    "Attribution",
    "Kernel",
    "Objective",
    "Timing",
    "attribute",
    "constraint",
    "interleaved",
    "noise_floor",
    "penalty",
    "read_trace",
    "record_trace",
    "repeated",
    "weighted_product",
]
