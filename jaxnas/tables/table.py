"""A table of a space: its arrays, and the one file format that all importers write.

The file is an `.npz` of plain arrays, stored without compression so that it can be memory-mapped: `rows`, one array for
each column, `codes` where the space is too large to enumerate, and `about`, a JSON text with all that is not an array.
`numpy.load` reads it without this library.
"""

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas import check
from jaxnas.check import InputError

FORMAT = "jaxnas table 1"
KINDS = ("metric", "seconds", "cost")


class TableError(InputError):
    """A file that is not the table it should be; the message names the path and what is wrong there."""


class Column(NamedTuple):
    """One measured quantity of every row.

    Attributes:
      values: `[R, S, B]` float, by row, seed of the training and budget; NaN where there is none.
      about: what it is, in words: data, split, how trained.
      kind: "metric", "seconds" (of the training that gives the metrics, in total up to the budget) or "cost".
      budgets: the B budgets, increasing, in the table's `unit`; (0,) for what takes no training.
      seeds: names of the S seeds.
      seconds: for a metric, the column with the seconds of its trainings, or None.
      higher_is_better: False for losses and costs.
    """

    values: np.ndarray
    about: str = ""
    kind: str = "metric"
    budgets: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (0,)
    seconds: str | None = None
    higher_is_better: bool = True


class Table(NamedTuple):
    """What is known of a space.

    Attributes:
      name: for messages.
      space: the space as a config names it: `{"name": "nasbench201"}`, or categorical with its `decisions`.
      rows: `[space.size]` integer, the row of each genome by `space.index`, -1 where it was not measured.
      columns: name -> `Column`.
      unit: of the budgets: "epochs" or "steps".
      source: where it comes from: paper, licence, config, device, cost (JSON).
      codes: for a space too large to enumerate, what its factory wants as `codes` to give the known genomes an index.
    """

    name: str
    space: Mapping[str, Any]
    rows: np.ndarray
    columns: Mapping[str, Column]
    unit: str = "epochs"
    source: Mapping[str, Any] = {}
    codes: np.ndarray | None = None

    def column(self, name: str) -> Column:
        """The column; raises `InputError` with the nearest name where there is none."""
        check.one_of(f"table {self.name!r}, column", name, self.columns)
        return self.columns[name]

    def by_genome(self, name: str) -> np.ndarray:
        """`[space.size, S, B]` float32: the column in the order of `space.index`, NaN where not measured."""
        values, rows = np.asarray(self.column(name).values, np.float32), np.asarray(self.rows)
        return np.where((rows >= 0)[:, None, None], values[np.maximum(rows, 0)], np.float32(np.nan))


def validate(table: Table, path: str | pathlib.Path) -> Table:
    """The table itself, once its parts fit each other; raises `TableError` naming the path and the part."""
    rows = np.asarray(table.rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise TableError(f"{path}: rows: expected integers [size of the space], got {rows.dtype} {rows.shape}.")
    if not table.columns:
        raise TableError(f"{path}: no column.")
    if table.codes is not None and np.shape(table.codes) != rows.shape:
        raise TableError(f"{path}: codes: expected one for each of {len(rows)} genomes, got {np.shape(table.codes)}.")
    reserved = sorted({"about", "rows", "codes"} & set(table.columns))
    if reserved:
        raise TableError(f"{path}: a column cannot be called {reserved[0]!r}.")
    for name, column in table.columns.items():
        where = f"{path}, column {name!r}"
        if column.kind not in KINDS:
            raise TableError(f"{where}: kind: expected one of {', '.join(KINDS)}, got {column.kind!r}.")
        shape = (None, len(column.seeds), len(column.budgets))
        if column.values.ndim != 3 or column.values.shape[1:] != shape[1:]:
            raise TableError(
                f"{where}: expected [rows, {shape[1]} seeds, {shape[2]} budgets], got {column.values.shape}."
            )
        if list(column.budgets) != sorted(set(column.budgets)):
            raise TableError(f"{where}: expected increasing budgets, got {list(column.budgets)}.")
        if rows.size and rows.max() >= len(column.values):
            bad = int(np.argmax(rows >= len(column.values)))
            raise TableError(f"{where}: genome {bad} is in row {rows[bad]}, but there are {len(column.values)} rows.")
        if not np.issubdtype(column.values.dtype, np.floating):
            raise TableError(f"{where}: expected floating point numbers, got {column.values.dtype}.")
        if column.seconds is not None:
            other = table.columns.get(column.seconds)
            if other is None or other.kind != "seconds" or other.budgets != column.budgets:
                raise TableError(f"{where}: no column {column.seconds!r} of seconds with the same budgets.")
    return table


def save(table: Table, path: str | pathlib.Path) -> None:
    """Writes the table whole or not at all; raises `TableError` where its parts do not fit."""
    path = pathlib.Path(path)
    validate(table, path)
    described = {name: column._replace(values=None)._asdict() for name, column in table.columns.items()}
    for column in described.values():
        del column["values"]
    about = {"format": FORMAT, "name": table.name, "space": table.space, "unit": table.unit, "source": table.source}
    arrays = {name: column.values for name, column in table.columns.items()}
    if table.codes is not None:
        arrays["codes"] = table.codes
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, about=json.dumps({**about, "columns": described}), rows=table.rows, **arrays)
    partial.replace(path)


