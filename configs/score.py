"""Zero-cost proxies of random NAS-Bench-201 cells on the embedded digits, beside the table that comes with the library.

    jaxnas score
    jaxnas score --config.proxies=synflow,nwot --config.subset=all

`jaxnas options score` lists what can be set.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 0,
            "space": {"name": "nasbench201"},
            "network": {"name": "nasbench201", "channels": 8, "cells": 1},
            "task": {"name": "digits"},
            "proxies": "all",
            "subset": "1000",
            "batch_size": 64,
            "table": {"path": "nasbench201_digits", "metrics": "test_accuracy,test_loss"},
        }
    )
