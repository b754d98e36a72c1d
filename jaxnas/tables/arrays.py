"""Plain arrays of a NAS-Bench-201 table: an `.npz` with `arch_str`, or `ops` and `op_names`, and a row of each column.

Every array with a number for each of the 15,625 cells is a column under its own name.
"""

import pathlib
import re

import numpy as np

from jaxnas import check
from jaxnas.spaces import nasbench201
from jaxnas.tables.table import Column, Table, TableError, read_arrays, shortened, validate

ABOUT = {
    "val_acc_200ep_cifar10": "accuracy in percent on CIFAR-10's 25k validation images, trained on the other 25k; mean "
    "of the published seeds",
    "runs_acc_200ep_cifar10valid_valid": "accuracy in percent on CIFAR-10's 25k validation images, trained on the "
    "other 25k",
    "test_acc_200ep_cifar10": "accuracy in percent on CIFAR-10's 10k test images, trained on all 50k; mean of the "
    "published seeds",
    "train_time_200ep_s_cifar10valid": "seconds of a training on CIFAR-10's 25k images",
}
"""What the columns we know hold, by protocol: CIFAR-10 has two."""
FAILED = {"zc_": -1e8}
"""Prefix -> the number that stands for a failed score; read as NaN. In a cost that is -1, an unsupported network."""


def read(path: str | pathlib.Path) -> Table:
    """Reads the file.

    `N`-epoch columns (`_200ep`) have that budget, `hw_…` are costs, `…_time_…` seconds; of two-dimensional arrays the
    second axis are the seeds. Arrays of text or truth values, and of any other shape, are left out.

    Raises:
      TableError: not such a file, rows that are not in the published order, or a negative cost, by path and row.
    """
    path, space = check.local_path("path", path), nasbench201()
    arrays = read_arrays(path)
    if "arch_str" in arrays:
        got = _texts(path, "arch_str", arrays["arch_str"])
    elif {"ops", "op_names"} <= arrays.keys():
        ops, names, order = np.asarray(arrays["ops"]), _texts(path, "op_names", arrays["op_names"]), space.options[0]
        unknown = sorted(set(names) - set(order))
        if unknown:
            raise TableError(f"{path}, op_names: unknown {', '.join(unknown)}; known: {', '.join(order)}.")
        if ops.dtype.kind not in "iu" or ops.ndim != 2 or ops.shape[1] != 6 or not ops.size:
            raise TableError(f"{path}, ops: expected integers [15625, 6], got {ops.dtype} {ops.shape}.")
        if ops.min() < 0 or ops.max() >= len(names):
            raise TableError(f"{path}, ops: expected positions in op_names, got {ops.min()} to {ops.max()}.")
        got = [space.to_string([order.index(names[o]) for o in row]) for row in ops.tolist()]
    else:
        raise TableError(f"{path}: neither a table of jaxnas nor arrays with `arch_str`, or `ops` and `op_names`.")
    if len(got) != space.size:
        raise TableError(f"{path}: expected {space.size} rows, got {len(got)}.")
    strings = map(space.to_string, np.asarray(space.from_index(np.arange(space.size))))
    seen: dict[str, int] = {}
    for row, (string, right) in enumerate(zip(got, strings, strict=True)):
        if string in seen:
            raise TableError(f"{path}: row {row} is {string!r}, and so is row {seen[string]}.")
        seen[string] = row
        if string != right:
            raise TableError(f"{path}: row {row} is {string!r}, expected {right!r}, the published order.")

    columns = {
        name: _column(path, name, a) for name, a in arrays.items() if name not in ("ops", "arch_str") and _fits(a)
    }
    seconds = [name for name, column in columns.items() if column.kind == "seconds"]
    for name, column in columns.items():
        same = [s for s in seconds if columns[s].budgets == column.budgets]
        if column.kind == "metric" and column.budgets != (0,) and len(same) == 1:
            columns[name] = column._replace(seconds=same[0])
    rows = np.arange(space.size, dtype=np.int32)
    return validate(Table(path.stem, {"name": "nasbench201"}, rows, columns), path)


def _texts(path: pathlib.Path, name: str, array: np.ndarray) -> list[str]:
    if array.dtype.kind not in "SU" or array.ndim != 1:
        raise TableError(f"{path}, {name}: expected a list of texts, got {array.dtype} {array.shape}.")
    try:
        return [text.decode() if isinstance(text, bytes) else text for text in array.tolist()]
    except ValueError as error:  # bytes, or code points, that are no text
        raise TableError(f"{path}, {name}: not text ({error}).") from None


def _fits(array: np.ndarray) -> bool:
    fits = array.dtype.kind in "fiu" and array.ndim in (1, 2) and len(array) == len(nasbench201().options[0]) ** 6
    return fits and array.size > 0


def _column(path: pathlib.Path, name: str, array: np.ndarray) -> Column:
    short = array.dtype.kind == "f" and array.itemsize <= 4
    values = np.array(array, np.float32) if short else shortened(array)
    values = values.reshape(len(array), -1, 1)
    epochs = re.search(r"_([0-9]{1,9})ep(_|$)", name)
    kind = "cost" if name.startswith(("hw_", "params", "flops")) else "seconds" if "_time_" in name else "metric"
    for prefix, failed in FAILED.items():
        if name.startswith(prefix):
            values[values == np.float32(failed)] = np.nan
    if kind == "cost":
        values[values == -1] = np.nan
        if (values < 0).any():
            row = int(np.argmax((values < 0).any((1, 2))))
            raise TableError(f"{path}, {name}: row {row}: a cost is not negative, got {np.nanmin(values[row])}.")
    return Column(
        values,
        ABOUT.get(name, ""),
        kind,
        budgets=(int(epochs[1]),) if epochs else (0,),
        seeds=tuple(range(values.shape[1])),
        higher_is_better=kind == "metric" and "loss" not in name,
    )
