"""NASNet (Zoph, Vasudevan, Shlens and Le, 2018): a recurrent controller, trained by PPO, designs two cells.

    python -m launch.search --config=configs/nasnet.py:small        # digits, two CPU cores
    python -m launch.search --config=configs/nasnet.py --config.task.path=cifar10.npz

The second is the paper's search: CIFAR-10, N = 2 cells of F = 32 filters, 20 epochs each, 20,000 architectures. What
either finds is scaled up, and moved to another task, by

    python -m launch.retrain --workdir=DIR --config.network.cells=6 --config.retrain.steps=210000 \
        --config.retrain.cutout=16 --config.retrain.drop_path=0.4 --config.retrain.auxiliary=0.4 \
        --config.task="{'name': 'npz', 'path': 'cifar10.npz'}"

`:small` took 2 min 44 s on two CPU cores (AMD EPYC), nothing cached; 96 architectures.
The one found: 99.03 ± 0.42 % of test images.
"""

from ml_collections import ConfigDict

from jaxnas import check


def get_config(scale: str = "paper") -> ConfigDict:
    check.one_of("scale (after the colon)", scale, ("paper", "small"))
    small = scale == "small"
    config = ConfigDict()
    config.seed = 0
    config.rounds = 6 if small else 1000
    config.space = {"name": "nasnet", "blocks": 5}
    config.task = {"name": "digits"} if small else {"name": "npz", "path": "cifar10.npz", "validation": 0.1}
    config.network = {
        "name": "nasnet",
        "cells": 1 if small else 2,
        "filters": 8 if small else 32,
        "reductions": 1 + (not small),
    }
    config.strategy = {
        "name": "ppo",
        "proposals": 16 if small else 20,
        "budget": 40 if small else 7000,
        "learning_rate": 0.005 if small else 0.00035,
        "entropy_weight": 0.01,
        "baseline_decay": 0.95,
        "hidden": 100,
    }
    config.evaluator = {
        "name": "training",
        "fitness": "loss" if small else "accuracy",
        "batch_size": 64 if small else 128,
        "learning_rate": 0.1 if small else 0.025,
    }
    # The final training, with NASNet's recipe: cutout in pixels, last drop-path rate, weight of the auxiliary head.
    config.retrain = {
        "steps": 300,
        "seeds": 2 if small else 0,
        "plan": "auto",
        "learning_rate": 0.1 if small else 0.025,
        "cutout": 0,
        "drop_path": 0.1,
        "auxiliary": 0.0,
    }
    config.random_search = small
    # Beside a residual network of so many blocks a stage, as wide as gives it as many parameters; 0 for none.
    config.residual = 1
    return config.lock()
