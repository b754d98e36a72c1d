"""ProxylessNAS (Cai, Zhu and Han, 2019): a MobileNetV2 chain by binary gates, expected latency in the gradient.

    python -m launch.search --config=configs/proxylessnas.py:small        # digits, two CPU cores
    python -m launch.profile --config=configs/profile.py:mobilenet --config.batch=1 --workdir=DIR
    python -m launch.search --config=configs/proxylessnas.py --config.task.path=cifar10.npz \
        --config.cost.path=DIR/latency_table.json --config.strategy.cost_weight=0.05

`cost_weight` is what a millisecond is worth, in units of the loss (the paper's equation 6). Without `cost.path` the
search measures a table first. What is found is measured again, beside what was predicted.

`:small` took 1 min 3 s on two CPU cores (AMD EPYC), after 40 s for the table. Found, predicted
1.02 ms and measured 1.03, retrained: 99.17 % of test images (random paths 99.17 %):

    stage_0_kernel=5,stage_0_expansion=3,stage_0_depth=1,stage_1_kernel=5,stage_1_expansion=3,stage_1_depth=2
"""

from ml_collections import ConfigDict

from jaxnas import check


def get_config(scale: str = "paper") -> ConfigDict:
    check.one_of("scale (after the colon)", scale, ("paper", "small"))
    small = scale == "small"
    chain = {"depths": (1, 2) if small else (2, 3, 4), "widths": (1.0,) if small else (0.75, 1.0, 1.25)}
    steps = 600 if small else 60_000
    config = ConfigDict()
    config.seed = 0
    config.rounds = 2 * steps  # a weight step, then one of the gates
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
        "name": "binary_gates",
        "learning_rate": 0.02 if small else 0.006,
        "weight_rounds": 1,
        "cost_weight": 0.1 if small else 0.05,
    }
    config.evaluator = {
        "name": "supernet",
        "steps": steps,
        "batch_size": 64,
        "learning_rate": 0.1 if small else 0.025,
        "weight_decay": 1e-4,
    }
    # Latency of so many images at once; measured first where there is no path to a table.
    config.cost = {"name": "latency", "path": "", "batch": 64 if small else 1, "anywhere": False}
    config.retrain = {"steps": 400 if small else 100_000, "seeds": 1 if small else 0, "plan": "bucket"}
    config.random_search = small
    return config.lock()
