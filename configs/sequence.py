"""Classification of sequences: handwritten digits, row by row (`tasks.digit_rows`).

    jaxnas search --config=sequence:small

Convolutions along the rows, averages over them and layers for each. Without `:small` twice as deep and four times as
wide.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._layers import config, larger

SMALL = config(
    "digit_rows",
    ("identity", "dense", "conv_3", "conv_5", "average"),
    {"features": 32},
)
PAPER = larger(SMALL, features=128, depth=8, rounds=100, steps=2000)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
