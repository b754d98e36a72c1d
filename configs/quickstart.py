"""The main job in small: accuracy and latency of NAS-Bench-201's cells, on handwritten digits, without a download.

    jaxnas search

NSGA-II searches for cells that are accurate and fast on this device, beside random search at the same cost; the most
accurate within half of the residual cell's latency is retrained with 3 seeds, measured again, and compared.
"""

from ml_collections import ConfigDict

RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 0,
            "rounds": 6,
            "space": {"name": "nasbench201"},
            "task": {"name": "digits"},
            "network": {"name": "nasbench201", "channels": 8, "cells": 1},
            "strategy": {"name": "nsga2", "population_size": 16, "proposals": 16, "budget": 150},
            "evaluator": {"name": "training", "fitness": "loss", "batch_size": 64, "learning_rate": 0.1},
            "cost": {"name": "latency", "by": "networks", "networks": 24, "batch": 64},
            "random_search": True,
            "reference": RESIDUAL,
            "recommend": {"latency_ms": "50%"},
            # From where hypervolume is measured: a loss that is still useful, and the slowest that was evaluated.
            "reference_point": {"fitness": -0.15},
            "retrain": {"steps": 600, "seeds": 3},
        }
    )
