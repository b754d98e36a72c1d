"""SPOS (Guo et al., 2020): a supernet trained by uniform paths, then searched by evolution with inherited weights.

    jaxnas search --config=spos:small        # digits, two CPU cores
    jaxnas search --config=spos --config.task.path=cifar10.npz

A chain of MobileNetV2 blocks with kernel, expansion, depth and width for each stage. The first phase trains each option
equally often (Chu et al., 2021); `--config.warm_up.name=random_search` draws paths uniformly, as in the paper.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

# Phase 1: rounds of three paths, a weight step each. Phase 2: `rounds` of evolution, which only scores.
PAPER = {
    "seed": 0,
    "rounds": 50,
    "warm_up": {"name": "fair_paths", "budget": 1, "rounds": 20_000},
    "space": {"name": "mobilenet", "stages": 5, "depths": (2, 3, 4)},
    "task": {"name": "npz", "path": "cifar10.npz", "validation": 0.1},
    "network": {
        "name": "mobilenet",
        "channels": (24, 32, 64, 96, 160),
        "strides": (1, 2, 2, 1, 2),
        "stem": 16,
        "features": 1280,
        "depths": (2, 3, 4),
    },
    "strategy": {"name": "regularized_evolution", "population_size": 50, "tournament_size": 10, "proposals": 20},
    "evaluator": {
        "name": "supernet",
        "steps": 60_000,
        "fitness": "accuracy",
        "recalibrate": 100,
        "batch_size": 64,
        "learning_rate": 0.05,
        "weight_decay": 1e-4,
    },
    "retrain": {"steps": 60_000, "seeds": 0, "plan": "bucket"},
}
SMALL = {
    "seed": 0,
    "rounds": 10,
    "warm_up": {"name": "fair_paths", "budget": 1, "rounds": 150},
    "space": {"name": "mobilenet", "stages": 2, "depths": (1, 2)},
    "task": {"name": "digits"},
    "network": {
        "name": "mobilenet",
        "channels": (8, 16),
        "strides": (1, 2),
        "stem": 8,
        "features": 64,
        "depths": (1, 2),
    },
    "strategy": {"name": "regularized_evolution", "population_size": 30, "tournament_size": 8, "proposals": 10},
    "evaluator": {
        "name": "supernet",
        "steps": 450,
        "fitness": "loss",
        "recalibrate": 4,
        "batch_size": 64,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
    },
    "retrain": {"steps": 400, "seeds": 1, "plan": "bucket"},
    "random_search": True,
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
