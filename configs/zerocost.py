"""No training at all: every distinct cell of NAS-Bench-201 scored at initialization (Abdelfattah et al., 2021).

    jaxnas search --config=zerocost:small
    jaxnas search --config=zerocost --config.task.path=cifar10.npz
    jaxnas search --config=zerocost:evolution --config.task.path=cifar10.npz

Scoring them all is the search; or 500 of them by regularized evolution. `--config.evaluator.proxies=synflow,nwot` ranks
by several. `:small` after the strategy (`:evolution,small`) is 8 channels and 1 cell on the embedded digits.
`--config.table.path=TABLE.npz --config.table.metric=COLUMN` says what a table knows of the architecture found.
`jaxnas score` compares proxies.
"""

from ml_collections import ConfigDict

from jaxnas import check

STRATEGIES = {
    "exhaustive": {"name": "exhaustive", "distinct": True, "proposals": 64},
    "evolution": {"name": "regularized_evolution", "population_size": 50, "tournament_size": 10, "proposals": 10},
    "random": {"name": "random_search", "proposals": 10},
}
PAPER = {
    "seed": 0,
    "rounds": 50,
    "space": {"name": "nasbench201"},
    "task": {"name": "npz", "path": "cifar10.npz"},
    "network": {"name": "nasbench201", "channels": 16, "cells": 5},
    "evaluator": {"name": "zero_cost", "proxies": "synflow", "batch_size": 64},
    "retrain": {"steps": 156_250, "seeds": 0},
}
SMALL = {
    **PAPER,
    "task": {"name": "digits"},
    "network": {"name": "nasbench201", "channels": 8, "cells": 1},
    "table": {"path": "nasbench201_digits", "metric": "validation_accuracy"},
    "retrain": {"steps": 600, "seeds": 3},
}


def get_config(options: str = "exhaustive") -> ConfigDict:
    strategy, _, scale = ("exhaustive,small" if options == "small" else options).partition(",")
    check.one_of("strategy (after the colon)", strategy, STRATEGIES)
    check.one_of("scale (after the comma)", scale, ("", "small"))
    config = ConfigDict({**(SMALL if scale == "small" else PAPER), "strategy": STRATEGIES[strategy]})
    if strategy == "exhaustive":
        config.rounds = 102  # every distinct cell
    return config
