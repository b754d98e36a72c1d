"""Latency of NAS-Bench-201's networks, or of MobileNetV2 chains (`:mobilenet`), on the device in hand.

    python -m launch.profile
    python -m launch.profile --config=configs/profile.py:mobilenet --config.batch=1

`:nasbench201,small` and `:mobilenet,small` are a few seconds' worth, to see that it works.
"""

from ml_collections import ConfigDict

from jaxnas import check

SPACES = ("nasbench201", "mobilenet")


def get_config(options: str = "nasbench201") -> ConfigDict:
    space, _, scale = options.partition(",")
    check.one_of("space (after the colon)", space, SPACES)
    check.one_of("scale (after the comma)", scale, ("", "small"))
    small = scale == "small"
    config = ConfigDict()
    config.seed = 0
    config.space = {"name": space}
    config.network = {"name": space, "classes": 10}
    if space == "nasbench201":
        config.network.update({"channels": 4 if small else 16, "cells": 1 if small else 5})
    elif small:
        chain = {"kernels": (3, 5), "depths": (1, 2), "widths": (1.0,)}
        config.space.update({"stages": 2, **chain})
        config.network.update({"channels": (8, 16), "strides": (1, 2), "stem": 8, "features": 64, **chain})
    config.batch = 8 if small else 64
    config.image = (8, 8, 3) if small else (32, 32, 3)
    config.dtype = "float32"
    # Random networks to validate on, and chosen ones to calibrate on.
    config.held_out = 12 if small else 60
    config.calibration = 8 if small else 16
    # Each network and operation is timed in so many rounds, side by side.
    config.rounds = 5
    return config.lock()
