"""Images and labels, wherever they come from, as a classification task whose images stay bytes on the device."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.augment import chain, random_flip, random_shift
from jaxnas.tasks.batch import Batch
from jaxnas.tasks.labels import numbered, whole
from jaxnas.tasks.stream import TOGETHER, Stream
from jaxnas.tasks.task import Task, arrays, narrowed

SAMPLE = 10_000
"""Of images that stream, those that say how to standardize them."""
BLOCK = 2**20
"""Numbers of many that are looked at at a time."""


def classification(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    where: str,
    classes: int | None = None,
    validation: float = 0.2,
    num_examples: Mapping[str, int | None] | None = None,
    crop_padding: int = 4,
    flip: bool = True,
    downsample: int = 1,
    stream: bool = False,
    seed: int = 0,
) -> Task:
    """Classification of images: shuffled, split at random, standardized by channel inside the program.

    Images of bytes are kept as such, a quarter of the memory of what the network is given.

    Args:
      name: the task's name.
      train: images `[N, H, W]` or `[N, H, W, C]`, channels last, and labels `[N]` or `[N, 1]`: whole numbers from 0 on.
      test: likewise, of the same type and scale.
      where: they come from, for messages.
      classes: by default as many as the labels have, which then may not have gaps as ages have.
      validation: share of the training images kept for validation.
      num_examples: "train" and "test": how many to use, drawn at random; all by default.
      crop_padding: pixels that training images are padded by before a random crop of their size; 0 for none. CIFAR's
        usual number is 4.
      flip: mirror training images at random.
      downsample: factor by which height and width shrink, to the means of squares of pixels (32 x 32 images to 16 x 16
        by 2).
      stream: keep the training images where they are, on the host or on its disk, and fetch each batch from there (see
        `tasks.stream`); those of validation and test go to the device. Images may then be anything with a shape and a
        type that an array of rows indexes.
      seed: of shuffle and split.

    Raises:
      InputError: images that are no finite numbers `[N, H, W, C]`, or of another size, type or scale in test; labels
        that are no classes; a number out of its range; or a split that would be empty.
    """
    check.seed("seed", seed)
    check.real("validation", validation, least=0.001, most=0.999)
    check.integer("crop_padding", crop_padding, least=0)
    check.integer("downsample", downsample, least=1)
    if stream and downsample > 1:
        raise InputError("downsample: images that stream are not downsampled; prepare smaller ones.")
    if classes is not None:
        check.integer("classes", classes, least=1, most=2**31 - 1)
    given, rows, floats = {"train": train, "test": test}, {}, {}
    for split, (x, y) in given.items():
        y = np.asarray(y)
        floats[split] = y.dtype.kind == "f"
        given[split] = (x, whole(f"{where}, {split}", y))
        rows[split] = _drawn(where, split, *given[split], (num_examples or {}).get(split), downsample, seed)
    _alike(where, given["train"][0], given["test"][0])
    labels = {split: y for split, (_, y) in given.items()}
    if classes is None:
        numbered(where, labels, "classes", every=any(floats.values()))
        classes = int(max(y.max() for y in labels.values())) + 1
    for split, y in labels.items():
        if y.max() >= classes:
            wrong = int(np.flatnonzero(y >= classes)[0])
            raise InputError(f"{where}, {split}: expected labels in [0, {classes}), example {wrong} has {y[wrong]}.")
    count = len(rows["train"])
    first = round(count * (1 - validation))
    if not 0 < first < count:
        raise InputError(
            f"validation: a share of {validation} of {count} training images leaves {first} to train on and "
            f"{count - first} for validation; expected at least one for each."
        )
    parts = {
        "train": ("train", rows["train"][:first]),
        "validation": ("train", rows["train"][first:]),
        "test": ("test", rows["test"]),
    }
    labels = {part: labels[split][chosen] for part, (split, chosen) in parts.items()}
    seen = {**parts, "train": ("train", rows["train"][: min(first, SAMPLE)])} if stream else parts
    images = {part: _loaded(given[split][0], chosen, downsample) for part, (split, chosen) in seen.items()}
    mean, std = _moments(images["train"])
    splits = {part: (images[part], labels[part][: len(images[part])]) for part in parts}
    augments = [random_shift(crop_padding, fill=0.0)] if crop_padding else []
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

    def read(rows: np.ndarray) -> Batch:
        return Batch(narrowed(where, "images", _loaded(held, chosen[rows], 1)), labels["train"][rows])

    together = None if isinstance(held, np.ndarray) else TOGETHER
    return task._replace(train=Stream(read, len(chosen), task.train.spec, together=together))


def _drawn(where: str, split: str, x, y, count: int | None, downsample: int, seed: int) -> np.ndarray:
    """Which `count` examples, in random order."""
    shape = tuple(x.shape)
    if len(shape) not in (3, 4) or y.shape != shape[:1]:
        raise InputError(f"{where}, {split}: expected images [N, H, W, C] and labels [N], got {shape}, {y.shape}.")
    if 0 in shape:
        raise InputError(f"{where}, {split}: expected at least one image with at least one pixel, got {shape}.")
    if len(shape) == 4 and shape[1] in (1, 3, 4) and min(shape[2:]) > 4:
        raise InputError(
            f"{where}, {split}: expected images [N, H, W, C], got {shape}, which looks like channels first; give "
            "x.transpose(0, 2, 3, 1)."
        )
    if x.shape[1] % downsample or x.shape[2] % downsample:
        size = f"{x.shape[1]} x {x.shape[2]}"
        raise InputError(f"downsample: expected a divisor of the images' {size} pixels, got {downsample}.")
    if count is not None:
        check.integer(split, count, least=2, most=len(y), because="a part of the images")
    return np.random.default_rng(seed).permutation(len(y))[:count]


def _alike(where: str, train, test) -> None:
    """Raises `InputError` unless the images of both splits are numbers of one size, type and scale."""
    for split, x in {"train": train, "test": test}.items():
        if x.dtype.kind not in "fiub":
            raise InputError(f"{where}, {split}: expected images that are numbers, got {x.dtype}.")
    if train.shape[1:] != test.shape[1:]:
        raise InputError(f"{where}, test: images of {test.shape[1:]}, but in train of {train.shape[1:]}.")
    if train.dtype != test.dtype and not train.dtype.kind == test.dtype.kind == "f":
        raise InputError(
            f"{where}, test: images of {test.dtype}, but in train of {train.dtype}; expected one type and scale."
        )
    if train.dtype.kind != "f" or not all(isinstance(x, np.ndarray) for x in (train, test)):
        return
    ranges = {split: _range(f"{where}, {split}", x) for split, x in {"train": train, "test": test}.items()}
    small, large = sorted(ranges, key=lambda split: ranges[split][1])
    if ranges[small][0] >= 0 < ranges[small][1] <= 1 and ranges[large][0] >= 0 and ranges[large][1] > 16:
        raise InputError(
            f"{where}: images in {small} are in [0, {ranges[small][1]:g}], but in {large} up to {ranges[large][1]:g}; "
            "expected one scale."
        )


def _range(where: str, x: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest number in images; raises `InputError` where one is not finite in float32."""
    low, high = np.inf, -np.inf
    with np.errstate(over="ignore"):
        for first, block in _blocks(x):
            block = block.astype(np.float32)
            finite = np.isfinite(block).reshape(len(block), -1).all(1)
            if not finite.all():
                raise InputError(
                    f"{where}: image {first + int(finite.argmin())} holds NaN, infinity or a number beyond float32."
                )
            low, high = min(low, block.min()), max(high, block.max())
    return float(low), float(high)


