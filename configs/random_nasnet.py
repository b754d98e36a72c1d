"""Random search in NASNet's space: the search of `nasnet`, learning nothing. The baseline of both papers.

jaxnas search --config=random_nasnet:small     # digits, two CPU cores
jaxnas search --config=random_nasnet --config.task.path=cifar10.npz
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from . import nasnet

PAPER = {**nasnet.PAPER, "strategy": {"name": "random_search", "proposals": 20, "budget": 7000}}
SMALL = {**nasnet.SMALL, "strategy": {"name": "random_search", "proposals": 16, "budget": 40}}
del SMALL["random_search"]  # would be the same again


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
