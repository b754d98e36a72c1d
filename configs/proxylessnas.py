"""ProxylessNAS (Cai, Zhu and Han, 2019): the chain of `mnasnet` by binary gates, latency in the gradient.

    jaxnas search --config=proxylessnas:small        # digits, two CPU cores
    jaxnas profile --config=profile:mobilenet --config.batch=1 --workdir=DIR
    jaxnas search --config=proxylessnas --config.task.path=cifar10.npz \\
        --config.cost.path=DIR/latency_table.json --config.strategy.cost_weight=0.05

`cost_weight` is what a millisecond is worth, in units of the loss (the paper's equation 6). Without `cost.path` the
search measures a table first. What is found is measured again, beside what was predicted.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from . import mnasnet


def _of(mnasnet: dict, steps: int, rate: float, cost_weight: float, weights_rate: float) -> dict:
    """The search of `mnasnet` by binary gates, without its objective: the cost is in the gradient."""
    return {
        **{key: value for key, value in mnasnet.items() if key != "objective"},
        "rounds": 2 * steps,  # a weight step, then one of the gates
        "strategy": {"name": "binary_gates", "learning_rate": rate, "weight_rounds": 1, "cost_weight": cost_weight},
        "evaluator": {
            "name": "supernet",
            "steps": steps,
            "batch_size": 64,
            "learning_rate": weights_rate,
            "weight_decay": 1e-4,
        },
    }


PAPER = _of(mnasnet.PAPER, 60_000, rate=0.006, cost_weight=0.05, weights_rate=0.025)
SMALL = _of(mnasnet.SMALL, 600, rate=0.02, cost_weight=0.1, weights_rate=0.1)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
