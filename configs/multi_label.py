"""Several labels at once: which properties a handwritten digit has (`tasks.digit_properties`).

    jaxnas search --config=multi_label:small

NAS-Bench-201's cells with five outputs, F1 beside logistic regression and nearest neighbour. Without `:small` at the
width and depth of the benchmark.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

SMALL = {
    "seed": 0,
    "rounds": 8,
    "space": {"name": "nasbench201"},
    "task": {"name": "digit_properties"},
    "network": {"name": "nasbench201", "channels": 8, "cells": 1},
    "strategy": {
        "name": "regularized_evolution",
        "population_size": 16,
        "tournament_size": 5,
        "proposals": 8,
        "budget": 100,
    },
    "evaluator": {"name": "training", "fitness": "loss", "batch_size": 64, "learning_rate": 0.1},
    "random_search": True,
    "retrain": {"steps": 400, "seeds": 3},
}
PAPER = {
    **SMALL,
    "rounds": 100,
    "network": {"name": "nasbench201", "channels": 16, "cells": 5},
    "strategy": {**SMALL["strategy"], "population_size": 100, "tournament_size": 10, "budget": 2000},
    "retrain": {"steps": 10_000, "seeds": 3},
}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
