"""Costs map a genome to numbers `[K]`: latency, FLOPs, parameters, memory; objectives join one with a fitness.

| name | what it does | gives |
|---|---|---|
| `profile` | times a space's operations and whole networks, checks predictions | `Profile`: table, `HeldOut` errors |
| `table_from_networks` | fits whole networks that it times | `LatencyTable` |
| `latency_model` | predicts by a `LatencyTable`, in pure JAX | `LatencyModel`: `latency`, `expected_latency` |
| `load_latency_table` | reads a table; refuses one of another device, version or batch | `LatencyTable` |
| `fastest` | descends to a genome of least latency | genome, ms |
| `all_operations` | finds what every architecture of a space runs, by tracing | `Operations` |
| `compile_networks` | compiles stand-alone networks to infer | a call, and costs that XLA counts |
| `measure_networks` | times them | `Timing` |
| `interleaved` | times compiled functions side by side | `Timing` |
| `repeated` | a function many times within a program | a function |
| `noise_floor` | the error that noise alone makes | a fraction |
| `record_trace`, `read_trace` | profile a program | `Kernel` |
| `attribute` | says which operation a program's time belongs to | `Attribution` |
| `Cost` | what a config's `cost` names: its function, what measures it again | |
| `weighted_product`, `penalty`, `constraint` | for `evaluators.scalarized` | `Objective` |
"""

from jaxnas.costs._profile import HeldOut, Profile, profile
from jaxnas.costs.attribution import Attribution, attribute
from jaxnas.costs.cost import Cost
from jaxnas.costs.enumeration import all_operations
from jaxnas.costs.from_networks import table_from_networks
from jaxnas.costs.kernels import Kernel, read_trace, record_trace
from jaxnas.costs.latency import LatencyModel, fastest, latency_model
from jaxnas.costs.measure import compile_networks, measure_networks
from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product
from jaxnas.costs.operations import Operations
from jaxnas.costs.tables import LatencyTable, load_latency_table
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
    "table_from_networks",
    "weighted_product",
]
