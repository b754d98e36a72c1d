"""Images in a NumPy file with the names that Keras gave them: `x_train`, `y_train`, `x_test`, `y_test`."""

import pathlib
import zipfile

import numpy as np

from jaxnas import check
from jaxnas.tasks.augment import chain, random_flip, random_shift
from jaxnas.tasks.task import Task, arrays


def npz(
    path: str | pathlib.Path,
    *,
    validation: float = 0.2,
    train: int | None = None,
    test: int | None = None,
    shift: int = 4,
    flip: bool = True,
    shrink: int = 1,
    seed: int = 0,
) -> Task:
    """Classification of the images in a file, standardized by channel, shuffled, and split at random.

    Args:
      path: an `.npz` with `x_train` `[N, H, W]` or `[N, H, W, C]`, `y_train` `[N]` or `[N, 1]`, and the same of `test`.
      validation: share of the training images kept for validation.
      train: use so many training images only (before the split), drawn at random; all by default.
      test: use so many test images only.
      shift: training images are shifted by up to so many pixels; 0 for none. CIFAR's usual crop is 4.
      flip: mirror training images at random.
      shrink: by so many times, to the means of squares of pixels (32 x 32 images to 16 x 16 by 2).
      seed: of shuffle and split.

    Raises:
      ValueError: no such file, an array is missing or of the wrong shape, or a number out of its range.
    """
    path = pathlib.Path(path)
    check.real("validation", validation, least=0.001, most=0.999)
    check.integer("shift", shift, least=0)
    check.integer("shrink", shrink, least=1)
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            held = dict(file)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: {path} cannot be read as an .npz of plain arrays ({error}).") from None
    missing = [name for name in names if name not in held]
    if missing:
        raise ValueError(f"path: {path} has no {', '.join(missing)}; it has {', '.join(held) or 'nothing'}.")
    x, y, x_test, y_test = (held[name] for name in names)
    pairs = {
        "train": _drawn(path, "train", x, y, train, shrink, seed),
        "test": _drawn(path, "test", x_test, y_test, test, shrink, seed),
    }
    x, y = pairs["train"]
    first = round(len(x) * (1 - validation))
    mean, std = x[:first].mean((0, 1, 2)), x[:first].std((0, 1, 2)) + 1e-8
    pairs = {"train": (x[:first], y[:first]), "validation": (x[first:], y[first:]), "test": pairs["test"]}
    splits = {split: ((x - mean) / std, y) for split, (x, y) in pairs.items()}
    augments = [random_shift(shift, fill=0.0)] if shift else []
    augments += [random_flip()] if flip else []
    return arrays(splits, name=path.stem, augment=chain(*augments) if augments else None)


def _drawn(path, split: str, x, y, count: int | None, shrink: int, seed: int):
    """`count` examples in random order, images as float32 `[N, H, W, C]`."""
    x, y = x[..., None] if x.ndim == 3 else x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim != 4 or y.shape != x.shape[:1]:
        raise ValueError(
            f"path: {path}, {split}: expected images [N, H, W, C] and labels [N], got {x.shape}, {y.shape}."
        )
    _, H, W, C = x.shape
    if H % shrink or W % shrink:
        raise ValueError(f"shrink: expected a divisor of the images' {H} x {W} pixels, got {shrink}.")
    if count is not None:
        check.integer(split, count, least=2, most=len(x), because="a part of the images")
    order = np.random.default_rng(seed).permutation(len(x))[:count]
    x = x[order].astype(np.float32).reshape(-1, H // shrink, shrink, W // shrink, shrink, C).mean((2, 4))
    return x, y[order].astype(np.int32)
