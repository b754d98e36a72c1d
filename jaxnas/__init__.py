"""Neural architecture search in JAX at the speed of the accelerator."""

from jaxnas import checkpoint, costs, evaluators, networks, pareto, population, spaces, strategies, tables, tasks, types
from jaxnas.check import InputError
from jaxnas.machine import configure
from jaxnas.result import Result
from jaxnas.search import Phase, Record, State, search, search_many, search_scan, step
from jaxnas.version import __version__

__all__ = [
    "InputError",
    "Phase",
    "Record",
    "Result",
    "State",
    "__version__",
    "checkpoint",
    "configure",
    "costs",
    "evaluators",
    "networks",
    "pareto",
    "population",
    "search",
    "search_many",
    "search_scan",
    "spaces",
    "step",
    "strategies",
    "tables",
    "tasks",
    "types",
]
