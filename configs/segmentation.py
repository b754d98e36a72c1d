"""Segmentation: disks and squares in noise, pixel by pixel (`tasks.shapes`).

    jaxnas search --config=segmentation:small

Convolutions and layers for each pixel, mean intersection over union beside frequencies of classes. Without `:small`
twice as deep and four times as wide.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._layers import config, larger

SMALL = config(
    "shapes",
    ("identity", "dense", "conv_3", "conv_5", "average"),
    {"features": 12, "each": True},
    batch_size=16,
    budget=100,
)
PAPER = larger(SMALL, features=128, depth=8, rounds=100, steps=2000)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
