"""Regression of two numbers: how diabetes progresses, and blood pressure (`tasks.diabetes`).

    jaxnas search --config=regression:small

Layers of vectors, R² beside ridge regression and nearest neighbours. Without `:small` twice as deep and four times as
wide.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._layers import config, larger

SMALL = config(
    "diabetes",
    ("identity", "dense", "dense_gelu", "dense_tanh", "gated"),
    {"features": 32},
    budget=60,
    weight_decay=0.1,
)
PAPER = larger(SMALL, features=128, depth=8, rounds=100, steps=2000)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
