"""NAS-Bench-201 as a table: a search of 300 evaluations within seconds, no network trained.

    jaxnas search --config=nasbench201        # the table that comes with the library
    jaxnas search --config=nasbench201 --config.evaluator.path=TABLE.npz \\
        --config.evaluator.fitness=cifar10-train25k.valid25k.accuracy

TABLE.npz is what `jaxnas import_table` made of the published files. `jaxnas compare` is for many searches at once.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 0,
            "rounds": 300,
            "space": {"name": "nasbench201"},
            "strategy": {
                "name": "regularized_evolution",
                "population_size": 50,
                "tournament_size": 10,
                "proposals": 1,
            },
            "evaluator": {"name": "table", "path": "nasbench201_digits", "fitness": "validation_loss"},
        }
    )
