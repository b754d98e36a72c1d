"""NAS-Bench-201 by weight sharing, where first-order DARTS is known to collapse (Dong and Yang, 2020, table 5).

    python -m launch.search --config=configs/nasbench201_supernet.py --config.task.path=cifar10.npz
    python -m launch.search --config=configs/nasbench201_supernet.py:gdas --config.task.path=cifar10.npz
    python -m launch.search --config=configs/nasbench201_supernet.py:spos --config.task.path=cifar10.npz

with 16 channels, 5 cells and 50 epochs of half of CIFAR-10, as published for DARTS. `--config.table.path=TABLE.npz
--config.table.metric=COLUMN` says what a table knows of the architecture found, and

    python -m launch.correlate --workdir=DIR --architectures=200 --table=TABLE.npz --metric=COLUMN

what inherited weights say of the others. `:small` after the strategy (`:darts,small`) is 8 channels and 1 cell on a
fifth of the images at half their resolution. There DARTS derives nothing but skip connections with 4 of 4 seeds
(`launch.collapse`), 54.30 % published accuracy; with `--config.early_stopping.window=5` 83.91 to 90.50 %; GDAS 86.71 to
92.29 %; evolution over uniform paths 87.27 to 91.67 %.
"""

from ml_collections import ConfigDict

from jaxnas import check

STRATEGIES = ("darts", "gdas", "spos")


def get_config(options: str = "darts") -> ConfigDict:
    strategy, _, scale = options.partition(",")
    check.one_of("strategy (after the colon)", strategy, STRATEGIES)
    check.one_of("scale (after the comma)", scale, ("", "small"))
    small = scale == "small"
    steps = 4000 if small else 19_500
    config = ConfigDict()
    config.seed = 0
    config.rounds = steps
    config.space = {"name": "nasbench201"}
    config.task = {"name": "npz", "path": "cifar10.npz", "validation": 0.5}
    if small:
        config.task.update({"train": 10_000, "test": 2_000, "downsample": 2})
    config.network = {
        "name": "nasbench201",
        "channels": 8 if small else 16,
        "cells": 1 if small else 5,
        "affine": False,
    }
    # Faster where there are fewer rounds.
    rate = 3e-3 if small else 3e-4
    config.strategy = {"name": "darts", "learning_rate": rate, "weight_decay": 1e-3, "cost_weight": 0.0}
    if strategy == "gdas":
        config.strategy = {**config.strategy, "name": "gdas", "rounds": config.get_ref("rounds")}
    if strategy == "spos":
        config.warm_up = {"name": "fair_paths", "budget": 1, "rounds": steps // 5}  # of five paths each
        config.strategy = {
            "name": "regularized_evolution",
            "population_size": 50,
            "tournament_size": 10,
            "proposals": 10,
        }
        config.rounds = 30
    config.evaluator = {
        "name": "supernet",
        "sync_batch_norm": False,
        "steps": steps,
        "order": "first",
        "fitness": "accuracy",
        "examples": 1000 if small else 5000,
        "recalibrate": 8,
        "curvature": 200 if small else 390,
        "batch_size": 64,
        "learning_rate": 0.1 if small else 0.025,
        "final_learning_rate": 0.001,
        "weight_decay": 5e-4,
        "clip_norm": 5.0,
    }
    # Latency of so many images at once, where `name` is "latency"; `strategy.cost_weight` is what a ms of it is worth.
    config.cost = {"name": "", "path": "", "batch": 1, "anywhere": False}
    config.early_stopping = {"window": 0, "ratio": 0.75, "start": 5 if small else 10}
    # A table that knows the architecture found, and its column; "" for none.
    config.table = {"path": "", "metric": ""}
    config.retrain = {"steps": 156_250, "seeds": 0, "plan": "bucket"}
    return config.lock()
