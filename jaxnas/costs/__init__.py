"""What it costs to run, and how that counts."""

from jaxnas.costs._profile import HeldOut, Profile, profile
from jaxnas.costs.cost import Cost
from jaxnas.costs.kernels import Attribution, Kernel, attribute, read_trace, record_trace
from jaxnas.costs.latency import LatencyModel, LatencyTable, fastest, latency_model, load_latency_table
from jaxnas.costs.measure import compile_networks, measure_networks
from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product
from jaxnas.costs.operations import Operations, all_operations
from jaxnas.costs.timing import Timing, interleaved, noise_floor, repeated

__all__ = [
    "Attribution",
    "Cost",
    "HeldOut",
    "Kernel",
    "LatencyModel",
    "LatencyTable",
    "Objective",
    "Operations",
    "Profile",
    "Timing",
    "all_operations",
    "attribute",
    "compile_networks",
    "constraint",
    "fastest",
    "interleaved",
    "latency_model",
    "load_latency_table",
    "measure_networks",
    "noise_floor",
    "penalty",
    "profile",
    "read_trace",
    "record_trace",
    "repeated",
    "weighted_product",
]