def _blocks(x: np.ndarray):
    """`(first, x[first : first + n])`, n at a time, few enough for a copy of them to be small."""
    n = max(1, BLOCK * len(x) // x.size)
    return ((first, x[first : first + n]) for first in range(0, len(x), n))


def _loaded(x, rows: np.ndarray, downsample: int) -> np.ndarray:
    """Images `rows` as `[n, H, W, C]`, bytes where they are and are not shrunk, else float32."""
    x = np.asarray(x[rows])
    x = x[..., None] if x.ndim == 3 else x
    if downsample == 1 and x.dtype == np.uint8:
        return x
    n, H, W, C = x.shape
    return x.astype(np.float32).reshape(n, H // downsample, downsample, W // downsample, downsample, C).mean((2, 4))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of `[N, H, W, C]`, in float32 of sums in float64, without a copy.

    Bytes are counted.
    """
    if x.dtype != np.uint8:
        n, over = x.size // x.shape[-1], (0, 1, 2)
        mean = sum(block.sum(over, np.float64) for _, block in _blocks(x)) / n
        square = sum(((block - mean) ** 2).sum(over) for _, block in _blocks(x)) / n
        return mean.astype(np.float32), (np.sqrt(square) + 1e-8).astype(np.float32)
    counts = np.stack([np.bincount(x[..., c].ravel(), minlength=256) for c in range(x.shape[-1])])
    counts = counts / counts.sum(1, keepdims=True)
    mean = counts @ np.arange(256)
    std = np.sqrt((counts * (np.arange(256) - mean[:, None]) ** 2).sum(1))
    return mean.astype(np.float32), (std + 1e-8).astype(np.float32)
