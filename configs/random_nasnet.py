"""Random search in NASNet's space: the search of `configs/nasnet.py`, learning nothing. The baseline of both papers.

    python -m launch.search --config=configs/random_nasnet.py:small     # digits, two CPU cores
    python -m launch.search --config=configs/random_nasnet.py --config.task.path=cifar10.npz

`:small` took 2 min 3 s on two CPU cores (AMD EPYC), nothing cached; 96 architectures.
The one found: 99.17 ± 0.56 % of test images.
"""

from ml_collections import ConfigDict

from configs import nasnet


def get_config(scale: str = "paper") -> ConfigDict:
    config = nasnet.get_config(scale).unlock()
    config.strategy = {
        "name": "random_search",
        "proposals": config.strategy.proposals,
        "budget": config.strategy.budget,
    }
    config.random_search = False  # would be the same again
    return config.lock()
