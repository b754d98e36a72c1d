"""A user's own CSV: a line for each measured architecture, columns for decisions and columns for metrics."""

import csv
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import categorical
from jaxnas.tables.table import Column, Table, TableError, check_name, shortened, validate

SEED, BUDGET = "seed", "budget"
"""Columns of these names, where they are neither decisions nor metrics, tell repeated lines apart."""
TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
FAILED = re.compile(r"|[+-]?(nan|inf|infinity)", re.IGNORECASE)
"""What a metric cell says of a training that gave none: nothing, or no finite number."""
MOST = 10**8
"""Combinations, and numbers of a column: all are laid out, measured or not."""


def read(
    path: str | pathlib.Path,
    *,
    decisions: Sequence[str] = (),
    metrics: Sequence[str] = (),
    costs: Sequence[str] = (),
    minimize: Sequence[str] = (),
    unit: str = "epochs",
) -> Table:
    """Reads the file; the space is made of the options that appear in it.

    Options are whole numbers, numbers, `true`/`false` or text, whichever fits all of a column. They are numbers only
    where these print as the file has them: `007`, `1e3` or `0.50` make a column of text. Numbers are sorted, text stays
    in the order of first appearance. Combinations that no line has stay unmeasured.

    A metric cell that is empty, NaN or infinite is a failed evaluation: NaN in the table. So is -1 in a cost, or in a
    column of `minimize` that has no other negative number: an unknown cost by custom. Columns are float32 where that
    prints every number as the file has it, float64 otherwise.

    Args:
      path: CSV with a header.
      decisions: names of decision columns; all that nothing else claims where not given.
      metrics: names of metric columns; all that nothing else claims where `decisions` is given and this is not.
      costs: metric columns that are costs.
      minimize: metric columns of which less is better; costs are so anyway.
      unit: of the budgets, where there is a column `budget`.

    Raises:
      TableError: a damaged file, a repeated architecture, an empty decision, a metric that is no number, a negative
        cost, by path and line; a metric of which nothing is known.
      InputError: columns that the file does not have, or none left for one of the two kinds.
    """
    path = check.local_path("path", path)
    (top, header), *lines = _lines(path)
    for argument, names in {"decisions": decisions, "metrics": metrics, "costs": costs, "minimize": minimize}.items():
        for name in names:
            check.one_of(argument, name, header)
    decisions, metrics = list(dict.fromkeys(decisions)), list(dict.fromkeys([*metrics, *costs]))
    both = sorted(set(decisions) & set(metrics))
    if both:
        raise InputError(f"decisions: {', '.join(both)} cannot be both a decision and a metric.")
    if not decisions and not metrics:
        raise InputError(f"decisions: say which columns of {path} are decisions, or which are metrics: {header}.")
    special = [name for name in (SEED, BUDGET) if name in header and name not in (*decisions, *metrics)]
    rest = [name for name in header if name not in (*decisions, *metrics, *special)]
    decisions = decisions or rest
    if set(metrics) <= set(costs):
        metrics = [*(name for name in rest if name not in decisions), *metrics]
    if not decisions or not metrics:
        raise InputError(f"{path}: no column is left for {'metrics' if decisions else 'decisions'} out of {header}.")
    for name in minimize:
        check.one_of("minimize", name, metrics)
    for name in metrics:
        check_name(f"{path}: line {top}", name)

    cells = {name: [(line, texts[k]) for line, texts in lines] for k, name in enumerate(header)}
    options, codes = {}, []
    for name in decisions:
        for line, text in cells[name]:
            if not text:
                raise TableError(f"{path}: line {line}, column {name!r} is empty; a decision says something.")
        values = _options([text for _, text in cells[name]])
        options[name] = list(dict.fromkeys(values)) if isinstance(values[0], str) else sorted(set(values))
        if len(options[name]) < 2:
            raise TableError(
                f"{path}, column {name!r}: every line says {options[name][0]!r}; a decision has at least two options. "
                "Leave the column out."
            )
        place = {option: k for k, option in enumerate(options[name])}
        codes.append([place[value] for value in values])
    space = categorical(options)
    if space.size > MOST:
        raise TableError(f"{path}: {space.size} combinations are more than a table can hold.")
    genomes = np.array(codes, np.int32).T
    index = np.asarray(space.index(genomes))

    seeds, budgets = (
        [_whole(path, line, name, text) for line, text in cells[name]] if name in special else [0] * len(lines)
        for name in (SEED, BUDGET)
    )
    known_seeds, known_budgets = ({n: k for k, n in enumerate(sorted(set(given)))} for given in (seeds, budgets))
    measured = {genome: place for place, genome in enumerate(dict.fromkeys(index.tolist()))}
    places, first = [], {}
    for k, (line, _) in enumerate(lines):
        at = (measured[int(index[k])], known_seeds[seeds[k]], known_budgets[budgets[k]])
        if at in first:
            hint = "" if SEED in special else f" Repeated measurements need a column {SEED!r}."
            raise TableError(f"{path}: line {line} is the same architecture as line {first[at]}.{hint}")
        first[at] = line
        places.append(at)
    shape = (len(measured), len(known_seeds), len(known_budgets))
    if math.prod(shape) > MOST:
        raise TableError(f"{path}: {' x '.join(map(str, shape))} architectures, seeds and budgets are more than fit.")

    rows = np.full(space.size, -1, np.int32)
    rows[list(measured)] = list(measured.values())
    columns = {}
    for name in metrics:
        numbers = _numbers(path, name, cells[name], "cost" if name in costs else "minimize" if name in minimize else "")
        values = np.full(shape, np.nan, numbers.dtype)
        values[tuple(np.transpose(places))] = numbers
        columns[name] = Column(
            values,
            f"column {name!r} of {path.name}",
            "cost" if name in costs else "metric",
            tuple(known_budgets),
            tuple(known_seeds),
            higher_is_better=name not in (*costs, *minimize),
        )
    config: dict[str, Any] = {"name": "categorical", "decisions": options}
    return validate(Table(path.stem, config, rows, columns, unit, {"file": path.name}), path)


