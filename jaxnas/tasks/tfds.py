"""Any image classification dataset of TensorFlow Datasets, prepared once and read without TensorFlow."""

import logging
import pathlib
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.tasks.images import classification
from jaxnas.tasks.task import Task

FORMAT = "array_record"
"""In which datasets are prepared: with random access, and read without TensorFlow."""

TOGETHER = 1000
"""Records that are read at a time."""


def tfds(
    dataset: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    train_split: str = "train",
    test_split: str = "test",
    train: int | None = None,
    test: int | None = None,
    **images,
) -> Task:
    """Classification of a dataset's images, see `images.classification`.

    Args:
      dataset: its name in TensorFlow Datasets, "cifar10" or "NAME/CONFIG:VERSION" say, or that of one of your own in
        `data_dir`.
      data_dir: where datasets are prepared; by default `~/tensorflow_datasets`.
      train_split: its examples are those of training and validation.
      test_split: the others. Both may be slices, "train[:10%]" say.
      train: use so many training images only, drawn at random; all by default.
      test: use so many test images only.
      **images: `validation`, `shift`, `flip`, `shrink`, `seed`.

    Raises:
      ValueError: an unknown name, with the nearest; a dataset that is not prepared, with the command that does; one
        without images and labels; a damaged record; an image of another size, or a label out of range.
    """
    builder = _builder(dataset, data_dir)
    image, label, classes = _features(dataset, builder)
    splits = {}
    for split, chosen in {"train": train_split, "test": test_split}.items():
        check.one_of(f"{split}_split", chosen.split("[")[0], builder.info.splits)
        splits[split] = _read(dataset, builder, chosen, image, label)
    options = {"where": f"dataset: {dataset}", "classes": classes, "counts": {"train": train, "test": test}, **images}
    return classification(builder.name, splits["train"], splits["test"], **options)


def library() -> Any:
    """`tensorflow_datasets`, quiet; raises `ValueError` where it is not installed."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(f"tfds: {error.name} is not installed; pip install 'jaxnas[tfds]'.") from None
    logging.getLogger("absl").setLevel(logging.ERROR)
    return tensorflow_datasets


def prepare_command(dataset: str, data_dir: str | pathlib.Path | None) -> str:
    """What prepares a dataset for `tfds`."""
    return f"python -m launch.prepare --dataset={dataset}" + (f" --data_dir={data_dir}" if data_dir else "")


def known(data_dir: str | pathlib.Path | None) -> list[str]:
    """Names of datasets, those in `data_dir` first."""
    path = pathlib.Path(data_dir or "~/tensorflow_datasets").expanduser()
    own = sorted(p.name for p in path.iterdir() if p.is_dir() and p.name != "downloads") if path.is_dir() else []
    return list(dict.fromkeys([*own, *library().list_builders(with_community_datasets=False)]))


def _builder(dataset: str, data_dir):
    name = dataset.split("/")[0].split(":")[0]
    names = known(data_dir)
    if name not in names:  # without the list of all, which is long
        try:
            check.one_of("dataset", name, names)
        except ValueError as error:
            raise ValueError(str(error).split(" Known:")[0] + f" {len(names)} are known.") from None
    try:
        builder = library().builder(dataset, data_dir=data_dir)
        ready = builder.is_prepared()
    except Exception as error:  # it raises whatever the files or its own code do
        raise ValueError(f"dataset: {dataset} cannot be opened ({_line(error)}).") from None
    if not ready:
        raise ValueError(
            f"dataset: {dataset} is not prepared in {builder.data_dir}. This prepares it:\n"
            f"  {prepare_command(dataset, data_dir)}"
        )
    return builder


def _features(dataset: str, builder) -> tuple[str, str, int | None]:
    """Names of the image and of the label, and the number of classes."""
    features, keys = builder.info.features, builder.info.supervised_keys
    if isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = keys
    else:
        image, label = "image", "label"
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    if kinds.get(image) != "Image" or label not in kinds:
        said = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise ValueError(f"dataset: {dataset} has no image and label; it has {said}.")
    return image, label, getattr(features[label], "num_classes", None)


def _read(dataset: str, builder, split: str, image: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        source = builder.as_data_source(split=split, decoders=None)
    except NotImplementedError:
        command = prepare_command(dataset, pathlib.Path(builder.data_dir).parents[1])
        raise ValueError(
            f"dataset: {dataset} is prepared in {builder.data_dir} in a format that only TensorFlow reads. Delete that "
            f"directory, and this prepares it anew:\n  {command}"
        ) from None
    x, y = None, np.zeros(len(source), np.int64)
    for i, example in enumerate(_examples(source, f"dataset: {dataset}, {split}", builder.data_dir)):
        if x is None:
            x = np.zeros((len(source), *example[image].shape), example[image].dtype)
        if example[image].shape != x.shape[1:]:
            raise ValueError(
                f"dataset: {dataset}, {split}: record {i} is an image of {example[image].shape}, but the first of "
                f"{x.shape[1:]}; a task needs images of one size."
            )
        x[i], y[i] = example[image], example[label]
    if x is None:
        raise ValueError(f"dataset: {dataset} has no examples in {split}.")
    return x, y


def _examples(source, where: str, directory: str):
    """Every example, read many at a time; where that fails, the one to blame is named."""
    for first in range(0, len(source), TOGETHER):
        rows = list(range(first, min(first + TOGETHER, len(source))))
        try:
            yield from source.__getitems__(rows)
        except Exception:  # the reader's, or the decoder's
            for i in rows:
                try:
                    yield source[i]
                except Exception as error:
                    raise ValueError(
                        f"{where}: record {i} in {directory} is damaged ({_line(error)}). Delete that directory and "
                        "prepare it anew."
                    ) from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
