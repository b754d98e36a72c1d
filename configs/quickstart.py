"""The main job in small: NAS-Bench-201's cells on embedded handwritten digits, by regularized evolution.

    jaxnas search

Two minutes on two CPU cores with nothing cached, two searches of 192 candidates in it (evolution, and random search at
the same cost). The cell found, retrained with 3 seeds: 99.35 ± 0.35 % of test images, test loss 0.0243.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.rounds = 12
    config.space = {"name": "nasbench201"}
    config.task = {"name": "digits", "augment": True}
    config.network = {"name": "nasbench201", "channels": 8, "cells": 1}
    config.strategy = {
        "name": "regularized_evolution",
        "population_size": 32,
        "tournament_size": 8,
        "proposals": 16,
        "budget": 150,
    }
    config.evaluator = {"name": "training", "fitness": "loss", "batch_size": 64, "learning_rate": 0.1}
    # The recommended architecture, trained anew on train + validation, beside yardsticks; 0 seeds for none of it.
    config.retrain = {"steps": 600, "seeds": 3}
    config.random_search = True
    config.reference = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    return config.lock()
