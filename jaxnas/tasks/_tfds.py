"""Any image classification dataset of TensorFlow Datasets, prepared once and read without TensorFlow."""

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
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
      train: number of training images to use, drawn at random; all by default.
      test: number of test images to use; all by default.
      **images: `validation`, `crop_padding`, `flip`, `downsample`, `stream`, `seed`.

    Raises:
      InputError: an unknown name, with the nearest; a dataset that is not prepared, with the command that does; one
        without images and labels; a damaged record; an image of another size, or a label out of range.
    """
    builder = _builder(dataset, data_dir)
    image, label, classes = _features(dataset, builder)
    splits = {}
    for split, chosen in {"train": train_split, "test": test_split}.items():
        check.one_of(f"{split}_split", chosen.split("[")[0], builder.info.splits)
        streams = split == "train" and images.get("stream", False)
        splits[split] = _read(dataset, builder, chosen, image, label, streams)
    num_examples = {"train": train, "test": test}
    options = {"where": f"dataset: {dataset}", "classes": classes, "num_examples": num_examples, **images}
    return classification(builder.name, splits["train"], splits["test"], **options)


def library() -> Any:
    """`tensorflow_datasets`, quiet; raises `InputError` where it is not installed."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError(f"tfds: {error.name} is not installed; pip install 'jaxnas[tfds]'.") from None
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
            raise InputError(str(error).split(" Known:")[0] + f" {len(names)} are known.") from None
    try:
        builder = library().builder(dataset, data_dir=data_dir)
        ready = builder.is_prepared()
    except Exception as error:  # it raises whatever the files or its own code do
        raise InputError(f"dataset: {dataset} cannot be opened ({_line(error)}).") from None
    if not ready:
        raise InputError(
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
        raise InputError(f"dataset: {dataset} has no image and label; it has {said}.")
    return image, label, getattr(features[label], "num_classes", None)


def _read(dataset: str, builder, split: str, image: str, label: str, stream: bool) -> tuple[Any, np.ndarray]:
    """Images and labels of a split; images that are to stream are read as they are asked for."""
    where, bytes_only = f"dataset: {dataset}, {split}", {image: library().decode.SkipDecoding()}
    try:
        sources = [builder.as_data_source(split=split, decoders=d) for d in (None, bytes_only)]
    except NotImplementedError:
        command = prepare_command(dataset, pathlib.Path(builder.data_dir).parents[1])
        raise InputError(
            f"dataset: {dataset} is prepared in {builder.data_dir} in a format that only TensorFlow reads. Delete that "
            f"directory, and this prepares it again:\n  {command}"
        ) from None
    if len(sources[0]) == 0:
        raise InputError(f"{where} has no examples.")
    decoded, undecoded = (Records(source, image, where, builder.data_dir) for source in sources)
    if stream:
        return decoded, _labels(where, [example[label] for example in undecoded.examples(range(len(undecoded)))])
    x, y = np.empty(decoded.shape, decoded.dtype), []
    for i, example in enumerate(decoded.examples(range(len(decoded)))):
        x[i] = decoded.checked(i, example[image])
        y.append(example[label])
    return x, _labels(where, y)


def _labels(where: str, y: list) -> np.ndarray:
    """As they are stored, whole numbers or not."""
    try:
        return np.array(y)
    except ValueError:
        raise InputError(f"{where}: expected a label for each example, got some of several numbers.") from None


class Records:
    """The images of a split, read and decoded as they are asked for: `records[rows]` is `[n, H, W, C]`."""

    def __init__(self, source, image: str, where: str, directory: str):
        self._source, self._image, self._where, self._directory = source, image, where, directory
        first = np.asarray(next(self.examples([0]))[image])
        self.shape, self.dtype = (len(source), *first.shape), first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        images = [self.checked(i, e[self._image]) for i, e in zip(rows, self.examples(rows), strict=True)]
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)

    def examples(self, rows: Sequence[int]):
        """Whole examples, read many at a time; where that fails, the one to blame is named."""
        for first in range(0, len(rows), TOGETHER):
            chunk = [int(row) for row in rows[first : first + TOGETHER]]
            try:
                yield from self._source.__getitems__(chunk)
            except Exception:  # the reader's, or the decoder's
                yield from (self._alone(row) for row in chunk)

    def _alone(self, row: int) -> dict:
        try:
            return self._source[row]
        except Exception as error:
            raise InputError(
                f"{self._where}: record {row} in {self._directory} is damaged ({_line(error)}). Delete that directory "
                "and prepare it again."
            ) from None

    def checked(self, row: int, image: np.ndarray) -> np.ndarray:
        """The image; raises `InputError` where it is of another size than the first."""
        if image.shape != self.shape[1:]:
            raise InputError(
                f"{self._where}: record {row} is an image of {image.shape}, but the first of {self.shape[1:]}; a task "
                "needs images of one size."
            )
        return image


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
