"""Latency of NAS-Bench-201's networks, or of MobileNetV2 chains (`:mobilenet`), on this device.

    jaxnas profile
    jaxnas profile --config=profile:mobilenet --config.batch=1

`:nasbench201,small` and `:mobilenet,small` are a few seconds' worth, to see that it works.
"""

from ml_collections import ConfigDict

from jaxnas import check

NASBENCH201 = {
    "seed": 0,
    "space": {"name": "nasbench201"},
    "network": {"name": "nasbench201", "channels": 16, "cells": 5, "classes": 10},
    "batch": 64,
    "image": (32, 32, 3),
}
MOBILENET = {**NASBENCH201, "space": {"name": "mobilenet"}, "network": {"name": "mobilenet", "classes": 10}}
FEW = {"batch": 8, "image": (8, 8, 3), "held_out": 12, "calibration": 8, "limit": 20.0}
CHAIN = {"kernels": (3, 5), "depths": (1, 2), "widths": (1.0,)}
CONFIGS = {
    "nasbench201": NASBENCH201,
    "mobilenet": MOBILENET,
    "nasbench201,small": {
        **NASBENCH201,
        **FEW,
        "network": {"name": "nasbench201", "channels": 4, "cells": 1, "classes": 10},
    },
    "mobilenet,small": {
        **MOBILENET,
        **FEW,
        "space": {"name": "mobilenet", "stages": 2, **CHAIN},
        "network": {
            "name": "mobilenet",
            "classes": 10,
            "channels": (8, 16),
            "strides": (1, 2),
            "stem": 8,
            "features": 64,
            **CHAIN,
        },
    },
}


def get_config(name: str = "nasbench201") -> ConfigDict:
    check.one_of("name (after the colon)", name, CONFIGS)
    return ConfigDict(CONFIGS[name])