def _lines(path: pathlib.Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line, the header first; lines without a word are left out."""
    if not path.is_file():
        raise TableError(f"{path}: no such file.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            numbered = [(reader.line_num, [c.strip() for c in cells]) for cells in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise TableError(f"{path}: not a CSV ({error}).") from None
    numbered = [(line, cells) for line, cells in numbered if any(cells)]
    if len(numbered) < 2:
        raise TableError(f"{path}: expected a header and a line for each architecture, got {len(numbered)} lines.")
    header = numbered[0][1]
    if len(set(header)) < len(header) or not all(header):
        raise TableError(f"{path}: expected different names in the header, got {header}.")
    for line, cells in numbered[1:]:
        if len(cells) != len(header):
            raise TableError(f"{path}: line {line} has {len(cells)} cells, the header {len(header)}.")
    return numbered


def _options(texts: list[str]) -> list[Any]:
    """The cells as truth values, whole numbers, numbers or text, whichever fits all."""
    if set(texts) <= TRUTH.keys():
        return [TRUTH[text] for text in texts]
    for kind in (_as_int, _as_float):
        values = {text: kind(text) for text in set(texts)}
        if None not in values.values() and len(set(values.values())) == len(values):
            return [values[text] for text in texts]
    return texts


def _as_int(text: str) -> int | None:
    """The whole number that prints as `text`; None where there is none."""
    return int(text) if WHOLE.fullmatch(text) and str(int(text)) == text else None


def _as_float(text: str) -> float | None:
    """The number that prints as `text`, or equals the whole number that does; None where there is none."""
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) and (str(value) == text or _as_int(text) == value) else None


def _whole(path: pathlib.Path, line: int, name: str, text: str) -> int:
    if not WHOLE.fullmatch(text) or (name == BUDGET and int(text) < 0):
        least = " of at least 0" * (name == BUDGET)
        raise TableError(f"{path}: line {line}, column {name!r}: expected a whole number{least}, got {text!r:.60}.")
    return int(text)


def _numbers(path: pathlib.Path, name: str, cells: list[tuple[int, str]], lowered: str) -> np.ndarray:
    """`[lines]` a metric's cells, NaN for failed and unknown ones; `lowered` is "cost", "minimize" or ""."""
    values = np.full(len(cells), np.nan)
    for k, (line, text) in enumerate(cells):
        if FAILED.fullmatch(text):
            continue
        if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise TableError(f"{path}: line {line}, column {name!r}: expected a number, got {text!r:.60}.")
        values[k] = float(text)
    negative = np.flatnonzero((values < 0) & (values != -1))
    if lowered == "cost" and negative.size:
        line, text = cells[negative[0]]
        raise TableError(f"{path}: line {line}, column {name!r}: expected a cost, or -1 for unknown, got {text}.")
    if lowered and not negative.size:
        values[values == -1] = np.nan
    if np.isnan(values).all():
        raise TableError(f"{path}, column {name!r}: no line has a number; there is nothing to go by.")
    return shortened(values)
