"""ProxylessNAS (Cai, Zhu and Han, 2019): the chain of `mnasnet` by binary gates, latency in the gradient.

    jaxnas search --config=proxylessnas:small        # digits, two CPU cores
    jaxnas profile --config=profile:mobilenet --config.batch=1 --workdir=DIR
    jaxnas search --config=proxylessnas --config.task.path=cifar10.npz \
        --config.cost.path=DIR/latency_table.json --config.strategy.cost_weight=0.05

`cost_weight` is what a millisecond is worth, in units of the loss (the paper's equation 6). Without `cost.path` the
search measures a table first. What is found is measured again, beside what was predicted.

`:small` took 1 min 3 s on two CPU cores (AMD EPYC), after 40 s for the table. Found, predicted
1.02 ms and measured 1.03, retrained: 99.17 % of test images (random paths 99.17 %):

    stage_0_kernel=5,stage_0_expansion=3,stage_0_depth=1,stage_1_kernel=5,stage_1_expansion=3,stage_1_depth=2
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
