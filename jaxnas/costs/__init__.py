"""Costs map a genome to numbers `[K]`: latency, FLOPs, parameters, memory; objectives join one with a fitness.

| name | what it does | gives |
|---|---|---|
| `profile` | times a space's operations and whole networks, checks predictions | `Profile`: table, `HeldOut` errors |
| `table_from_networks` | fits whole networks that it times, or whose peak memory the compiler says | `CostTable` |
| `cost_model` | predicts by a `CostTable`, in pure JAX | `CostModel`: `cost`, `expected_cost` |
| `load_cost_table` | reads a table; refuses one of another cost, device, version or batch | `CostTable` |
| `estimates` | a compiler's figures in the place of a clock, for `profile` | `Meter` |
| `cheapest` | descends to a genome of least cost | genome, cost |
| `all_operations` | finds what every architecture of a space runs, by tracing | `Operations` |
| `compile_networks` | compiles stand-alone networks to infer | a call, and costs that XLA counts |
| `measure_networks` | times them | `Timing` |
| `interleaved` | times compiled functions side by side | `Timing` |
| `repeated` | a function many times within a program | a function |
| `noise_floor` | the error that noise alone makes | a fraction |
| `record_trace`, `read_trace` | profile a program | `Kernel` |
| `attribute` | says which operation a program's time belongs to | `Attribution` |
| `Cost` | what a config's `cost` names: its function, what measures it again | |
| `together` | several as one | `Cost` |
| `weighted_product`, `penalty`, `constraint` | for `evaluators.scalarized` | `Objective` |
"""

from jaxnas.costs._profile import HeldOut, Profile, profile
from jaxnas.costs.attribution import Attribution, attribute
from jaxnas.costs.cost import Cost, together
from jaxnas.costs.enumeration import all_operations
from jaxnas.costs.from_networks import table_from_networks
from jaxnas.costs.kernels import Kernel, read_trace, record_trace
from jaxnas.costs.measure import Meter, compile_networks, estimates, measure_networks
from jaxnas.costs.model import CostModel, cheapest, cost_model
from jaxnas.costs.objectives import Objective, constraint, penalty, weighted_product
from jaxnas.costs.operations import Operations
from jaxnas.costs.tables import CostTable, load_cost_table
from jaxnas.costs.timing import Timing, interleaved, noise_floor, repeated

__all__ = [
    "Attribution",
    "Cost",
    "CostModel",
    "CostTable",
    "HeldOut",
    "Kernel",
    "Meter",
    "Objective",
    "Operations",
    "Profile",
    "Timing",
    "all_operations",
    "attribute",
    "cheapest",
    "compile_networks",
    "constraint",
    "cost_model",
    "estimates",
    "interleaved",
    "load_cost_table",
    "measure_networks",
    "noise_floor",
    "penalty",
    "profile",
    "read_trace",
    "record_trace",
    "repeated",
    "table_from_networks",
    "together",
    "weighted_product",
]
