"""No training at all: every distinct cell of NAS-Bench-201 scored at initialization (Abdelfattah et al., 2021).

    python -m launch.search --config=configs/zerocost.py:small
    python -m launch.search --config=configs/zerocost.py --config.task.path=cifar10.npz
    python -m launch.search --config=configs/zerocost.py:evolution --config.task.path=cifar10.npz

Scoring them all is the search; or 500 of them by regularized evolution. `--config.evaluator.proxies=synflow,nwot` ranks
by several. `:small` after the strategy (`:evolution,small`) is 8 channels and 1 cell on the embedded digits.
`--config.table.path=TABLE.npz --config.table.metric=COLUMN` says what a table knows of the architecture found.
`launch.score` compares proxies.
"""

from ml_collections import ConfigDict

from jaxnas import check

STRATEGIES = ("exhaustive", "evolution", "random")


def get_config(options: str = "exhaustive") -> ConfigDict:
    options = "exhaustive,small" if options == "small" else options
    strategy, _, scale = options.partition(",")
    check.one_of("strategy (after the colon)", strategy, STRATEGIES)
    check.one_of("scale (after the comma)", scale, ("", "small"))
    small = scale == "small"
    config = ConfigDict()
    config.seed = 0
    config.space = {"name": "nasbench201"}
    config.task = {"name": "digits"} if small else {"name": "npz", "path": "cifar10.npz"}
    config.network = {"name": "nasbench201", "channels": 8 if small else 16, "cells": 1 if small else 5}
    config.rounds = 102 if strategy == "exhaustive" else 50
    config.strategy = {
        "exhaustive": {"name": "exhaustive", "distinct": True, "proposals": 64},
        "evolution": {
            "name": "regularized_evolution",
            "population_size": 50,
            "tournament_size": 10,
            "proposals": 10,
        },
        "random": {"name": "random_search", "proposals": 10},
    }[strategy]
    config.evaluator = {"name": "zero_cost", "proxies": "synflow", "batch_size": 64}
    config.table = {"path": "nasbench201_digits" if small else "", "metric": "validation_accuracy" if small else ""}
    config.retrain = {"steps": 600, "seeds": 3} if small else {"steps": 156_250, "seeds": 0}
    return config.lock()
