"""Classification of rows of measurements: tumours (`tasks.breast_cancer`).

    jaxnas search --config=tabular:small

Layers of vectors, accuracy beside nearest neighbour and a support vector machine. Without `:small` twice as deep
and four times as wide.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._layers import config, larger

SMALL = config(
    "breast_cancer",
    ("identity", "dense", "dense_gelu", "dense_tanh", "gated"),
    {"features": 32},
)
PAPER = larger(SMALL, features=128, depth=8, rounds=100, steps=2000)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
