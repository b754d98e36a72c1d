"""A table of a space: its arrays, and the one file format that all importers write.

The file is an `.npz` of plain arrays, stored without compression so that it can be memory-mapped: `rows`, one array for
each column, `codes` where the space is too large to enumerate, and `about`, a JSON text with all that is not an array.
`numpy.load` reads it without this library.
"""

import json
import math
import numbers
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas import check
from jaxnas.check import InputError

FORMAT = "jaxnas table 1"
KINDS = ("metric", "seconds", "cost")
RESERVED = ("about", "rows", "codes")
"""Arrays of the file that are no columns."""
LONGEST_NAME = 1000
"""Characters of a column's name; of an array's, the archive takes 65,535 bytes."""
CHUNK = 1 << 20


class TableError(InputError):
    """A file that is not the table it should be; the message names the path and what is wrong there."""


class Column(NamedTuple):
    """One measured quantity of every row.

    Attributes:
      values: `[R, S, B]` float, by row, seed of the training and budget; NaN where there is none, or it failed.
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


DESCRIBED = tuple(field for field in Column._fields if field != "values")


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
        """`[space.size, S, B]`: the column in the order of `space.index`, NaN where not measured.

        float64 where the file has it so, float32 otherwise.
        """
        values, rows = np.asarray(self.column(name).values), np.asarray(self.rows)
        values = values.astype(np.float64 if values.itemsize > 4 else np.float32)
        return np.where((rows >= 0)[:, None, None], values[np.maximum(rows, 0)], values.dtype.type(np.nan))


def shortened(values: np.ndarray) -> np.ndarray:
    """The numbers as float32 where each prints there as it does in float64, else as float64."""
    wide = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        short = wide.astype(np.float32)
    same = np.array_equal(short.astype(str).astype(np.float64), wide, equal_nan=True)
    return short if same else wide


def check_name(where: str, name: Any) -> None:
    """Raises `TableError` unless a column can be called so in the file."""
    if name in RESERVED:
        raise TableError(f"{where}: a column cannot be called {name!r}, which the file of a table has for itself.")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise TableError(f"{where}: expected 1 to {LONGEST_NAME} characters as the name of a column, got {name!r:.60}.")
    if "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise TableError(f"{where}: a column's name cannot have the characters of {name!r:.60}.")


def validate(table: Table, path: str | pathlib.Path) -> Table:
    """The table itself, once its parts fit each other; raises `TableError` naming the path and the part."""
    for part in ("name", "unit"):
        if not isinstance(getattr(table, part), str):
            raise TableError(f"{path}: {part}: expected text, got {getattr(table, part)!r:.60}.")
    if not isinstance(table.space, Mapping) or not isinstance(table.space.get("name"), str):
        raise TableError(f"{path}: space: expected a dict with a name, got {table.space!r:.60}.")
    for part in ("source", "columns"):
        if not isinstance(getattr(table, part), Mapping):
            raise TableError(f"{path}: {part}: expected a dict, got {getattr(table, part)!r:.60}.")
    rows = np.asarray(table.rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TableError(f"{path}: rows: expected integers [size of the space], got {rows.dtype} {rows.shape}.")
    if rows.size and rows.min() < -1:
        raise TableError(f"{path}: rows: genome {int(rows.argmin())} is in row {rows.min()}; -1 is for not measured.")
    if not table.columns:
        raise TableError(f"{path}: no column.")
    if table.codes is not None:
        codes = np.asarray(table.codes)
        if codes.shape != rows.shape:
            raise TableError(f"{path}: codes: expected one for each of {len(rows)} genomes, got {codes.shape}.")
        if codes.dtype.kind not in "iu":
            raise TableError(f"{path}: codes: expected integers, got {codes.dtype}.")
    for name, column in table.columns.items():
        check_name(str(path), name)
        _validate_column(table, column, rows, f"{path}, column {name!r}")
    return table


def _validate_column(table: Table, column: Column, rows: np.ndarray, where: str) -> None:
    values, budgets, seeds = column.values, column.budgets, column.seeds
    if column.kind not in KINDS:
        raise TableError(f"{where}: kind: expected one of {', '.join(KINDS)}, got {column.kind!r:.60}.")
    if not isinstance(column.about, str):
        raise TableError(f"{where}: about: expected text, got {column.about!r:.60}.")
    if not isinstance(column.higher_is_better, bool):
        raise TableError(f"{where}: higher_is_better: expected true or false, got {column.higher_is_better!r:.60}.")
    if not _all_are(budgets, numbers.Integral) or list(budgets) != sorted(set(budgets)):
        raise TableError(f"{where}: expected increasing budgets, got {budgets!r:.60}.")
    if not _all_are(seeds, (numbers.Integral, str)) or len(set(seeds)) < len(seeds):
        raise TableError(f"{where}: seeds: expected different numbers or names, got {seeds!r:.60}.")
    shape = (len(seeds), len(budgets))
    if values.ndim != 3 or values.shape[1:] != shape:
        raise TableError(f"{where}: expected [rows, {shape[0]} seeds, {shape[1]} budgets], got {values.shape}.")
    if values.dtype.kind != "f" or values.itemsize > 8:
        raise TableError(f"{where}: expected floating point numbers of up to 64 bits, got {values.dtype}.")
    if not len(values):
        raise TableError(f"{where}: no row.")
    if rows.size and rows.max() >= len(values):
        bad = int(np.argmax(rows >= len(values)))
        raise TableError(f"{where}: genome {bad} is in row {rows[bad]}, but there are {len(values)} rows.")
    if column.seconds is not None:
        other = table.columns.get(column.seconds) if isinstance(column.seconds, str) else None
        if other is None or other.kind != "seconds" or tuple(other.budgets) != tuple(budgets):
            raise TableError(f"{where}: no column {column.seconds!r:.60} of seconds with the same budgets.")


def _all_are(parts: Any, types: Any) -> bool:
    """Whether it is a list or tuple, of at least one, and all of `types`; a truth value is no number."""
    whole = isinstance(parts, (tuple, list)) and len(parts) > 0
    return whole and all(isinstance(part, types) and not isinstance(part, bool) for part in parts)


def save(table: Table, path: str | pathlib.Path) -> None:
    """Writes the table whole or not at all; raises `TableError` where its parts do not fit."""
    path = check.local_path("path", path)
    validate(table, path)
    described = {name: {f: getattr(c, f) for f in DESCRIBED} for name, c in table.columns.items()}
    about = {"format": FORMAT, "name": table.name, "space": table.space, "unit": table.unit, "source": table.source}
    try:
        text = json.dumps({**about, "columns": described}, default=_plain)
    except (TypeError, ValueError) as error:
        raise TableError(f"{path}: space or source: not what JSON can say ({error}).") from None
    arrays = {"about": np.array(text), "rows": table.rows, **{n: c.values for n, c in table.columns.items()}}
    if table.codes is not None:
        arrays["codes"] = table.codes
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:  # not `np.savez`, whose own arguments are no names for arrays
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__}: {value!r:.60}")


def load(path: str | pathlib.Path) -> Table:
    """Reads a table; arrays stay on disk until they are used.

    Raises:
      TableError: no such file, a truncated, damaged or foreign one.
    """
    path = check.local_path("path", path)
    arrays = read_arrays(path)
    if "about" not in arrays:
        raise TableError(f"{path}: not a table of jaxnas (no `about`). `jaxnas import_table` makes one.")
    about = _about(path, arrays.pop("about"))
    described = about["columns"]
    columns = {}
    for name, fields in described.items():
        check_name(str(path), name)
        where = f"{path}, column {name!r}"
        if not isinstance(fields, dict):
            raise TableError(f"{where}: expected a dict that describes it, got {fields!r:.60}.")
        odd = sorted(set(fields) ^ set(DESCRIBED))
        if odd:
            raise TableError(f"{where}: {odd[0]!r:.60} is {'unknown' if odd[0] in fields else 'missing'}.")
        if name not in arrays:
            raise TableError(f"{path}: array {name!r} is missing.")
        lists = {f: tuple(fields[f]) if isinstance(fields[f], list) else fields[f] for f in ("budgets", "seeds")}
        columns[name] = Column(arrays[name], **{**fields, **lists})
    if "rows" not in arrays:
        raise TableError(f"{path}: array 'rows' is missing.")
    foreign = sorted(set(arrays) - {*described, *RESERVED})
    if foreign:
        raise TableError(f"{path}: no column is called {foreign[0]!r:.60}, as an array in it is.")
    named = (about["name"], about["space"], arrays["rows"], columns, about["unit"], about["source"])
    return validate(Table(*named, arrays.get("codes")), path)


def _about(path: pathlib.Path, array: np.ndarray) -> dict[str, Any]:
    """What the text `about` says, a dict with the parts that `save` writes."""
    if array.dtype.kind != "U" or array.shape != ():
        raise TableError(f"{path}: `about`: expected a text, got {array.dtype} {array.shape}.")
    try:
        about = json.loads(str(array[()]))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: `about` is not JSON ({error}).") from None
    if not isinstance(about, dict):
        raise TableError(f"{path}: `about`: expected a dict, got {about!r:.60}.")
    if about.get("format") != FORMAT:
        raise TableError(f"{path}: expected format {FORMAT!r}, got {about.get('format')!r:.60}.")
    for part in ("name", "space", "unit", "source", "columns"):
        if part not in about:
            raise TableError(f"{path}: `about` says no {part!r}.")
    if not isinstance(about["columns"], dict):
        raise TableError(f"{path}: columns: expected a dict, got {about['columns']!r:.60}.")
    return about


def is_table(path: str | pathlib.Path) -> bool:
    """Whether the `.npz` was written by `save`; raises `TableError` where it is none at all."""
    with _opened(check.local_path("path", path)) as archive:
        return "about.npy" in archive.namelist()


def embedded(name: str) -> pathlib.Path:
    """Path of a table that comes with the library; raises `InputError` listing them for an unknown name."""
    folder = pathlib.Path(__file__).parent / "embedded"
    check.one_of("table", name, sorted(file.stem for file in folder.glob("*.npz")))
    return folder / f"{name}.npz"


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`, memory-mapped where they are stored uncompressed. Objects (pickles) are refused.

    The checksum of every array is verified.

    Raises:
      TableError: no such file, not an `.npz`, truncated, damaged, two arrays of the same name, or an array that is not
        plain numbers or text.
    """
    path = check.local_path("path", path)
    arrays: dict[str, np.ndarray] = {}
    with _opened(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in arrays:
                raise TableError(f"{path}: two arrays are called {name!r:.60}.")
            arrays[name] = _array(path, archive, info)
    return arrays


def _opened(path: pathlib.Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise TableError(f"{path}: no such file.")
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # whatever a damaged file makes the reader of archives stumble over
        raise TableError(f"{path}: not a whole .npz file ({error}).") from None


def _array(path: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    where = f"{path}, array {info.filename!r:.60}"
    try:
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(member)
            header = member.tell()
            mapped = info.compress_type == zipfile.ZIP_STORED and shape and 0 not in shape
            data = bytearray()
            size = 0
            while part := member.read(CHUNK):  # at its end the checksum is verified, whether it is mapped or not
                size += len(part)
                if not mapped:
                    data += part
        if dtype.hasobject:
            raise TableError(f"{where}: holds Python objects, which are never read.")
        if dtype.kind == "V":
            raise TableError(f"{where}: holds {dtype}, neither numbers nor text.")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            raise TableError(f"{where}: says it is {dtype} {shape}, and has {size} bytes.")
        order = "F" if fortran else "C"
        if not mapped:
            return np.ndarray(shape, dtype, data, order=order)
        with path.open("rb") as file:  # the local header repeats the name and may carry another extra field
            file.seek(info.header_offset + 26)
            name, extra = np.frombuffer(file.read(4), "<u2").tolist()
        return np.memmap(path, dtype, "r", info.header_offset + 30 + name + extra + header, shape, order)
    except TableError:
        raise
    except Exception as error:  # whatever damaged bytes make the readers of archives and arrays stumble over
        raise TableError(f"{where}: damaged ({error}).") from None
