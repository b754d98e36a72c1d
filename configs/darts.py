"""DARTS (Liu, Simonyan and Yang, 2019): a relaxed supernet, whose mixture weights a gradient moves.

    python -m launch.search --config=configs/darts.py:small        # digits, two CPU cores
    python -m launch.search --config=configs/darts.py --config.task.path=cifar10.npz
    python -m launch.search --config=configs/darts.py --config.evaluator.order=second

The second is the paper's search on CIFAR-10: 8 cells of 16 channels, 50 epochs of half of the training images, first
order; the third of second order. `--config.early_stopping.window=5` ends a search before it collapses (Zela et al.,
2020). What was found is trained at the paper's size by

    python -m launch.retrain --workdir=DIR --config.retrain.seeds=1

`:small` took 2 min 20 s on two CPU cores (AMD EPYC), nothing cached; found, retrained: 96.94 % of test images, loss
0.0997:

    Genotype(normal=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2),
    ('dil_conv_5x5', 2), ('avg_pool_3x3', 3), ('avg_pool_3x3', 3), ('dil_conv_5x5', 4)], normal_concat=range(2, 6),
    reduce=[('dil_conv_5x5', 0), ('dil_conv_5x5', 1), ('skip_connect', 1), ('sep_conv_3x3', 2), ('avg_pool_3x3', 2),
    ('max_pool_3x3', 3), ('avg_pool_3x3', 2), ('skip_connect', 4)], reduce_concat=range(2, 6))
"""

from ml_collections import ConfigDict

from jaxnas import check


def get_config(scale: str = "paper") -> ConfigDict:
    check.one_of("scale (after the colon)", scale, ("paper", "small"))
    small = scale == "small"
    config = ConfigDict()
    config.seed = 0
    config.rounds = 200 if small else 19_500
    config.space = {"name": "darts"}
    config.task = {"name": "digits"} if small else {"name": "npz", "path": "cifar10.npz", "validation": 0.5}
    config.network = {"name": "darts", "channels": 4 if small else 16, "cells": 3 if small else 8}
    config.strategy = {
        "name": "darts",
        "learning_rate": 0.01 if small else 3e-4,
        "weight_decay": 1e-3,
        "cost_weight": 0.0,
    }
    # Latency of so many images at once, where `name` is "latency"; `strategy.cost_weight` is what a ms of it is worth.
    config.cost = {"name": "", "path": "", "batch": 1, "allow_device_mismatch": False}
    config.evaluator = {
        "name": "supernet",
        "sync_batch_norm": False,
        "steps": 200 if small else 19_500,
        "order": "first",
        "fitness": "accuracy",
        "examples": 64,
        "curvature": 10 if small else 390,
        "batch_size": 64,
        "learning_rate": 0.025,
        "final_learning_rate": 0.001,
        "nesterov": False,
        "weight_decay": 3e-4,
        "clip_norm": 5.0,
    }
    config.early_stopping = {"window": 0, "ratio": 0.75, "start": 5}
    # The final training, at another scale, with the paper's recipe.
    config.retrain = {
        "network": {"search": False} if small else {"channels": 36, "cells": 20, "search": False},
        "steps": 300 if small else 312_500,
        "seeds": 1 if small else 0,
        "plan": "bucket",
        "batch_size": 64 if small else 96,
        "learning_rate": 0.05 if small else 0.025,
        "final_learning_rate": 0.0,
        "cutout": 0 if small else 16,
        "drop_path": 0.0 if small else 0.2,
        "auxiliary": 0.0 if small else 0.4,
    }
    config.random_search = small
    return config.lock()
