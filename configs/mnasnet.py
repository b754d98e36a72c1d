"""MnasNet (Tan et al., 2019): a MobileNetV2 chain by PPO, rewarded for accuracy and for latency measured on the device.

    python -m launch.search --config=configs/mnasnet.py:small        # digits, two CPU cores
    python -m launch.profile --config=configs/profile.py:mobilenet --config.batch=1 --workdir=DIR
    python -m launch.search --config=configs/mnasnet.py --config.task.path=cifar10.npz \
        --config.cost.path=DIR/latency_table.json --config.objective.target=2.0

Without `cost.path` the search measures a table first. The reward is the paper's, accuracy * (latency / target)^w with w
of -0.07; `--config.objective.alpha=0 --config.objective.beta=-1` is its hard constraint. Found architectures are
measured again, beside what was predicted.

`:small` took 2 min 38 s on two CPU cores (AMD EPYC), 40 s of it for the table. Found, predicted
1.33 ms and measured 1.28, retrained: 98.89 % of test images (random search 98.33 %):

    stage_0_kernel=5,stage_0_expansion=3,stage_0_depth=2,stage_1_kernel=5,stage_1_expansion=6,stage_1_depth=1
"""

from ml_collections import ConfigDict

from jaxnas import check


def get_config(scale: str = "paper") -> ConfigDict:
    check.one_of("scale (after the colon)", scale, ("paper", "small"))
    small = scale == "small"
    chain = {"depths": (1, 2) if small else (2, 3, 4), "widths": (1.0,) if small else (0.75, 1.0, 1.25)}
    config = ConfigDict()
    config.seed = 0
    config.rounds = 8 if small else 400
    config.space = {"name": "mobilenet", "stages": 2 if small else 5, **chain}
    config.task = {"name": "digits"} if small else {"name": "npz", "path": "cifar10.npz", "validation": 0.1}
    config.network = {
        "name": "mobilenet",
        "channels": (8, 16) if small else (24, 32, 64, 96, 160),
        "strides": (1, 2) if small else (1, 2, 2, 1, 2),
        "stem": 8 if small else 16,
        "features": 64 if small else 1280,
        **chain,
    }
    config.strategy = {
        "name": "ppo",
        "proposals": 16 if small else 20,
        "budget": 60 if small else 3500,
        "learning_rate": 0.02 if small else 0.001,
        "entropy_weight": 0.01,
    }
    config.evaluator = {
        "name": "training",
        "fitness": "accuracy",
        "batch_size": 64 if small else 128,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
    }
    # Latency of so many images at once; measured first where there is no path to a table.
    config.cost = {"name": "latency", "path": "", "batch": 64 if small else 1, "allow_device_mismatch": False}
    config.objective = {
        "name": "weighted_product",
        "cost": "latency_ms",
        "target": 1.0 if small else 2.0,
        "alpha": -0.07,
        "beta": -0.07,
    }
    config.retrain = {"steps": 400 if small else 100_000, "seeds": 1 if small else 0, "plan": "bucket"}
    config.random_search = small
    return config.lock()
