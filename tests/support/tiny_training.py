"""A config whose search trains from scratch, and takes seconds."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.rounds = 30
    config.space = {"name": "tests.support.parts:mine"}
    config.task = {"name": "digits"}
    config.network = {"name": "tests.support.parts:Mine"}
    config.strategy = {
        "name": "regularized_evolution",
        "population_size": 8,
        "tournament_size": 3,
        "proposals": 6,
        "budget": 3,
    }
    config.evaluator = {"name": "training", "batch_size": 16}
    config.retrain = {"steps": 40, "seeds": 0, "plan": "map"}
    return config.lock()
