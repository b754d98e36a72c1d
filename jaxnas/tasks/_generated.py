"""Tasks made from a seed, without any data: text to continue, images to label pixel by pixel."""

import numpy as np

from jaxnas import check
from jaxnas.tasks.losses import cross_entropy
from jaxnas.tasks.metrics import mean_iou, perplexity
from jaxnas.tasks.task import Task, arrays

SYMBOLS = " 0123456789+=."
"""Tokens of `sums`; the first is padding."""


def sums(*, train: int = 2000, seed: int = 0) -> Task:
    """The next token of "37+4=41.": whole numbers below 100 and their sum, with what comes before as the input.

    Sequences of ten tokens, of which those after the end have weight 0; the same sum is in one split alone. What can be
    known is what follows "=", so that perplexity ends well above 1.

    Args:
      train: sums to train on; 500 each for validation and test.
      seed: of which sums.
    """
    check.integer("train", train, least=1, most=9000)
    check.seed("seed", seed)
    pairs = np.random.default_rng(seed).permutation(100 * 100)[: train + 1000]
    texts = [f" {a}+{b}={a + b}." for a, b in zip(pairs // 100, pairs % 100, strict=True)]
    length = len(" 99+99=198.")
    tokens = np.array([[SYMBOLS.index(c) for c in text.ljust(length)] for text in texts], np.int32)
    weight = np.arange(1, length) < np.array([[len(text)] for text in texts])
    parts = {"train": slice(train), "validation": slice(train, train + 500), "test": slice(train + 500, None)}
    return arrays(
        {split: (tokens[at, :-1], tokens[at, 1:], weight[at]) for split, at in parts.items()},
        name="sums",
        metric=perplexity(cross_entropy),
        outputs=len(SYMBOLS),
    )


def shapes(*, size: int = 16, train: int = 400, seed: int = 0) -> Task:
    """Segmentation: which pixels of a noisy image belong to a disk, which to a square, which to neither.

    A shape has the brightness of either kind, so that a pixel by itself does not say which it belongs to. The metric is
    mean intersection over union of the three classes.

    Args:
      size: height and width in pixels.
      train: images to train on; 100 each for validation and test.
      seed: of all images.
    """
    check.integer("size", size, least=8)
    check.integer("train", train, least=1)
    check.seed("seed", seed)
    random, n = np.random.default_rng(seed), train + 200
    rows, columns = np.mgrid[:size, :size]
    labels, images = np.zeros((n, size, size), np.int32), np.zeros((n, size, size))
    for kind in (1, 2):
        center = random.uniform(3, size - 3, (2, n, 1, 1))
        radius = random.uniform(2, size / 4, (n, 1, 1))
        aside = np.abs(rows - center[0]), np.abs(columns - center[1])
        inside = np.hypot(*aside) <= radius if kind == 1 else np.maximum(*aside) <= radius
        labels = np.where(inside, kind, labels)
        images = np.where(inside, random.uniform(0.5, 1.5, (n, 1, 1)), images)
    images = (images + random.normal(0, 0.3, images.shape))[..., None].astype(np.float32)
    parts = {"train": slice(train), "validation": slice(train, train + 100), "test": slice(train + 100, None)}
    return arrays(
        {split: (images[at], labels[at]) for split, at in parts.items()}, name="shapes", metric=mean_iou(3), outputs=3
    )
