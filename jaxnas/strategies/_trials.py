"""Evaluations made before: of an earlier search, or a file."""

import csv
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.types import Genome, Space

ARCHITECTURE, FITNESS = "architecture", "fitness"


class Trials(NamedTuple):
    """N evaluations, in order.

    Attributes:
      genomes: each leaf `[N, ...]`.
      fitness: `[N]`.
      cost: `[N, K]`.
    """

    genomes: Genome
    fitness: np.ndarray
    cost: np.ndarray


def trials_of(
    space: Space, source: str | os.PathLike | Iterable[Mapping[str, Any]], costs: Sequence[str] = ()
) -> Trials:
    """Evaluations that gave a fitness: of the last phase, where there are several, and there those without a budget of
    their own, or else of the largest; none of mixtures.

    Args:
      space: of their architectures.
      source: the folder of a search; a CSV file with columns `architecture`, `fitness` and one for each cost, perhaps
        also `budget`, `valid`, `relaxed` and `phase`; or rows like these, as a search's `history` has them.
      costs: names of the costs to be read.

    Raises:
      InputError: nothing there; a row, by its number, that lacks what is needed or has an architecture that is not of
        the space.
    """
    rows = _rows(source) if isinstance(source, (str, os.PathLike)) else list(source)
    phases = [_number(i, "phase", row.get("phase") or 0) for i, row in enumerate(rows, 1)]
    budgets = [_number(i, "budget", row.get("budget") or 0) for i, row in enumerate(rows, 1)]
    last = max(phases, default=0)
    of_last = [budget for phase, budget in zip(phases, budgets, strict=True) if phase == last]
    counting = 0 if 0 in of_last else max(of_last, default=0)  # without one of its own, an evaluation is whole
    kept = []
    for number, row in enumerate(rows, 1):
        for name in (ARCHITECTURE, FITNESS):
            if name not in row:
                raise InputError(f"trials: row {number} has no {name!r}; it has {', '.join(map(str, row))}.")
        fitness = _number(number, FITNESS, row[FITNESS])
        counts = phases[number - 1] == last and budgets[number - 1] == counting
        valid = row.get("valid") is None or _truth(number, "valid", row["valid"])
        whole = valid and not _truth(number, "relaxed", row.get("relaxed"))
        if not (counts and whole and math.isfinite(fitness)):
            continue
        known = {**row, **(row.get("cost") or {})}
        for name in costs:
            if name not in known:
                raise InputError(f"trials: row {number} has no cost {name!r}.")
        try:
            genome = space.from_string(row[ARCHITECTURE])
        except InputError as error:
            raise InputError(f"trials: row {number}: {error}") from error
        kept.append((genome, fitness, [_number(number, name, known[name]) for name in costs]))
    if not kept:
        raise InputError(f"trials: none of {len(rows)} rows has a fitness to learn from.")
    genomes, fitness, cost = zip(*kept, strict=True)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *genomes)
    return Trials(stacked, np.array(fitness, np.float32), np.array(cost, np.float32).reshape(len(kept), -1))


def _rows(source: str | os.PathLike) -> list[Mapping[str, Any]]:
    path = check.local_path("trials", source)
    if path.is_dir():
        path = path / "history.jsonl"
    if not path.is_file():
        raise InputError(f"trials: {path} is not there; expected the folder of a search, or a CSV file.")
    try:
        return _read(path)
    except (ValueError, csv.Error) as error:
        raise InputError(f"trials: {path} cannot be read ({error}).") from error


def _read(path: pathlib.Path) -> list[Mapping[str, Any]]:
    with path.open(newline="") as file:
        return [json.loads(line) for line in file] if path.suffix == ".jsonl" else list(csv.DictReader(file))


def _truth(row: int, name: str, value: Any) -> bool:
    """Of a truth value, or its text in a CSV file."""
    texts = {"true": True, "1": True, "false": False, "0": False}
    value = texts.get(value.strip().lower(), value or name == "valid") if isinstance(value, str) else bool(value)
    if isinstance(value, str):
        raise InputError(f"trials: row {row}: expected true or false for {name!r}, got {value!r}.")
    return value


def _number(row: int, name: str, value: Any) -> float:
    try:
        return math.nan if value in (None, "") else float(value)
    except (TypeError, ValueError):
        raise InputError(f"trials: row {row}: expected a number for {name!r}, got {value!r}.") from None
