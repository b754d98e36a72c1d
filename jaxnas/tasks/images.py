"""Images and labels, wherever they come from, as a classification task whose images stay bytes on the device."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.augment import chain, random_flip, random_shift
from jaxnas.tasks.stream import Stream
from jaxnas.tasks.task import Task, arrays

SAMPLE = 10_000
"""Of images that stream, those that say how to standardize them."""


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
    stream: bool = False,
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
      stream: keep the training images where they are, on the host or on its disk, and fetch each batch from there (see
        `tasks.stream`); those of validation and test go to the device. Images may then be anything with a shape and a
        type that an array of rows indexes.
      seed: of shuffle and split.

    Raises:
      InputError: an array of the wrong shape, a label out of range, or a number out of its range.
    """
    check.real("validation", validation, least=0.001, most=0.999)
    check.integer("shift", shift, least=0)
    check.integer("shrink", shrink, least=1)
    if stream and shrink > 1:
        raise InputError("shrink: images that stream are not shrunk; prepare smaller ones.")
    given, rows, size = {"train": train, "test": test}, {}, None
    for split, (x, y) in given.items():
        given[split] = (x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
        rows[split] = _drawn(where, split, *given[split], (counts or {}).get(split), shrink, seed)
        x, y = given[split]
        size = size or x.shape[1:]
        if x.shape[1:] != size:
            raise InputError(f"{where}, {split}: images of {x.shape[1:]}, but in train of {size}.")
        if classes is not None and not 0 <= y.min() <= y.max() < classes:
            wrong = int(np.flatnonzero((y < 0) | (y >= classes))[0])
            raise InputError(f"{where}, {split}: expected labels in [0, {classes}), example {wrong} has {y[wrong]}.")
    if classes is None:
        classes = int(max(y.max() for _, y in given.values())) + 1
    first = round(len(rows["train"]) * (1 - validation))
    parts = {
        "train": ("train", rows["train"][:first]),
        "validation": ("train", rows["train"][first:]),
        "test": ("test", rows["test"]),
    }
    labels = {part: given[split][1][chosen].astype(np.int32) for part, (split, chosen) in parts.items()}
    seen = {**parts, "train": ("train", rows["train"][: min(first, SAMPLE)])} if stream else parts
    images = {part: _loaded(given[split][0], chosen, shrink) for part, (split, chosen) in seen.items()}
    mean, std = _moments(images["train"])
    splits = {part: (images[part], labels[part][: len(images[part])]) for part in parts}
    augments = [random_shift(shift, fill=0.0)] if shift else []
    augments += [random_flip()] if flip else []
    task = arrays(
        splits,
        name=name,
        outputs=classes,
        augment=chain(*augments) if augments else None,
        prepare=lambda x: (x.astype(jnp.float32) - mean) / std,
    )
    if not stream:
        return task
    held, chosen = given["train"][0], parts["train"][1]
    return task._replace(train=Stream(lambda rows: _loaded(held, chosen[rows], 1), labels["train"], task.train.example))


def _drawn(where: str, split: str, x, y, count: int | None, shrink: int, seed: int) -> np.ndarray:
    """Which `count` examples, in random order."""
    if len(x.shape) not in (3, 4) or y.shape != x.shape[:1]:
        raise InputError(f"{where}, {split}: expected images [N, H, W, C] and labels [N], got {x.shape}, {y.shape}.")
    if x.shape[1] % shrink or x.shape[2] % shrink:
        raise InputError(f"shrink: expected a divisor of the images' {x.shape[1]} x {x.shape[2]} pixels, got {shrink}.")
    if count is not None:
        check.integer(split, count, least=2, most=len(y), because="a part of the images")
    return np.random.default_rng(seed).permutation(len(y))[:count]


def _loaded(x, rows: np.ndarray, shrink: int) -> np.ndarray:
    """Images `rows` as `[n, H, W, C]`, bytes where they are and are not shrunk, else float32."""
    x = np.asarray(x[rows])
    x = x[..., None] if x.ndim == 3 else x
    if shrink == 1 and x.dtype == np.uint8:
        return x
    n, H, W, C = x.shape
    return x.astype(np.float32).reshape(n, H // shrink, shrink, W // shrink, shrink, C).mean((2, 4))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of `[N, H, W, C]`; of bytes by counting them, without a copy."""
    if x.dtype != np.uint8:
        return x.mean((0, 1, 2)), x.std((0, 1, 2)) + 1e-8
    counts = np.stack([np.bincount(x[..., c].ravel(), minlength=256) for c in range(x.shape[-1])])
    counts = counts / counts.sum(1, keepdims=True)
    mean = counts @ np.arange(256)
    std = np.sqrt((counts * (np.arange(256) - mean[:, None]) ** 2).sum(1))
    return mean.astype(np.float32), (std + 1e-8).astype(np.float32)
