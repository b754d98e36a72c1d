"""DARTS (Liu, Simonyan and Yang, 2019): a relaxed supernet, whose mixture weights a gradient moves.

    jaxnas search --config=darts:small        # digits, two CPU cores
    jaxnas search --config=darts --config.task.path=cifar10.npz
    jaxnas search --config=darts --config.evaluator.order=second

The second is the paper's search on CIFAR-10: 8 cells of 16 channels, 50 epochs of half of the training images, first
order; the third of second order. `--config.early_stopping.window=5` ends a search before it collapses (Zela et al.,
2020). What was found is trained at the paper's size by

    jaxnas retrain --workdir=DIR --config.retrain.seeds=1
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

PAPER = {
    "seed": 0,
    "rounds": 19_500,
    "space": {"name": "darts"},
    "task": {"name": "npz", "path": "cifar10.npz", "validation": 0.5},
    "network": {"name": "darts", "channels": 16, "cells": 8},
    "strategy": {"name": "darts", "learning_rate": 3e-4, "weight_decay": 1e-3},
    "evaluator": {
        "name": "supernet",
        "steps": 19_500,
        "order": "first",
        "fitness": "accuracy",
        "examples": 64,
        "curvature": 390,
        "batch_size": 64,
        "learning_rate": 0.025,
        "final_learning_rate": 0.001,
        "nesterov": False,
        "weight_decay": 3e-4,
        "clip_norm": 5.0,
    },
    # The final training, by `retrain`, at another scale and with the paper's recipe.
    "retrain": {
        "network": {"channels": 36, "cells": 20, "search": False},
        "steps": 312_500,
        "seeds": 0,
        "plan": "bucket",
        "batch_size": 96,
        "learning_rate": 0.025,
        "final_learning_rate": 0.0,
        "cutout": 16,
        "drop_path": 0.2,
        "auxiliary": 0.4,
    },
}
SMALL = {
    "seed": 0,
    "rounds": 200,
    "space": {"name": "darts"},
    "task": {"name": "digits"},
    "network": {"name": "darts", "channels": 4, "cells": 3},
    "strategy": {"name": "darts", "learning_rate": 0.01, "weight_decay": 1e-3},
    "evaluator": {**PAPER["evaluator"], "steps": 200, "curvature": 10},
    "retrain": {
        "network": {"search": False},
        "steps": 300,
        "seeds": 1,
        "plan": "bucket",
        "batch_size": 64,
        "learning_rate": 0.05,
        "final_learning_rate": 0.0,
    },
    "random_search": True,
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
