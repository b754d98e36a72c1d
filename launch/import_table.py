"""Make a table out of a published benchmark's files, or of a CSV of your own, for `launch.compare` and `launch.search`.

    python -m launch.import_table --from=csv --path=results.csv --decisions=depth,width,pool --output=mine.npz
    python -m launch.import_table --from=nats --path=NATS-tss-v1_0-3ffb9-simple --output=nats.npz
    python -m launch.import_table --from=nasbench101 --path=nasbench_full.tfrecord --output=nb101.npz
    python -m launch.import_table --from=arrays --path=nasbench201_cifar10.npz --output=nb201.npz
    python -m launch.import_table --from=nats --path=… --costs_from=HW-NAS-Bench-v1_0.pickle --output=…

Files of others are read as data: a pickle that asks for any type but plain ones is refused, and nothing of it runs.
"""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import app, flags

from jaxnas import tables
from jaxnas.check import InputError
from jaxnas.machine import configure
from jaxnas.tables import arrays, csv_file, hwnasbench, nasbench101, nats
from launch.wiring import opened, parse_flags

FORMATS = ("csv", "nats", "nasbench101", "arrays")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    configure()
    try:
        output = pathlib.Path(_OUTPUT.value)
        if output.suffix != ".npz":
            raise InputError(f"output: expected the name of an .npz file, got {output}.")
        if output.exists() and not _OVERWRITE.value:
            raise InputError(f"output: {output} exists; nothing was changed. Give --overwrite to replace it.")
        table = read()
        if _COSTS.value:
            table = with_costs(table, _COSTS.value)
        output.parent.mkdir(parents=True, exist_ok=True)
        tables.save(table, output)
        print(summary(table))
        print(f"written to {output}")
    except (InputError, OSError) as error:
        sys.exit(f"launch.import_table: {error}")


def read() -> tables.Table:
    given = {"partial": _PARTIAL.value, "curves": _CURVES.value, "decisions": _DECISIONS.value}
    given |= {"metrics": _METRICS.value, "costs": _CSV_COSTS.value, "minimize": _MINIMIZE.value}
    takes: Mapping[str, tuple[str, ...]] = {
        "nats": ("partial", "curves"),
        "nasbench101": ("partial",),
        "csv": ("decisions", "metrics", "costs", "minimize"),
        "arrays": (),
    }
    which = flags.FLAGS["from"].value
    options: dict[str, Any] = {name: given[name] for name in takes[which]}
    for name, value in given.items():
        if value and name not in options:
            raise InputError(f"{name}: only for --from={next(f for f in FORMATS if name in takes[f])}, not {which}.")
    if which in ("nats", "nasbench101"):
        return (nats if which == "nats" else nasbench101).read(_PATH.value, progress=True, **options)
    return (csv_file if which == "csv" else arrays).read(_PATH.value, **options)


def with_costs(table: tables.Table, path: str) -> tables.Table:
    """The table with the cost columns of another file, by architecture."""
    official = pathlib.Path(path).suffix in (".pickle", ".pkl")
    other = hwnasbench.read(path) if official else opened(path)
    at = _places_in(other, table, f"costs_from: {path}")
    rows = np.asarray(table.rows)
    measured = rows >= 0
    columns = dict(table.columns)
    for name, column in other.columns.items():
        if column.kind != "cost":
            continue
        if name in columns:
            raise InputError(f"costs_from: the table has a column {name!r} already.")
        theirs = other.by_genome(name)
        values = np.full((rows.max() + 1, *theirs.shape[1:]), np.nan, theirs.dtype)
        values[rows[measured]] = np.where((at >= 0)[:, None, None], theirs[at], np.nan)[measured]
        if np.isnan(values).all():
            raise InputError(f"costs_from: {path} has {name!r} of none of the architectures of {table.name!r}.")
        columns[name] = column._replace(values=values)
    if len(columns) == len(table.columns):
        raise InputError(f"costs_from: {path} has no cost column.")
    return table._replace(columns=columns)


def _places_in(other: tables.Table, table: tables.Table, where: str) -> np.ndarray:
    """`[size of the space]` the index in `other` of each genome of `table`, -1 where it has none of it."""
    expected, got = json.dumps(table.space), json.dumps(other.space)  # unlike dicts, texts differ where the order does
    if got != expected:
        raise InputError(f"{where} is a table of another space: expected {expected}, in this order, got {got}.")
    if table.codes is None and other.codes is None and len(table.rows) == len(other.rows):
        return np.arange(len(table.rows))
    if table.codes is None or other.codes is None:
        raise InputError(f"{where}: expected {len(table.rows)} genomes of the same codes, got {len(other.rows)}.")
    place = {code: k for k, code in enumerate(np.asarray(other.codes).tolist())}
    return np.array([place.get(code, -1) for code in np.asarray(table.codes).tolist()])


def summary(table: tables.Table) -> str:
    """What is in a table, a line for each column."""
    rows = np.asarray(table.rows)
    lines = [f"{table.name}: {(rows >= 0).sum():,} of {len(rows):,} architectures, budgets in {table.unit}"]
    if (rows < 0).any():
        lines.append(f"  {(rows < 0).sum():,} combinations were never measured; searches see them as failures")
    for name, column in table.columns.items():
        finite = np.isfinite(column.values)
        known = column.values[finite]
        without = int((~finite.any((1, 2)))[rows[rows >= 0]].sum())
        span = f"{known.min():.6g} to {known.max():.6g}" if known.size else "nothing"
        missing = 1 - known.size / max(column.values.size, 1)
        parts = [f"  {name} ({column.kind}): {span}", f"{len(column.seeds)} seed(s)"]
        parts += [f"budgets {_listed(column.budgets)}"] * (column.budgets != (0,))
        parts += [f"{missing:.1%} missing"] * (missing > 0)
        parts += [f"{without:,} architectures {_says_nothing(column)}"] * (without > 0)
        parts += ["less is better"] * (column.kind == "metric" and not column.higher_is_better)
        lines.append("; ".join(parts))
    return "\n".join(lines)


def _says_nothing(column: tables.Column) -> str:
    """What it means that an architecture has no number there; -1 stands for unknown where less is better."""
    if column.kind == "metric":
        return "failed" if column.higher_is_better else "failed or unknown"
    return "unknown"


def _listed(budgets: tuple[int, ...]) -> str:
    return ", ".join(map(str, budgets)) if len(budgets) < 8 else f"{budgets[0]}, {budgets[1]} … {budgets[-1]}"


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _FROM = flags.DEFINE_enum("from", None, FORMATS, "Format of what is read.", required=True)
    _PATH = flags.DEFINE_string("path", None, "The file or folder to read.", required=True)
    _OUTPUT = flags.DEFINE_string("output", None, "The table to write, an .npz.", required=True)
    _OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an output that exists.")
    _COSTS = flags.DEFINE_string("costs_from", None, "HW-NAS-Bench's pickle, or a table, whose cost columns to join.")
    _PARTIAL = flags.DEFINE_bool("partial", False, "nats, nasbench101: accept files that lack architectures.")
    _CURVES = flags.DEFINE_bool("curves", False, "nats: accuracy by epoch as well.")
    _DECISIONS = flags.DEFINE_list("decisions", [], "csv: decision columns; by default what is no metric.")
    _METRICS = flags.DEFINE_list("metrics", [], "csv: metric columns; by default what is no decision.")
    _CSV_COSTS = flags.DEFINE_list("costs", [], "csv: columns that are costs.")
    _MINIMIZE = flags.DEFINE_list("minimize", [], "csv: metric columns of which less is better.")
    app.run(main, flags_parser=parse_flags)
