"""Cost columns of one table added to another."""

import json

import numpy as np

from jaxnas.check import InputError
from jaxnas.tables.table import Table


def with_costs(table: Table, other: Table, path: str) -> Table:
    """The table with the cost columns of another of the same space, by architecture; `path` is its file, for messages.

    Raises:
      InputError: another space, no cost column, one that is there already or says nothing of these architectures.
    """
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


def _places_in(other: Table, table: Table, where: str) -> np.ndarray:
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
