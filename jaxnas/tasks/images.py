"""Images and labels, wherever they come from, as a classification task whose images stay bytes on the device."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.tasks.augment import chain, random_flip, random_shift
from jaxnas.tasks.task import Task, arrays


def classification(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    where: str,
    classes: int | None = None,
    validation: float = 0.2,
    counts: Mapping[str, int | None] | None = None,
    shift: int = 4,
    flip: bool = True,
    shrink: int = 1,
    seed: int = 0,
) -> Task:
    """Classification of images: shuffled, split at random, standardized by channel inside the program.

    Images of bytes are kept as such, a quarter of the memory of what the network is given.

    Args:
      name: the task's name.
      train: images `[N, H, W]` or `[N, H, W, C]` and labels `[N]` or `[N, 1]`.
      test: likewise.
      where: they come from, for messages.
      classes: by default as many as the labels have.
      validation: share of the training images kept for validation.
      counts: "train" and "test": use so many only, drawn at random; all by default.
      shift: training images are shifted by up to so many pixels; 0 for none. CIFAR's usual crop is 4.
      flip: mirror training images at random.
      shrink: by so many times, to the means of squares of pixels (32 x 32 images to 16 x 16 by 2).
      seed: of shuffle and split.

    Raises:
      ValueError: an array of the wrong shape, a label out of range, or a number out of its range.
    """
    check.real("validation", validation, least=0.001, most=0.999)
    check.integer("shift", shift, least=0)
    check.integer("shrink", shrink, least=1)
    given = {"train": train, "test": test}
    drawn = {s: _drawn(where, s, *pair, (counts or {}).get(s), shrink, seed) for s, pair in given.items()}
    for split, (x, y) in drawn.items():
        if x.shape[1:] != drawn["train"][0].shape[1:]:
            raise ValueError(
                f"{where}, {split}: images of {x.shape[1:]}, but in train of {drawn['train'][0].shape[1:]}."
            )
        if classes is not None and not 0 <= y.min() <= y.max() < classes:
            wrong = int(np.flatnonzero((y < 0) | (y >= classes))[0])
            raise ValueError(f"{where}, {split}: expected labels in [0, {classes}), example {wrong} has {y[wrong]}.")
    x, y = drawn["train"]
    first = round(len(x) * (1 - validation))
    mean, std = _moments(x[:first])
    splits = {"train": (x[:first], y[:first]), "validation": (x[first:], y[first:]), "test": drawn["test"]}
    augments = [random_shift(shift, fill=0.0)] if shift else []
    augments += [random_flip()] if flip else []
    return arrays(
        splits,
        name=name,
        outputs=classes,
        augment=chain(*augments) if augments else None,
        prepare=lambda x: (x.astype(jnp.float32) - mean) / std,
    )


def _drawn(where: str, split: str, x, y, count: int | None, shrink: int, seed: int):
    """`count` examples in random order, images `[N, H, W, C]` as bytes where they are, else as float32."""
    x, y = x[..., None] if x.ndim == 3 else x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim != 4 or y.shape != x.shape[:1]:
        raise ValueError(f"{where}, {split}: expected images [N, H, W, C] and labels [N], got {x.shape}, {y.shape}.")
    _, H, W, C = x.shape
    if H % shrink or W % shrink:
        raise ValueError(f"shrink: expected a divisor of the images' {H} x {W} pixels, got {shrink}.")
    if count is not None:
        check.integer(split, count, least=2, most=len(x), because="a part of the images")
    order = np.random.default_rng(seed).permutation(len(x))[:count]
    x = x[order]
    if shrink > 1 or x.dtype != np.uint8:
        x = x.astype(np.float32).reshape(-1, H // shrink, shrink, W // shrink, shrink, C).mean((2, 4))
    return x, y[order].astype(np.int32)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of `[N, H, W, C]`; of bytes by counting them, without a copy."""
    if x.dtype != np.uint8:
        return x.mean((0, 1, 2)), x.std((0, 1, 2)) + 1e-8
    counts = np.stack([np.bincount(x[..., c].ravel(), minlength=256) for c in range(x.shape[-1])])
    counts = counts / counts.sum(1, keepdims=True)
    mean = counts @ np.arange(256)
    std = np.sqrt((counts * (np.arange(256) - mean[:, None]) ** 2).sum(1))
    return mean.astype(np.float32), (std + 1e-8).astype(np.float32)
