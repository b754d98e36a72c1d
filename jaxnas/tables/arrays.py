"""Plain arrays of a NAS-Bench-201 table: an `.npz` with `arch_str`, or `ops` and `op_names`, and a row of each column.

Every array with a number for each of the 15,625 cells is a column under its own name.
"""

import pathlib
import re

import numpy as np

from jaxnas.spaces import nasbench201
from jaxnas.tables.table import Column, Table, TableError, read_arrays

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
FAILED = {"zc_": -1e8, "hw_edgetpu": -1.0}
"""Prefix -> the number that stands for a failed score, or for an unsupported network; read as NaN."""


def read(path: str | pathlib.Path) -> Table:
    """Reads the file.

    `N`-epoch columns (`_200ep`) have that budget, `hw_…` are costs, `…_time_…` seconds; of two-dimensional arrays the
    second axis are the seeds. Arrays of text or truth values, and of any other shape, are left out.

    Raises:
      TableError: not such a file, or rows that are not in the published order, by path and row.
    """
    path, space = pathlib.Path(path), nasbench201()
    arrays = read_arrays(path)
    expected = np.asarray(space.from_index(np.arange(space.size)))
    strings = [space.to_string(genome) for genome in expected]
    if "arch_str" in arrays:
        got = [s.decode() if isinstance(s, bytes) else str(s) for s in arrays["arch_str"].tolist()]
    elif {"ops", "op_names"} <= arrays.keys():
        ops, names = np.asarray(arrays["ops"]), arrays["op_names"].tolist()
        if ops.ndim != 2 or ops.shape[1] != 6 or ops.min() < 0 or ops.max() >= len(names):
            raise TableError(f"{path}, ops: expected [15625, 6] positions in op_names, got {ops.shape}.")
        order = space.options[0]
        unknown = sorted(set(names) - set(order))
        if unknown:
            raise TableError(f"{path}, op_names: unknown {', '.join(unknown)}; known: {', '.join(order)}.")
        got = [space.to_string([order.index(names[o]) for o in row]) for row in ops.tolist()]
    else:
        raise TableError(f"{path}: neither a table of jaxnas nor arrays with `arch_str`, or `ops` and `op_names`.")
    if len(got) != space.size:
        raise TableError(f"{path}: expected {space.size} rows, got {len(got)}.")
    seen: dict[str, int] = {}
    for row, (string, right) in enumerate(zip(got, strings, strict=True)):
        if string in seen:
            raise TableError(f"{path}: row {row} is {string!r}, and so is row {seen[string]}.")
        seen[string] = row
        if string != right:
            raise TableError(f"{path}: row {row} is {string!r}, expected {right!r}, the published order.")

    columns = {name: _column(name, a) for name, a in arrays.items() if name not in ("ops", "arch_str") and _fits(a)}
    seconds = [name for name, column in columns.items() if column.kind == "seconds"]
    for name, column in columns.items():
        same = [s for s in seconds if columns[s].budgets == column.budgets]
        if column.kind == "metric" and column.budgets != (0,) and len(same) == 1:
            columns[name] = column._replace(seconds=same[0])
    return Table(path.stem, {"name": "nasbench201"}, np.arange(space.size, dtype=np.int32), columns)


def _fits(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu" and array.ndim in (1, 2) and len(array) == len(nasbench201().options[0]) ** 6


def _column(name: str, array: np.ndarray) -> Column:
    values = np.array(array, np.float32).reshape(len(array), -1, 1)
    for prefix, failed in FAILED.items():
        if name.startswith(prefix):
            values[values == np.float32(failed)] = np.nan
    epochs = re.search(r"_(\d+)ep(_|$)", name)
    kind = "cost" if name.startswith(("hw_", "params", "flops")) else "seconds" if "_time_" in name else "metric"
    return Column(
        values,
        ABOUT.get(name, ""),
        kind,
        budgets=(int(epochs[1]),) if epochs else (0,),
        seeds=tuple(range(values.shape[1])),
        higher_is_better=kind == "metric" and "loss" not in name,
    )
