"""Where a model is: a folder, a file, or an installed package that holds one."""

import difflib
import importlib.metadata
import os
import pathlib

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.checkpoint import Checkpoint
from jaxnas.pretrained.gguf_file import is_gguf
from jaxnas.pretrained.gguf_model import read_gguf
from jaxnas.pretrained.huggingface import CONFIG, read_folder, refuse_pickle

PACKAGE = "package:"


def open_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """The checkpoint in a folder of Hugging Face's layout, in a GGUF file, or in `package:NAME`, also `NAME` alone, or
    `package:NAME/FILE` of those with several.

    Raises:
      InputError: nothing of the name, or what is not read.
    """
    if isinstance(path, str) and path.startswith(PACKAGE):
        return _opened(_in_package(path.removeprefix(PACKAGE)))
    found = check.local_path("path", path)
    if not found.exists():
        if len(found.parts) == 1 and _package(str(found)):
            return _opened(_in_package(str(found)))
        raise InputError(f"path: {found} is no folder, no file and no installed package.{_near(str(found))}")
    return _opened(found)


def _opened(path: pathlib.Path) -> Checkpoint:
    if path.is_dir():
        return read_folder(path)
    refuse_pickle(path)
    if path.suffix == ".safetensors" or path.name == CONFIG:
        raise InputError(f"path: expected the folder {path.parent}, which has {CONFIG} beside the weights, got a file.")
    if not is_gguf(path):
        raise InputError(f"path: {path} is no GGUF file: expected its first bytes to be 'GGUF'.")
    return read_gguf(path)


def _package(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _in_package(name: str) -> pathlib.Path:
    """The model among a package's files."""
    name, _, file = name.partition("/")
    package = _package(name)
    if package is None:
        raise InputError(f"path: the package {name!r} is not installed; pip install {name}.{_near(name)}")
    files = package.files or []
    folders = {path.parent for path in files if path.suffix == ".safetensors"}
    models = [path for path in files if path.suffix == ".gguf"]
    models += [path.parent for path in files if path.name == CONFIG and path.parent in folders]
    named = {path.as_posix(): path for path in models}
    if not named:
        raise InputError(f"path: the package {name!r} {package.version} holds no GGUF file and no folder of a model.")
    if file or len(named) > 1:
        check.one_of(f"path: {PACKAGE}{name}/…", file, named)
    return pathlib.Path(package.locate_file(named[file or next(iter(named))]))


def _near(name: str) -> str:
    installed = {package.metadata["Name"] or "" for package in importlib.metadata.distributions()}
    near = difflib.get_close_matches(name, installed, n=1, cutoff=0.7)
    return f" Did you mean the package {near[0]!r}?" if near else ""
