"""AmoebaNet (Real, Aggarwal, Huang and Le, 2019): the search of `nasnet` by regularized evolution.

    jaxnas search --config=amoebanet:small     # digits, two CPU cores
    jaxnas search --config=amoebanet --config.task.path=cifar10.npz

`:small` took 2 min 38 s on two CPU cores (AMD EPYC), nothing cached; 96 architectures.
The one found: 99.31 ± 0.14 % of test images.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from . import nasnet

PAPER = {
    **nasnet.PAPER,
    "strategy": {
        "name": "regularized_evolution",
        "population_size": 100,
        "tournament_size": 25,
        "proposals": 20,
        "budget": 7000,
    },
}
SMALL = {
    **nasnet.SMALL,
    "strategy": {
        "name": "regularized_evolution",
        "population_size": 32,
        "tournament_size": 8,
        "proposals": 16,
        "budget": 40,
    },
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
