"""A user's own CSV: a line for each measured architecture, columns for decisions and columns for metrics."""

import csv
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces import categorical
from jaxnas.tables.table import Column, Table, TableError

SEED, BUDGET = "seed", "budget"
"""Columns of these names, where they are neither decisions nor metrics, tell repeated lines apart."""


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

    Options are whole numbers, numbers, `true`/`false` or text, whichever fits all of a column; numbers are sorted, text
    stays in the order of first appearance. Combinations that no line has stay unmeasured.

    Args:
      path: CSV with a header.
      decisions: names of decision columns; all that nothing else claims where not given.
      metrics: names of metric columns; all that nothing else claims where `decisions` is given and this is not.
      costs: metric columns that are costs.
      minimize: metric columns of which less is better; costs are so anyway.
      unit: of the budgets, where there is a column `budget`.

    Raises:
      TableError: a damaged file, a repeated architecture, an empty or non-finite cell, by path and line.
      InputError: columns that the file does not have, or none left for one of the two kinds.
    """
    path = pathlib.Path(path)
    header, lines = _lines(path)
    for argument, names in {"decisions": decisions, "metrics": metrics, "costs": costs, "minimize": minimize}.items():
        for name in names:
            check.one_of(argument, name, header)
    metrics = [*metrics, *(name for name in costs if name not in metrics)]
    both = sorted(set(decisions) & set(metrics))
    if both:
        raise InputError(f"decisions: {', '.join(both)} cannot be both a decision and a metric.")
    if not decisions and not metrics:
        raise InputError(f"decisions: say which columns of {path} are decisions, or which are metrics: {header}.")
    special = [name for name in (SEED, BUDGET) if name in header and name not in (*decisions, *metrics)]
    rest = [name for name in header if name not in (*decisions, *metrics, *special)]
    decisions = list(decisions) or rest
    if set(metrics) <= set(costs):
        metrics = [*(name for name in rest if name not in decisions), *metrics]
    if not decisions or not metrics:
        raise InputError(f"{path}: no column is left for {'metrics' if decisions else 'decisions'} out of {header}.")

    cells = {name: [line[header.index(name)] for _, line in lines] for name in header}
    options, codes = {}, []
    for name in decisions:
        values = _options(cells[name])
        options[name] = sorted(set(values)) if not isinstance(values[0], str) else list(dict.fromkeys(values))
        if len(options[name]) < 2:
            raise TableError(
                f"{path}, column {name!r}: every line says {options[name][0]!r}; a decision has at least two options. "
                "Leave the column out."
            )
        codes.append([options[name].index(value) for value in values])
    space = categorical(options)
    if space.index is None:
        raise TableError(f"{path}: {space.size} combinations are more than a table can hold.")
    genomes = np.array(codes, np.int32).T
    index = np.asarray(space.index(genomes))

    seeds, budgets = (
        [_number(path, line, name, text, whole=True) for (line, _), text in zip(lines, cells[name], strict=True)]
        if name in special
        else [0] * len(lines)
        for name in (SEED, BUDGET)
    )
    known_seeds, known_budgets = sorted(set(seeds)), sorted(set(budgets))
    measured = {genome: place for place, genome in enumerate(dict.fromkeys(index.tolist()))}
    values = np.full((len(metrics), len(measured), len(known_seeds), len(known_budgets)), np.nan, np.float32)
    first: dict[tuple, int] = {}
    for k, (line, _) in enumerate(lines):
        at = (measured[int(index[k])], known_seeds.index(seeds[k]), known_budgets.index(budgets[k]))
        if at in first:
            hint = "" if SEED in special else f" Repeated measurements need a column {SEED!r}."
            raise TableError(f"{path}: line {line} is the same architecture as line {first[at]}.{hint}")
        first[at] = line
        for m, name in enumerate(metrics):
            values[m, *at] = _number(path, line, name, cells[name][k])

    rows = np.full(space.size, -1, np.int32)
    rows[list(measured)] = list(measured.values())
    columns = {
        name: Column(
            values[m],
            f"column {name!r} of {path.name}",
            "cost" if name in costs else "metric",
            tuple(known_budgets),
            tuple(known_seeds),
            higher_is_better=name not in (*costs, *minimize),
        )
        for m, name in enumerate(metrics)
    }
    config: dict[str, Any] = {"name": "categorical", "decisions": options}
    return Table(path.stem, config, rows, columns, unit, {"file": path.name})


def _lines(path: pathlib.Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and (line number, cells) of every line."""
    if not path.is_file():
        raise TableError(f"{path}: no such file.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            numbered = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if any(cells)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise TableError(f"{path}: not a CSV ({error}).") from None
    if len(numbered) < 2:
        raise TableError(f"{path}: expected a header and a line for each architecture, got {len(numbered)} lines.")
    header = numbered[0][1]
    if len(set(header)) < len(header) or not all(header):
        raise TableError(f"{path}: expected different names in the header, got {header}.")
    for line, cells in numbered[1:]:
        if len(cells) != len(header):
            raise TableError(f"{path}: line {line} has {len(cells)} cells, the header {len(header)}.")
        if "" in cells:
            raise TableError(f"{path}: line {line}, column {header[cells.index('')]!r} is empty.")
    return header, numbered[1:]


def _options(texts: list[str]) -> list[Any]:
    """The cells as whole numbers, numbers, truth values or text, whichever fits all."""
    if {text.lower() for text in texts} <= {"true", "false"}:
        return [text.lower() == "true" for text in texts]
    for kind in (int, float):
        try:
            values = [kind(text) for text in texts]
        except ValueError:
            continue
        if all(map(math.isfinite, values)):
            return values
    return texts


def _number(path: pathlib.Path, line: int, name: str, text: str, whole: bool = False) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TableError(f"{path}: line {line}, column {name!r}: expected a {'whole ' * whole}number, got {text!r}.")
    return value
