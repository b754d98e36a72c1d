"""Datasets of TensorFlow Datasets, prepared by download or from local images."""

import io
import pathlib

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks import labels
from jaxnas.tasks._tfds import FORMAT, known, library


def prepare(dataset: str, data_dir: str | None = None, npz: str | None = None) -> str:
    """Prepares a dataset of TensorFlow Datasets and returns where it is.

    Args:
      dataset: its name.
      data_dir: where to; `~/tensorflow_datasets` by default.
      npz: local images to make it of (`x_train`, `y_train`, `x_test`, `y_test`), instead of a download.

    Raises:
      InputError: an unknown dataset, one that cannot be prepared, a file that does not hold such images.
    """
    builder = _downloaded(dataset, data_dir) if npz is None else _local(dataset, data_dir, npz)
    if not builder.is_prepared():
        try:
            builder.download_and_prepare(file_format=FORMAT)
        except Exception as error:
            raise InputError(f"dataset: {dataset} cannot be prepared ({error}).") from error
    return str(builder.data_dir)


def _downloaded(dataset: str, data_dir: str | None):
    check.one_of("dataset", dataset.split("/")[0].split(":")[0], known(data_dir))
    return library().builder(dataset, data_dir=data_dir, file_format=FORMAT)


def _local(dataset: str, data_dir: str | None, npz: str):
    tfds = library()
    try:
        with np.load(check.local_path("npz", npz), allow_pickle=False) as file:
            splits = {s: (file[f"x_{s}"], file[f"y_{s}"]) for s in ("train", "test")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"npz: {npz} cannot be read for x_train, y_train, x_test and y_test ({error}).") from None
    splits = {split: (x, labels.whole(f"npz: {npz}, {split}", y)) for split, (x, y) in splits.items()}

    for split, (x, y) in splits.items():
        if x.dtype != np.uint8 or x.ndim != 4 or len(x) != len(y) or x.shape[3] not in (1, 3):
            raise InputError(
                f"npz: {npz}, {split}: expected images [N, H, W, 1 or 3] of uint8 and labels [N], got {x.shape} of "
                f"{x.dtype}, {y.shape}."
            )
    version = "1.0.0"
    if dataset in tfds.list_builders(with_community_datasets=False):
        version = str(tfds.builder_cls(dataset).VERSION)
    shape, classes = splits["train"][0].shape[1:], int(max(y.max() for _, y in splits.values())) + 1

    with tfds.core.registered.skip_registration():  # also where that name is known

        class Local(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version(version)
            name = dataset
            pkg_dir_path = pathlib.Path(__file__).parent  # it looks there for a description

            def _info(self):
                image, label = tfds.features.Image(shape=shape), tfds.features.ClassLabel(num_classes=classes)
                features = tfds.features.FeaturesDict({"image": image, "label": label})
                return tfds.core.DatasetInfo(
                    builder=self, description=npz, features=features, supervised_keys=("image", "label")
                )

            def _split_generators(self, _):
                return {split: self._generate_examples(split) for split in splits}

            def _generate_examples(self, split):
                from PIL import Image

                for i, (x, y) in enumerate(zip(*splits[split], strict=True)):
                    png = io.BytesIO()
                    Image.fromarray(x.squeeze(-1) if shape[2] == 1 else x).save(png, "png")
                    png.seek(0)
                    yield i, {"image": png, "label": int(y)}

    return Local(data_dir=data_dir, file_format=FORMAT)
