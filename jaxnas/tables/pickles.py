"""Pickles of others, read as data: a file that asks for any type but plain ones is refused, and nothing runs."""

import bz2
import collections
import pathlib
import pickle
import pickletools
from typing import Any, BinaryIO

import numpy as np

from jaxnas import check
from jaxnas.tables.table import TableError


class _Dtype:
    """Stands for `numpy.dtype` while a number is read; knows plain numbers only."""

    def __init__(self, name: str, *_):
        if not (isinstance(name, str) and name[:1] in "fiub" and name[1:] in ("1", "2", "4", "8")):
            raise pickle.UnpicklingError(f"a number of type {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _number(dtype: _Dtype, data: bytes) -> float | int:
    if not (isinstance(dtype, _Dtype) and isinstance(data, bytes) and len(data) == dtype.dtype.itemsize):
        raise pickle.UnpicklingError("a malformed number")
    return np.frombuffer(data, dtype.dtype)[0].item()


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which is not data")
        return ALLOWED[module, name]


def _check_memo(file: BinaryIO) -> None:
    """Refuses to note anything beyond as many places as there are steps: the unpickler fills memory up to there."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if "PUT" in opcode.name and argument > count:
            raise pickle.UnpicklingError(f"{opcode.name} {argument} at step {count}")


def read(path: str | pathlib.Path) -> Any:
    """What the pickle at `path` holds (`.pbz2` and `.bz2` are decompressed): dicts, lists, text and numbers.

    Raises:
      TableError: no such file, a damaged one, or one that asks for any other type, which it names.
    """
    path = check.local_path("path", path)
    try:
        if path.suffix in (".pbz2", ".bz2"):  # with checksums of its own
            with bz2.open(path, "rb") as file:
                return _Restricted(file).load()
        with path.open("rb") as file:
            _check_memo(file)
            file.seek(0)
            return _Restricted(file).load()
    except FileNotFoundError:
        raise TableError(f"{path}: no such file.") from None
    except Exception as error:  # whatever a damaged stream makes the unpickler stumble over
        raise TableError(f"{path}: refused or damaged: {type(error).__name__}: {error}.") from None
