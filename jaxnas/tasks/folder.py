"""Images in folders: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`."""

import pathlib

import numpy as np

from jaxnas.check import InputError
from jaxnas.tasks.images import classification
from jaxnas.tasks.task import Task

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def folder(
    path: str | pathlib.Path,
    *,
    train: int | None = None,
    test: int | None = None,
    **images,
) -> Task:
    """Classification of the images in a folder by the folders they are in, see `images.classification`.

    Args:
      path: has `train/` and `test/`, each with a folder for each class; classes are numbered in order of their names.
      train: use so many training images only, drawn at random; all by default.
      test: use so many test images only.
      **images: `validation`, `shift`, `flip`, `shrink`, `stream`, `seed`.

    Raises:
      InputError: no such folder, another class in test than in train, a file that is no image, or an image of another
        size than the first.
    """
    path = pathlib.Path(path)
    for split in ("train", "test"):
        if not (path / split).is_dir():
            raise InputError(f"path: expected images in {path / split}/CLASS/, there is no such folder.")
    classes = {split: sorted(p.name for p in (path / split).iterdir() if p.is_dir()) for split in ("train", "test")}
    unknown = set(classes["test"]) - set(classes["train"])
    if not classes["train"] or unknown:
        found = f"{', '.join(sorted(unknown))} in test alone" if unknown else f"none in {path / 'train'}"
        raise InputError(f"path: expected the same folders of classes in train and test, got {found}.")
    splits = {split: _read(path / split, classes["train"]) for split in ("train", "test")}
    counts = {"train": train, "test": test}
    options = {"where": f"path: {path}", "counts": counts, "classes": len(classes["train"]), **images}
    return classification(path.name, splits["train"], splits["test"], **options)


def _read(path: pathlib.Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    x, y = [], []
    for label, name in enumerate(classes):
        for file in sorted(p for p in (path / name).glob("*") if p.suffix.lower() in ENDINGS):
            try:
                with Image.open(file) as image:
                    x.append(np.asarray(image))
            except OSError as error:
                raise InputError(f"path: {file} cannot be read as an image ({error}).") from None
            if x[-1].shape != x[0].shape:
                raise InputError(f"path: {file} is of {x[-1].shape}, but the first image is of {x[0].shape}.")
            y.append(label)
    if not x:
        raise InputError(f"path: {path} has no images ({', '.join(ENDINGS)}) in its folders of classes.")
    return np.stack(x), np.array(y)
