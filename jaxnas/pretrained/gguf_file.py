"""The header of a GGUF file: settings, words of the tokenizer, and where each tensor is.

Written by the format's specification (ggml, `docs/gguf.md`, versions 2 and 3). The package `gguf`, which gives the
values of quantized tensors, reads the header itself too, word by word through NumPy: for that of a vocabulary of 49,152
it takes 3 s, and this 0.1 s; and what is cut off it reports as an error of NumPy's.
"""

import math
import mmap
import pathlib
import struct
from typing import Any, NamedTuple

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.checkpoint import Stored, library

MAGIC, VERSIONS, ALIGNMENT = b"GGUF", (2, 3), 32
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Type of a value -> its code in `struct`."""
STRING, ARRAY = 8, 9


class Header(NamedTuple):
    """Settings by name, and tensors by name."""

    settings: dict[str, Any]
    tensors: dict[str, Stored]


def is_gguf(path: pathlib.Path) -> bool:
    """Whether a file begins as one."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_header(path: pathlib.Path) -> Header:
    """Raises `InputError` for a file that is cut off, of another version or byte order, or of unknown tensors."""
    gguf = library("gguf", f"path: {path}")
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = _Cursor(path, data)
    cursor.at = len(MAGIC)
    (version,) = cursor.numbers("I", 1)
    if version not in VERSIONS:
        raise InputError(f"path: {path} is GGUF version {version}; {VERSIONS} are read, in little-endian order.")
    tensors, settings = cursor.numbers("Q", 2)
    found = {cursor.string(): cursor.value(*cursor.numbers("I", 1)) for _ in range(settings)}
    places = [_place(cursor) for _ in range(tensors)]
    alignment = found.get("general.alignment", ALIGNMENT)
    check.integer(f"path: {path}: general.alignment", alignment, least=1)
    begin = -(-cursor.at // alignment) * alignment
    whole = np.frombuffer(data, np.uint8)
    return Header(found, {name: _stored(gguf, path, whole, begin, name, *place) for name, *place in places})


class _Cursor:
    """Reads one value after another."""

    def __init__(self, path: pathlib.Path, data: mmap.mmap):
        self.path, self.data, self.at = path, data, 0

    def bytes(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise InputError(f"path: {self.path} is cut off: its header goes on after its end.")
        self.at += size
        return self.data[self.at - size : self.at]

    def numbers(self, code: str, count: int) -> tuple:
        return struct.unpack(f"<{count}{code}", self.bytes(count * struct.calcsize("<" + code)))

    def string(self) -> str:
        return self.bytes(*self.numbers("Q", 1)).decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            (of,), (count,) = self.numbers("I", 1), self.numbers("Q", 1)
            if of in NUMBERS:
                return list(self.numbers(NUMBERS[of], count))
            if of == STRING:
                return [self.string() for _ in range(count)]
            kind = of  # lists of lists, which the format allows and no model has
        if kind not in NUMBERS:
            raise InputError(f"path: {self.path} has a setting of the type {kind}, which is not read.")
        (found,) = self.numbers(NUMBERS[kind], 1)
        # Of a number of 32 bits the decimal that was meant: 1e-5, and not 9.999999747378752e-06.
        return float(str(np.float32(found))) if kind == 6 else found


def _place(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of a tensor; axes are stored the last first."""
    name, (axes,) = cursor.string(), cursor.numbers("I", 1)
    shape = cursor.numbers("Q", axes)[::-1]
    return name, shape, *cursor.numbers("I", 1), *cursor.numbers("Q", 1)


def _stored(gguf, path, whole: np.ndarray, begin: int, name: str, shape: tuple[int, ...], kind: int, offset: int):
    try:
        kind = gguf.GGMLQuantizationType(kind)
        block, size = gguf.GGML_QUANT_SIZES[kind]
    except (KeyError, ValueError):
        raise InputError(f"path: {path}: {name} has the type {kind}, which the package `gguf` does not know.") from None
    if not shape or shape[-1] % block:
        raise InputError(f"path: {path}: {name}: rows of {list(shape)} are no whole blocks of {block} ({kind.name}).")
    row, first = shape[-1] // block * size, begin + offset
    last = first + row * math.prod(shape[:-1])
    if last > len(whole):
        raise InputError(f"path: {path} is cut off: {name} ends at byte {last}, the file at {len(whole)}.")

    def read() -> np.ndarray:
        try:
            return gguf.quants.dequantize(whole[first:last].reshape(*shape[:-1], row), kind)
        except NotImplementedError:
            raise InputError(f"path: {path}: {name} has the type {kind.name}, of which `gguf` has no values.") from None

    return Stored(shape, read)