def load(path: str | pathlib.Path) -> Table:
    """Reads a table; arrays stay on disk until they are used.

    Raises:
      TableError: no such file, a truncated or foreign one.
    """
    path = pathlib.Path(path)
    arrays = read_arrays(path)
    if "about" not in arrays:
        raise TableError(f"{path}: not a table of jaxnas (no `about`). `python -m launch.import_table` makes one.")
    try:
        about = json.loads(str(arrays.pop("about")[()]))
    except json.JSONDecodeError as error:
        raise TableError(f"{path}: `about` is not JSON ({error}).") from None
    if about.get("format") != FORMAT:
        raise TableError(f"{path}: expected format {FORMAT!r}, got {about.get('format')!r}.")
    missing = {"rows", *about["columns"]} - set(arrays)
    if missing:
        raise TableError(f"{path}: arrays {', '.join(sorted(missing))} are missing.")
    columns = {}
    for name, fields in about["columns"].items():
        fields["budgets"], fields["seeds"] = tuple(fields["budgets"]), tuple(fields["seeds"])
        columns[name] = Column(arrays[name], **fields)
    codes = arrays.get("codes")
    named = (about["name"], about["space"], arrays["rows"], columns, about["unit"], about["source"], codes)
    return validate(Table(*named), path)


def is_table(path: str | pathlib.Path) -> bool:
    """Whether the `.npz` was written by `save`; raises `TableError` where it is none at all."""
    return "about" in read_arrays(path)


def embedded(name: str) -> pathlib.Path:
    """Path of a table that comes with the library; raises `InputError` listing them for an unknown name."""
    folder = pathlib.Path(__file__).parent / "embedded"
    check.one_of("table", name, sorted(file.stem for file in folder.glob("*.npz")))
    return folder / f"{name}.npz"


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`, memory-mapped where they are stored uncompressed. Objects (pickles) are refused.

    Raises:
      TableError: no such file, not an `.npz`, truncated, or with an array that is not plain numbers or text.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file.")
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _array(path, archive, info) for info in archive.infolist()}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise TableError(f"{path}: not a whole .npz file ({error}).") from None


def _array(path: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(member)
            if dtype.hasobject:
                raise TableError(f"{path}, array {info.filename!r}: holds Python objects, which are never read.")
            header = member.tell()
            mapped = info.compress_type == zipfile.ZIP_STORED and shape and 0 not in shape
            if not mapped:
                member.seek(0)
                return np.lib.format.read_array(member, allow_pickle=False)
    except ValueError as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}, array {info.filename!r}: {error}") from None
    with path.open("rb") as file:  # the local header repeats the name and may carry another extra field
        file.seek(info.header_offset + 26)
        name, extra = np.frombuffer(file.read(4), "<u2").tolist()
    offset = info.header_offset + 30 + name + extra + header
    order = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", offset, shape, order)
