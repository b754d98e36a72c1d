"""Images in folders: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`."""

import mimetypes
import pathlib
import warnings
from typing import NamedTuple

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.images import classification
from jaxnas.tasks.task import Task

DEEP = ("I;16", "I", "F")
"""Modes of one channel of more than 8 bits: of 16, of 32, and of real numbers."""


class Picture(NamedTuple):
    """A file, and what its header says: `(width, height)`, and its mode if `DEEP`, else "L", "LA", "RGB" or "RGBA"."""

    file: pathlib.Path
    size: tuple[int, int]
    mode: str


def folder(
    path: str | pathlib.Path,
    *,
    train: int | None = None,
    test: int | None = None,
    **images,
) -> Task:
    """Classification of the images in a folder by the folders they are in, see `images.classification`.

    Every file that Pillow can read is an image, whatever its ending; those that are none are left out, with a warning.
    What is hidden (`.git`, `.DS_Store`, `__MACOSX`) is not looked at. Images become the least of grey and RGB, with
    alpha or without, that loses nothing of any of them: palettes become colours, and what is transparent gives all an
    alpha channel. Grey images of 16 bits, or of 32, or of real numbers, keep their numbers, and are not mixed with
    others.

    Args:
      path: has `train/` and `test/`, each with a folder for each class; classes are numbered in order of their names.
      train: number of training images to use, drawn at random; all by default.
      test: number of test images to use; all by default.
      **images: `validation`, `crop_padding`, `flip`, `downsample`, `stream`, `seed`.

    Raises:
      InputError: no such folder, another class in test than in train, a class without images, an image that is in no
        folder of a class or deeper in it, that cannot be read, or that is of another size or depth than the first.
    """
    path = check.local_path("path", path)
    classes, pictures = {}, {}
    for split in ("train", "test"):
        if not (path / split).is_dir():
            raise InputError(f"path: expected images in {path / split}/CLASS/, there is no such folder.")
        classes[split] = [p.name for p in _visible(path / split) if p.is_dir()]
    unknown = set(classes["test"]) - set(classes["train"])
    if not classes["train"] or unknown:
        found = f"{', '.join(sorted(unknown))} in test alone" if unknown else f"none in {path / 'train'}"
        raise InputError(f"path: expected the same folders of classes in train and test, got {found}.")
    left = []
    for split, names in classes.items():
        pictures[split] = [(classes["train"].index(name), _pictures(path / split / name, left)) for name in names]
        for file in _visible(path / split):
            if not file.is_dir() and _opened(file, left):
                raise InputError(f"path: {file} is in no folder of a class; expected {path / split}/CLASS/{file.name}.")
    if left:
        said = ", ".join(map(str, left[:3])) + (", …" if len(left) > 3 else "")
        warnings.warn(f"{len(left)} files are no images and are left out: {said}", stacklevel=2)
    everything = [picture for split in pictures.values() for _, found in split for picture in found]
    if not pictures["test"]:
        raise InputError(f"path: {path / 'test'} has no images in folders of classes.")
    mode = _common([(picture.file, picture.mode) for picture in everything])
    shape = _shape(everything, mode)
    splits = {split: _read(found, mode, shape) for split, found in pictures.items()}
    num_examples = {"train": train, "test": test}
    options = {"where": f"path: {path}", "num_examples": num_examples, "classes": len(classes["train"]), **images}
    return classification(path.name, splits["train"], splits["test"], **options)


def _visible(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in path.iterdir() if not p.name.startswith(".") and p.name != "__MACOSX")


def _pictures(path: pathlib.Path, left: list) -> list[Picture]:
    """The pictures in the folder of a class; files that are none are added to `left`."""
    found, folders = [], []
    for file in _visible(path):
        if file.is_dir():
            folders.append(file)
        elif picture := _opened(file, left):
            found.append(picture)
    seen = set()
    while folders:
        inner = folders.pop()
        if inner.resolve() in seen:  # by a link, which may lead up
            continue
        seen.add(inner.resolve())
        for file in _visible(inner):
            if file.is_dir():
                folders.append(file)
            elif _opened(file, left):
                raise InputError(f"path: {file} is in a folder within that of its class; expected {path}/{file.name}.")
    if not found:
        raise InputError(f"path: {path} has no images; a class needs some, or delete the folder.")
    return found


def _opened(file: pathlib.Path, left: list) -> Picture | None:
    """The picture that a file is; None, and one more in `left`, where it is none by name and content."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            mode = "I;16" if image.mode.startswith("I;16") else image.mode
            if mode not in DEEP:
                grey = mode in ("1", "L", "LA", "La")
                mode = ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")
            return Picture(file, image.size, mode)
    except UnidentifiedImageError as error:
        if (mimetypes.guess_type(file.name.lower())[0] or "").startswith("image/") or file.suffix.lower() in _endings():
            raise _unreadable(file, error) from None
        left.append(file)
        return None
    except Image.DecompressionBombError as error:
        raise InputError(f"path: {file} has more pixels than Pillow reads ({error}); make it smaller.") from None
    except Exception as error:  # the decoder's, of a damaged file
        raise _unreadable(file, error) from None


def _endings() -> dict[str, str]:
    from PIL import Image

    return Image.registered_extensions()


def _unreadable(file: pathlib.Path, error: Exception) -> InputError:
    return InputError(f"path: {file} cannot be read as an image ({str(error) or type(error).__name__}).")


def _common(modes: list[tuple[pathlib.Path, str]]) -> str:
    """The mode that loses nothing of any; raises `InputError` where there is none."""
    first, mode = modes[0]
    for file, other in modes:
        if (mode in DEEP or other in DEEP) and mode != other:
            raise InputError(
                f"path: {file} is of mode {other}, but {first} of {mode}; images of more than 8 bits cannot be mixed."
            )
        if mode not in DEEP:
            colour, alpha = "RGB" in (mode[:3], other[:3]), "A" in (mode[-1], other[-1])
            mode = ("RGB" if colour else "L") + ("A" if alpha else "")
    return mode


def _shape(pictures: list[Picture], mode: str) -> tuple[int, ...]:
    """`(H, W, C)`, or `(H, W)` of one channel, of all the pictures."""
    channels = () if mode == "L" or mode in DEEP else (len(mode),)
    shape = lambda picture: (*picture.size[::-1], *channels)
    for picture in pictures:
        if picture.size != pictures[0].size:
            raise InputError(
                f"path: {picture.file} is of {shape(picture)}, but the first image is of {shape(pictures[0])}."
            )
    return shape(pictures[0])


def _read(found: list[tuple[int, list[Picture]]], mode: str, shape) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    y = np.array([label for label, pictures in found for _ in pictures])
    x = np.empty((len(y), *shape), dtype)
    for i, picture in enumerate(picture for _, pictures in found for picture in pictures):
        try:
            with warnings.catch_warnings(), Image.open(picture.file) as image:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                x[i] = np.asarray(image if mode in DEEP else _converted(image, mode))
        except Exception as error:  # the decoder's, of a damaged file
            raise _unreadable(picture.file, error) from None
    return x, y


def _converted(image, mode: str):
    """The image in `mode`, by way of RGB or RGBA where Pillow has no way of its own."""
    if image.mode == mode:
        return image
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "P"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert(mode)
