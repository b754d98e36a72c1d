"""NAS-Bench-201 as a table: 300 evaluations of a search in about three seconds, no network trained.

    python -m launch.search --config=configs/nasbench201.py --config.evaluator.path=TABLE.npz

TABLE.npz holds an array of 15,625 numbers, in the order of the published rows; `evaluator.fitness` names it.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.rounds = 300
    config.space = {"name": "nasbench201"}
    config.strategy = {"name": "regularized_evolution", "population_size": 50, "tournament_size": 10, "proposals": 1}
    config.evaluator = {"name": "table", "path": "", "fitness": "val_acc_200ep_cifar10"}
    return config.lock()
