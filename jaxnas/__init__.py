"""Neural architecture search in JAX at the speed of the accelerator.

`get_config`, `build`, `run` and `retrain` go from a config to a result; `search`, `search_scan` and `search_many` take
parts made in Python; the rest are the rooms that parts come from.
"""

from jaxnas import (
    analysis,
    checkpoint,
    config,
    costs,
    evaluators,
    execution,
    networks,
    pareto,
    population,
    spaces,
    strategies,
    tables,
    tasks,
    types,
)
from jaxnas.analysis import retrain
from jaxnas.check import InputError
from jaxnas.config import Parts, build, get_config, options, register
from jaxnas.experiment import run
from jaxnas.loop import Result, read_history
from jaxnas.machine import configure
from jaxnas.search import Phase, Record, State, search, search_many, search_scan, step
from jaxnas.version import __version__

__all__ = [
    "InputError",
    "Parts",
    "Phase",
    "Record",
    "Result",
    "State",
    "__version__",
    "analysis",
    "build",
    "checkpoint",
    "config",
    "configure",
    "costs",
    "evaluators",
    "execution",
    "get_config",
    "networks",
    "options",
    "pareto",
    "population",
    "read_history",
    "register",
    "retrain",
    "run",
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
