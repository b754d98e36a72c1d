"""AmoebaNet (Real, Aggarwal, Huang and Le, 2019): the search of `nasnet` by regularized evolution.

jaxnas search --config=amoebanet:small     # digits, two CPU cores
jaxnas search --config=amoebanet --config.task.path=cifar10.npz
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
