"""Images in a NumPy file with the names that Keras gave them: `x_train`, `y_train`, `x_test`, `y_test`."""

import pathlib
import zipfile

import numpy as np

from jaxnas.check import InputError
from jaxnas.tasks.images import classification
from jaxnas.tasks.task import Task


def npz(
    path: str | pathlib.Path,
    *,
    train: int | None = None,
    test: int | None = None,
    **images,
) -> Task:
    """Classification of the images in a file, see `images.classification`.

    Args:
      path: an `.npz` with `x_train` `[N, H, W]` or `[N, H, W, C]`, `y_train` `[N]` or `[N, 1]`, and the same of `test`.
      train: use so many training images only (before the split), drawn at random; all by default.
      test: use so many test images only.
      **images: `validation`, `shift`, `flip`, `shrink`, `stream`, `seed`, `classes`.

    Raises:
      InputError: no such file, an array is missing or of the wrong shape, or a number out of its range.
    """
    path = pathlib.Path(path)
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            held = dict(file)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"path: {path} cannot be read as an .npz of plain arrays ({error}).") from None
    missing = [name for name in names if name not in held]
    if missing:
        raise InputError(f"path: {path} has no {', '.join(missing)}; it has {', '.join(held) or 'nothing'}.")
    x, y, x_test, y_test = (held[name] for name in names)
    counts = {"train": train, "test": test}
    return classification(path.stem, (x, y), (x_test, y_test), where=f"path: {path}", counts=counts, **images)
