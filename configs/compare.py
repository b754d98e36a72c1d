"""Strategies side by side on a table; by default the one that comes with the library, no download.

    jaxnas compare
    jaxnas compare --config.table=TABLE.npz --config.metric=COLUMN --config.seeds=10000

`jaxnas options compare` lists what can be set.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 0,
            "table": "nasbench201_digits",
            "metric": "validation_loss",
            "strategies": "random_search,regularized_evolution,local_search,mcts,hyperband,"
            "reinforce(seeds=200),ppo(seeds=200),bananas(seeds=200)",
            "seeds": 1000,
            # Of each search, in trainings of the largest budget.
            "evaluations": 300,
        }
    )
