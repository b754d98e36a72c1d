"""Prediction of the next token: sums of two numbers, written out (`tasks.sums`).

    jaxnas search --config=next_token:small

Causal layers, perplexity beside frequencies of tokens; padding does not count. Without `:small` twice as deep and four
times as wide.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._layers import config, larger

SMALL = config(
    "sums",
    ("identity", "dense", "gated", "conv_3", "conv_5", "average"),
    {"features": 32, "vocabulary": 14, "each": True, "causal": True},
)
PAPER = larger(SMALL, features=128, depth=8, rounds=100, steps=2000)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL)
