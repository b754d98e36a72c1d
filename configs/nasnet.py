"""NASNet (Zoph, Vasudevan, Shlens and Le, 2018): a recurrent controller, trained by PPO, designs two cells.

    jaxnas search --config=nasnet:small        # digits, two CPU cores
    jaxnas search --config=nasnet --config.task.path=cifar10.npz

The second is the paper's search: CIFAR-10, N = 2 cells of F = 32 filters, 20 epochs each, 20,000 architectures. What
either finds is scaled up, and moved to another task, by

    jaxnas retrain --workdir=DIR --config.network.cells=6 --config.retrain.steps=210000 \\
        --config.retrain.cutout=16 --config.retrain.drop_path=0.4 --config.retrain.auxiliary=0.4 \\
        --config.task="{'name': 'npz', 'path': 'cifar10.npz'}"
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

PAPER = {
    "seed": 0,
    "rounds": 1000,
    "space": {"name": "nasnet", "blocks": 5},
    "task": {"name": "npz", "path": "cifar10.npz", "validation": 0.1},
    "network": {"name": "nasnet", "cells": 2, "filters": 32, "reductions": 2},
    "strategy": {
        "name": "ppo",
        "proposals": 20,
        "budget": 7000,
        "learning_rate": 0.00035,
        "entropy_weight": 0.01,
        "baseline_decay": 0.95,
        "hidden": 100,
    },
    "evaluator": {"name": "training", "fitness": "accuracy", "batch_size": 128, "learning_rate": 0.025},
}
SMALL = {
    "seed": 0,
    "rounds": 6,
    "space": {"name": "nasnet", "blocks": 5},
    "task": {"name": "digits"},
    "network": {"name": "nasnet", "cells": 1, "filters": 8, "reductions": 1},
    "strategy": {
        "name": "ppo",
        "proposals": 16,
        "budget": 40,
        "learning_rate": 0.005,
        "entropy_weight": 0.01,
        "baseline_decay": 0.95,
        "hidden": 100,
    },
    "evaluator": {"name": "training", "fitness": "loss", "batch_size": 64, "learning_rate": 0.1},
    "retrain": {"steps": 300, "seeds": 2, "learning_rate": 0.1, "drop_path": 0.1},
    "random_search": True,
    "yardstick": {"name": "resnet", "blocks": 1, "scaled": "filters"},
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
