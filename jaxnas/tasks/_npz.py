"""Images in a NumPy file with the names that Keras gave them: `x_train`, `y_train`, `x_test`, `y_test`."""

import pathlib

import numpy as np

from jaxnas import check
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
        Labels are whole numbers from 0 on; stored as floats, each up to the largest has to occur.
      train: number of training images to use (before the split), drawn at random; all by default.
      test: number of test images to use; all by default.
      **images: `validation`, `crop_padding`, `flip`, `downsample`, `stream`, `seed`, `classes`.

    Raises:
      InputError: no such file, or a damaged one; an array is missing, or see `images.classification`.
    """
    path = check.local_path("path", path)
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = list(file.keys())
            held = {name: file[name] for name in names if name in found}
    except Exception as error:  # what zipfile, zlib and the parser of headers raise of a damaged file has no end
        said = str(error) or type(error).__name__
        raise InputError(f"path: {path} cannot be read as an .npz of plain arrays ({said}).") from None
    missing = [name for name in names if name not in held]
    if missing:
        raise InputError(f"path: {path} has no {', '.join(missing)}; it has {', '.join(found) or 'nothing'}.")
    x, y, x_test, y_test = (held[name] for name in names)
    num_examples = {"train": train, "test": test}
    options = {"where": f"path: {path}", "num_examples": num_examples, **images}
    return classification(path.stem, (x, y), (x_test, y_test), **options)
