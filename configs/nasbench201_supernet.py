"""NAS-Bench-201 by weight sharing, where first-order DARTS is known to collapse (Dong and Yang, 2020, table 5).

    jaxnas search --config=nasbench201_supernet --config.task.path=cifar10.npz
    jaxnas search --config=nasbench201_supernet:gdas --config.task.path=cifar10.npz
    jaxnas search --config=nasbench201_supernet:spos --config.task.path=cifar10.npz

with 16 channels, 5 cells and 50 epochs of half of CIFAR-10, as published for DARTS. `--config.table.path=TABLE.npz
--config.table.metric=COLUMN` says what a table knows of the architecture found, and

    jaxnas analyse --what=correlate --workdir=DIR --architectures=200 --table=TABLE.npz --metric=COLUMN

what inherited weights say of the others. `:small` after the strategy (`:darts,small`) is 8 channels and 1 cell on a
fifth of the images at half their resolution. How often DARTS derives nothing but skip connections there, over many
seeds, says `jaxnas analyse --what=collapse`; `--config.early_stopping.window=5` ends a search before.
"""

from ml_collections import ConfigDict

from jaxnas import check

PAPER = {
    "seed": 0,
    "rounds": 19_500,
    "space": {"name": "nasbench201"},
    "task": {"name": "npz", "path": "cifar10.npz", "validation": 0.5},
    "network": {"name": "nasbench201", "channels": 16, "cells": 5, "affine": False},
    "evaluator": {
        "name": "supernet",
        "steps": 19_500,
        "order": "first",
        "fitness": "accuracy",
        "examples": 5000,
        "recalibrate": 8,
        "curvature": 390,
        "batch_size": 64,
        "learning_rate": 0.025,
        "final_learning_rate": 0.001,
        "weight_decay": 5e-4,
        "clip_norm": 5.0,
    },
    "retrain": {"steps": 156_250, "seeds": 0, "plan": "bucket"},
}
SMALL = {
    **PAPER,
    "rounds": 4000,
    "task": {**PAPER["task"], "train": 10_000, "test": 2_000, "downsample": 2},
    "network": {**PAPER["network"], "channels": 8, "cells": 1},
    "evaluator": {
        **PAPER["evaluator"],
        "steps": 4000,
        "examples": 1000,
        "curvature": 200,
        "learning_rate": 0.1,
    },
}
STRATEGIES = ("darts", "gdas", "spos")
EVOLUTION = {"name": "regularized_evolution", "population_size": 50, "tournament_size": 10, "proposals": 10}


def get_config(options: str = "darts") -> ConfigDict:
    strategy, _, scale = options.partition(",")
    check.one_of("strategy (after the colon)", strategy, STRATEGIES)
    check.one_of("scale (after the comma)", scale, ("", "small"))
    config = ConfigDict(SMALL if scale == "small" else PAPER)
    if strategy == "spos":
        config.warm_up = {
            "name": "fair_paths",
            "budget": 1,
            "rounds": config.evaluator.steps // 5,
        }  # of five paths each
        config.strategy = EVOLUTION
        config.rounds = 30
        return config
    rate = 3e-3 if scale == "small" else 3e-4  # faster where there are fewer rounds
    config.strategy = {"name": strategy, "learning_rate": rate, "weight_decay": 1e-3}
    if strategy == "gdas":
        config.strategy.rounds = config.get_ref("rounds")
    return config
