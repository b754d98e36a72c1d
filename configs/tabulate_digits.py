"""The table that comes with the library: NAS-Bench-201's cells trained on the embedded digits.

    jaxnas tabulate --workdir=runs/tabulate

6,466 distinct cells, 3 budgets, 3 seeds: 58,194 trainings, about an hour on two CPU cores. A table made anew has the
learning curves of the same trainings; the embedded one has those of three more of each, which came later.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "name": "nasbench201_digits",
            "seed": 0,
            "space": {"name": "nasbench201"},
            "task": {"name": "digits", "augment": False},
            "network": {"name": "nasbench201", "channels": 8, "cells": 1},
            "evaluator": {"name": "training", "batch_size": 32, "learning_rate": 0.1},
            "budgets": (10, 30, 90),  # steps, each a training of its own with the whole schedule
            "curve": (5, 10, 20, 30, 45, 60, 75, 90),  # of the trainings of 90 steps
            "seeds": 3,
            "proposals": 2,
        }
    )
