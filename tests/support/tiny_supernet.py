"""A config whose search on shared weights takes seconds."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.rounds = 300
    config.space = {"name": "tests.support.parts:mine"}
    config.task = {"name": "digits"}
    config.network = {"name": "tests.support.parts:Mine"}
    config.strategy = {"name": "darts"}
    config.evaluator = {"name": "supernet", "steps": 300, "curvature": 7, "batch_size": 16, "examples": 16}
    config.evaluator.sync_batch_norm = False
    return config.lock()
