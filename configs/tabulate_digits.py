"""The table that comes with the library: NAS-Bench-201's cells trained on the embedded digits.

    python -m launch.tabulate --workdir=runs/tabulate

6,466 distinct cells, 3 budgets, 3 seeds: 58,194 trainings, about an hour on two CPU cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "nasbench201_digits"
    config.seed = 0
    config.space = {"name": "nasbench201"}
    config.task = {"name": "digits", "augment": False}
    config.network = {"name": "nasbench201", "channels": 8, "cells": 1}
    config.evaluator = {"name": "training", "test": True, "batch_size": 32, "learning_rate": 0.1}
    config.budgets = (10, 30, 90)  # steps, each a training of its own with the whole schedule
    config.seeds = 3
    config.proposals = 2
    return config.lock()
