"""SPOS (Guo et al., 2020): a supernet trained by uniform paths, then searched by evolution with inherited weights.

    python -m launch.search --config=configs/spos.py:small        # digits, two CPU cores
    python -m launch.search --config=configs/spos.py --config.task.path=cifar10.npz

A chain of MobileNetV2 blocks with kernel, expansion, depth and width for each stage. The first phase trains each option
equally often (Chu et al., 2021); `--config.warm_up.name=random_search` draws paths uniformly, as in the paper.

`:small` took 56 s on two CPU cores (AMD EPYC), nothing cached; found, retrained: 98.89 % of test images, loss 0.0397:

    stage_0_kernel=7,stage_0_expansion=6,stage_0_depth=2,stage_0_width=0.75,
    stage_1_kernel=7,stage_1_expansion=6,stage_1_depth=2,stage_1_width=1.0
"""

from ml_collections import ConfigDict

from jaxnas import check


def get_config(scale: str = "paper") -> ConfigDict:
    check.one_of("scale (after the colon)", scale, ("paper", "small"))
    small = scale == "small"
    config = ConfigDict()
    config.seed = 0
    # Phase 1: rounds of three paths, a weight step each. Phase 2: `rounds` of evolution, which only scores.
    config.warm_up = {"name": "fair_paths", "budget": 1, "rounds": 150 if small else 20_000}
    config.rounds = 10 if small else 50
    config.space = {"name": "mobilenet", "stages": 2 if small else 5, "depths": (1, 2) if small else (2, 3, 4)}
    config.task = {"name": "digits"} if small else {"name": "npz", "path": "cifar10.npz", "validation": 0.1}
    config.network = {
        "name": "mobilenet",
        "channels": (8, 16) if small else (24, 32, 64, 96, 160),
        "strides": (1, 2) if small else (1, 2, 2, 1, 2),
        "stem": 8 if small else 16,
        "features": 64 if small else 1280,
        "depths": (1, 2) if small else (2, 3, 4),
    }
    config.strategy = {
        "name": "regularized_evolution",
        "population_size": 30 if small else 50,
        "tournament_size": 8 if small else 10,
        "proposals": 10 if small else 20,
    }
    config.evaluator = {
        "name": "supernet",
        "sync_batch_norm": False,
        "steps": 450 if small else 60_000,
        "fitness": "loss" if small else "accuracy",
        "recalibrate": 4 if small else 100,
        "batch_size": 64,
        "learning_rate": 0.1 if small else 0.05,
        "weight_decay": 1e-4,
    }
    config.retrain = {"steps": 400 if small else 60_000, "seeds": 1 if small else 0, "plan": "bucket"}
    config.random_search = small
    return config.lock()
