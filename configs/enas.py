"""ENAS (Pham et al., 2018): the supernet of `darts` under a controller.

    jaxnas search --config=enas:small
    jaxnas search --config=enas --config.task.path=cifar10.npz

`:small` took 45 s on two CPU cores (AMD EPYC), most programs cached by `darts`; found, retrained: 97.22 % of test
images, loss 0.0947:

    Genotype(normal=[('avg_pool_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), ('dil_conv_3x3', 1),
    ('sep_conv_5x5', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 6),
    reduce=[('avg_pool_3x3', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0),
    ('dil_conv_3x3', 1), ('dil_conv_5x5', 0), ('avg_pool_3x3', 1)], reduce_concat=range(2, 6))
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
