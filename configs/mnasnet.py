"""MnasNet (Tan et al., 2019): a MobileNetV2 chain by PPO, rewarded for accuracy and for latency measured on the device.

    jaxnas search --config=mnasnet:small        # digits, two CPU cores
    jaxnas profile --config=profile:mobilenet --config.batch=1 --workdir=DIR
    jaxnas search --config=mnasnet --config.task.path=cifar10.npz \\
        --config.cost.path=DIR/latency_table.json --config.objective.target=2.0

Without `cost.path` the search measures a table first. The reward is the paper's, accuracy * (latency / target)^w with w
of -0.07; `--config.objective.alpha=0 --config.objective.beta=-1` is its hard constraint. Found architectures are
measured again, beside what was predicted.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

PAPER = {
    "seed": 0,
    "rounds": 400,
    "space": {"name": "mobilenet", "stages": 5, "depths": (2, 3, 4), "widths": (0.75, 1.0, 1.25)},
    "task": {"name": "npz", "path": "cifar10.npz", "validation": 0.1},
    "network": {
        "name": "mobilenet",
        "channels": (24, 32, 64, 96, 160),
        "strides": (1, 2, 2, 1, 2),
        "stem": 16,
        "features": 1280,
        "depths": (2, 3, 4),
        "widths": (0.75, 1.0, 1.25),
    },
    "strategy": {"name": "ppo", "proposals": 20, "budget": 3500, "learning_rate": 0.001, "entropy_weight": 0.01},
    "evaluator": {
        "name": "training",
        "fitness": "accuracy",
        "batch_size": 128,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
    },
    "cost": {"name": "latency", "batch": 1},
    "objective": {"name": "weighted_product", "cost": "latency_ms", "target": 2.0, "alpha": -0.07, "beta": -0.07},
    "retrain": {"steps": 100_000, "seeds": 0, "plan": "bucket"},
}
SMALL = {
    "seed": 0,
    "rounds": 8,
    "space": {"name": "mobilenet", "stages": 2, "depths": (1, 2), "widths": (1.0,)},
    "task": {"name": "digits"},
    "network": {
        "name": "mobilenet",
        "channels": (8, 16),
        "strides": (1, 2),
        "stem": 8,
        "features": 64,
        "depths": (1, 2),
        "widths": (1.0,),
    },
    "strategy": {"name": "ppo", "proposals": 16, "budget": 60, "learning_rate": 0.02, "entropy_weight": 0.01},
    "evaluator": {**PAPER["evaluator"], "batch_size": 64},
    "cost": {"name": "latency", "batch": 64},
    "objective": {**PAPER["objective"], "target": 1.0},
    "retrain": {"steps": 400, "seeds": 1, "plan": "bucket"},
    "random_search": True,
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
