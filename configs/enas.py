"""ENAS (Pham et al., 2018): the supernet of `darts` under a controller.

jaxnas search --config=enas:small
jaxnas search --config=enas --config.task.path=cifar10.npz
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from . import darts

# As many weight steps as DARTS has, a policy round after each `weight_rounds`; then 100 samples are scored.
PAPER = {
    **darts.PAPER,
    "rounds": 19_500 // (10 * 15) * (15 + 1) + 10,
    "strategy": {
        "name": "enas",
        "proposals": 10,
        "rounds": 19_500 // (10 * 15) * (15 + 1),
        "weight_rounds": 15,
        "hidden": 100,
        "learning_rate": 0.0035,
        "entropy_weight": 0.1,
    },
}
SMALL = {
    **darts.SMALL,
    "rounds": 200 // 10 * (1 + 1) + 10,
    "strategy": {
        "name": "enas",
        "proposals": 10,
        "rounds": 200 // 10 * (1 + 1),
        "weight_rounds": 1,
        "hidden": 100,
        "learning_rate": 0.01,
        "entropy_weight": 0.1,
    },
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
