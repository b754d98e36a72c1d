"""Once-for-All (Cai et al., 2020): one MobileNet whose kernels, depths and expansions shrink while it learns.

    jaxnas search --config=once_for_all:small        # digits, two CPU cores
    jaxnas search --config=once_for_all --config.task.path=cifar10.npz

First the largest network trains alone; then smaller kernels are let in, then smaller depths, then smaller expansions
(progressive shrinking). Smaller kernels are the middle of the largest times a learned matrix. From then on each step is
one of the largest path, two random ones and the smallest, all but the largest learning from its logits. NSGA-II then
scores what paths inherit against the latency measured on this device. What is recommended, the most accurate within
60 % of the largest one's latency, is trained on from what it inherits.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale


def _config(
    stages: int, options: dict, network: dict, task: dict, shrink: dict, steps: int, rounds: int, strategy: dict,
    cost: dict, recipe: dict, retrain: dict,
) -> dict:  # fmt: skip
    return {
        "seed": 0,
        "rounds": rounds,
        "warm_up": {"name": "sandwich", "shrink": shrink, "rounds": steps},
        "space": {"name": "mobilenet", "stages": stages, **options},
        "task": task,
        "network": {"name": "mobilenet", "transforms": True, **options, **network},
        "strategy": {"name": "nsga2", **strategy},
        "evaluator": {
            "name": "supernet",
            "steps": steps,
            "together": True,
            "in_place": 1.0,
            "fitness": "loss",
            **recipe,
        },
        "cost": {"name": "latency", **cost},
        "reference": "largest",
        "recommend": {"latency_ms": "60%"},
        "random_search": True,
        "retrain": {"inherit": True, "plan": "bucket", **retrain},
    }


SMALL = _config(
    2,
    {"kernels": (3, 5, 7), "expansions": (2, 3, 4), "depths": (1, 2), "widths": (1.0,)},
    {"channels": (8, 16), "strides": (1, 2), "stem": 8, "features": 64},
    {"name": "digits"},
    {"*_kernel": (60, 90), "*_depth": (120,), "*_expansion": (150, 180)},
    300,
    8,
    {"population_size": 24, "proposals": 12},
    {"batch": 64, "by": "networks", "networks": 16},
    {"batch_size": 64, "learning_rate": 0.1, "weight_decay": 1e-4, "recalibrate": 4},
    {"steps": 100, "seeds": 3, "learning_rate": 0.02},
)
PAPER = _config(
    5,
    {"kernels": (3, 5, 7), "expansions": (3, 4, 6), "depths": (2, 3, 4), "widths": (1.0,)},
    {"channels": (24, 40, 80, 112, 160), "strides": (1, 2, 2, 1, 2), "stem": 16, "features": 960},
    {"name": "npz", "path": "cifar10.npz", "validation": 0.1},
    {"*_kernel": (20_000, 22_000), "*_depth": (40_000, 45_000), "*_expansion": (65_000, 70_000)},
    90_000,
    30,
    {"population_size": 100, "proposals": 50},
    {"batch": 1},
    {"batch_size": 64, "learning_rate": 0.05, "weight_decay": 3e-5, "recalibrate": 32},
    {"steps": 10_000, "seeds": 1, "learning_rate": 0.005},
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
