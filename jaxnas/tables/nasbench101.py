"""NAS-Bench-101 (Ying et al., 2019): the official `nasbench_full.tfrecord` or `nasbench_only108.tfrecord`.

Records are JSON: module hash, epochs, adjacency, operations, and a base64 protobuf of metrics; one for each of three
trainings at each of four lengths. Both formats are read here, in a few lines each: no TensorFlow.
"""

import base64
import json
import pathlib
import struct
from collections.abc import Iterator

import jax
import numpy as np
from tqdm import tqdm

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._nasbench101 import OPERATIONS, code, genome_of, published_hash
from jaxnas.tables.table import Column, Table, TableError

CELLS = 423_624
CHUNK = 4096
MALFORMED = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, struct.error)
"""What a record that is not as published makes its readers raise."""
SPLITS = ("train10k", "valid10k", "test10k")
"""All 10,000 images; those of `train10k` were trained on."""


def read(path: str | pathlib.Path, *, partial: bool = False, progress: bool = False) -> Table:
    """Reads the file.

    Columns: `cifar10-train40k.SPLIT.accuracy` in percent, at the end of each whole training (budgets are its lengths in
    epochs), `cifar10-train40k.seconds` of it, and the cost `parameters` in millions.

    Args:
      path: the TFRecord file.
      partial: accept a file that lacks cells; they stay unmeasured.
      progress: whether to show a progress bar.

    Raises:
      TableError: truncated or damaged records, unknown operations, a hash that is not the cell's, a cell with more
        trainings of a length than another, missing cells; by path and record.
    """
    path = check.local_path("path", path)
    cells: dict[str, tuple[int, dict[int, list]]] = {}
    genomes: list[np.ndarray] = []
    parameters: list[float] = []
    for number, record in enumerate(tqdm(_records(path), disable=not progress, unit=" records")):
        try:
            module, epochs, adjacency, names, metrics = json.loads(record)
            size, last = _metrics(base64.b64decode(metrics, validate=True))
            if module not in cells:
                cells[module] = (len(genomes), {})
                genomes.append(_genome(module, adjacency, names))
                parameters.append(size / 1e6)
            check.integer("epochs", epochs, least=0, most=2**31 - 1)
        except MALFORMED as error:
            raise TableError(f"{path}: record {number}: {error}.") from None
        cells[module][1].setdefault(epochs, []).append(last)
    if not cells:
        raise TableError(f"{path}: no record.")
    if len(cells) != CELLS and not partial:
        raise TableError(f"{path}: {len(cells)} cells, expected {CELLS}. Accept that as a partial table (--partial).")

    budgets = tuple(sorted({epochs for _, runs in cells.values() for epochs in runs}))
    repeats = max(len(found) for _, runs in cells.values() for found in runs.values())
    names = [*SPLITS, "seconds"]
    values = np.full((len(names), len(cells), repeats, len(budgets)), np.nan, np.float32)
    for place, runs in cells.values():
        for epochs, found in runs.items():
            values[:, place, : len(found), budgets.index(epochs)] = np.array(found).T
    padded = np.resize(np.array(genomes), (-(-len(genomes) // CHUNK), CHUNK, len(genomes[0])))  # one compile
    codes = np.concatenate([np.asarray(_codes(chunk)) for chunk in padded])[: len(genomes)]
    order = np.argsort(codes)
    if (np.diff(codes[order]) == 0).any():
        twice = int(order[np.flatnonzero(np.diff(codes[order]) == 0)[0]])
        raise TableError(f"{path}: two hashes of the same cell, one of them {list(cells)[twice]}.")

    prefix, seconds, seeds = "cifar10-train40k", "cifar10-train40k.seconds", tuple(range(repeats))
    columns = {
        f"{prefix}.{split}.accuracy": Column(
            100 * values[k], f"accuracy in percent on {split}, trained on train40k", "metric", budgets, seeds, seconds
        )
        for k, split in enumerate(SPLITS)
    }
    columns[seconds] = Column(values[-1], "training time on the authors' TPU", "seconds", budgets, seeds)
    size = np.array(parameters, np.float32).reshape(-1, 1, 1)
    columns["parameters"] = Column(size, "parameters in millions", "cost", higher_is_better=False)
    source = {"benchmark": "NAS-Bench-101", "paper": "Ying et al., 2019", "licence": "Apache-2.0", "file": path.name}
    rows = order.astype(np.int32)
    return Table("nasbench101", {"name": "nasbench101"}, rows, columns, "epochs", source, codes[order])


_codes = jax.jit(jax.vmap(code))


def _genome(module: str, adjacency: str, names: str) -> np.ndarray:
    """The genome of a record; raises `InputError` where the hash is not the cell's."""
    labels = names.split(",")
    v = len(labels)
    if len(adjacency) != v * v or set(adjacency) - {"0", "1"}:
        raise InputError(f"adjacency {adjacency!r} of {v} vertices")
    unknown = sorted(set(labels[1:-1]) - set(OPERATIONS))
    if unknown or (labels[0], labels[-1]) != ("input", "output"):
        raise InputError(f"operations {names!r}; known: input, {', '.join(OPERATIONS)}, output")
    matrix = np.array(list(adjacency), np.int32).reshape(v, v)
    operations = [OPERATIONS.index(label) for label in labels[1:-1]]
    genome = genome_of(matrix, operations)
    if published_hash(matrix, operations) != module:
        raise InputError(f"hash {module!r} is not that of its cell")
    return genome


def _records(path: pathlib.Path) -> Iterator[bytes]:
    """Of a TFRecord file: length (8 bytes), its checksum (4), data, its checksum (4)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}.") from None
    with file:
        number = 0
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else None
            data = file.read(length + 4) if length is not None and length < 1 << 20 else b""
            if length is None or len(data) != length + 4:
                raise TableError(f"{path}: truncated, or not a TFRecord file, at record {number}.")
            yield data[:-4]
            number += 1


def _metrics(data: bytes) -> tuple[int, tuple[float, ...]]:
    """Parameters, and (train, validation, test accuracy, seconds) at the end, of a `ModelMetrics` protobuf."""
    fields = list(_fields(data))
    last = dict(_fields([value for field, value in fields if field == 1][-1]))
    accuracy = [last[field] for field in (3, 4, 5)]
    if not all(np.isfinite(a) and 0 <= a <= 1 for a in accuracy):
        raise InputError(f"accuracies {accuracy}")
    return dict(fields)[2], (*accuracy, last[2])


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(field number, value) of a protobuf of varints, doubles and byte strings."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            yield field, varint()
        elif kind == 1:
            at += 8
            yield field, struct.unpack("<d", data[at - 8 : at])[0]
        elif kind == 2:
            length = varint()
            at += length
            if at > len(data):
                raise InputError("a truncated protobuf")
            yield field, data[at - length : at]
        else:
            raise InputError(f"a protobuf field of kind {kind}")
