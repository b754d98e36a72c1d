"""Evaluations as rows of a NumPy structured array, a field for each column, and those rows as lines of JSON.

A search appends rows; strings of architectures and Python numbers are made when lines are asked for.
"""

from typing import Any

import jax
import numpy as np

from jaxnas.types import Evaluator, Feedback, Genome, Proposal, Space, Strategy

RESERVED = (
    *("id", "parent", "round", "phase", "genome", "architecture", "fitness", "cost", "valid", "relaxed", "budget"),
    *("seconds", "curvature", "overflow"),
)
"""Fields that a line of the history has itself."""
MEMORY = 2**26
"""Bytes of genomes whose strings are remembered while lines are made."""


def rows_of(
    space: Space,
    strategy: Strategy,
    evaluator: Evaluator,
    proposal: Proposal,
    feedback: Feedback,
    *,
    first: int,
    phase: int,
    seconds: float,
) -> np.ndarray:
    """The active members of several rounds, in order, as rows.

    Args:
      space: see `search`, as `strategy` and `evaluator`.
      proposal: NumPy leaves `[rounds, P, ...]`, as those of `feedback`.
      feedback: what came back.
      first: number of the first of the rounds.
      phase: which phase they are of.
      seconds: what evaluation took, of which each row gets the same share.
    """
    at = np.nonzero(proposal.active)
    taken = lambda leaf: leaf[at]
    n, columns, genomes = len(at[0]), {}, jax.tree.map(taken, proposal.genome)
    columns["id"], columns["parent"] = taken(proposal.id), taken(proposal.parent)
    columns["round"], columns["phase"] = (first + at[0]).astype(np.int32), np.full(n, phase, np.int32)
    columns["genome"], columns["fitness"] = _genome_column(genomes), taken(feedback.fitness)
    if evaluator.cost_names:
        columns["cost"] = _packed(dict(zip(evaluator.cost_names, taken(feedback.cost).T, strict=True)))
    columns["valid"], columns["relaxed"] = taken(feedback.valid), np.full(n, proposal.weights is not None)
    columns["budget"], columns["seconds"] = taken(proposal.budget), np.full(n, seconds / max(n, 1))
    if feedback.curvature is not None:
        columns["curvature"] = taken(feedback.curvature)
    if space.overflow is not None:
        columns["overflow"] = _of_each(space.overflow, genomes, n)
    columns |= {name: taken(proposal.extra[name]) for name in strategy.recorded}
    return _packed(columns | {name: taken(metric) for name, metric in feedback.metrics.items()})


def lines_of(space: Space, structure: Any, rows: np.ndarray, strings: dict[bytes, str]) -> list[dict]:
    """A dict for each of the rows.

    Args:
      space: for `to_string`.
      structure: the genomes' tree structure.
      rows: `[N]`.
      strings: is filled with those of genomes that may come again.
    """
    columns = {}
    for name in rows.dtype.names:
        whole = name == "genome" and rows.dtype[name].names  # of several leaves the string is all that is said
        columns[name] = [None] * len(rows) if whole else plain_column(rows[name])
        if name == "genome":
            columns["architecture"] = _architectures(space, structure, rows["genome"], strings)
        if name == "fitness" and "cost" not in rows.dtype.names:
            columns["cost"] = [{} for _ in rows]
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    for name in rows.dtype.names:
        if rows.dtype[name].kind == "U":  # an empty text is no message of that member
            for line in lines:
                if not line[name]:
                    del line[name]
    return lines


def plain_column(column: np.ndarray) -> list:
    """What JSON has for each row: numbers, nested lists, text, None for what is not finite, a dict for named fields."""
    if column.dtype.names:
        parts = [plain_column(column[name]) for name in column.dtype.names]
        return [dict(zip(column.dtype.names, values, strict=True)) for values in zip(*parts, strict=True)]
    column = _storable(column)
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        return np.where(np.isfinite(column), column.astype(object), None).tolist()
    return column.tolist()


def plain(tree: Any) -> Any:
    """A pytree of arrays as JSON has them: as `plain_column`, a dict by path for a pytree of several."""
    if isinstance(tree, (np.ndarray, np.generic)):
        return plain_column(np.asarray(tree)[None])[0]
    return {_field(path): plain(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def genome_leaves(column: np.ndarray) -> list[np.ndarray]:
    """The leaves `[N, ...]` of the genomes in that column."""
    return [column[name] for name in column.dtype.names] if column.dtype.names else [column]


def _field(path) -> str:
    return jax.tree_util.keystr(path).lstrip(".")


def _genome_column(genomes: Genome) -> np.ndarray:
    """Arrays as they are; of other genomes a field for each leaf."""
    if isinstance(genomes, np.ndarray) and genomes.ndim > 1:
        return genomes
    return _packed({_field(at) or "value": leaf for at, leaf in jax.tree_util.tree_flatten_with_path(genomes)[0]})


def _packed(columns: dict[str, np.ndarray]) -> np.ndarray:
    """`[N]` structured array with these `[N, ...]` fields."""
    columns = {name: _storable(column) for name, column in columns.items()}
    dtype = [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
    rows = np.empty(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        rows[name] = column
    return rows


def _storable(column: np.ndarray) -> np.ndarray:
    """Of a type that NumPy's files have: objects as text, bfloat16 and the like as float32."""
    if column.dtype.kind == "O":
        return column.astype(str) if column.size else column.astype("U1")
    return column.astype(np.float32) if column.dtype.kind == "V" and not column.dtype.names else column


def _of_each(fn, genomes: Genome, n: int) -> np.ndarray:
    """`[N]` int32, `fn` of each genome: of all at once where it only picks a leaf."""
    values = fn(genomes)
    if np.shape(values) != (n,):
        values = [fn(jax.tree.map(lambda leaf: leaf[i], genomes)) for i in range(n)]  # noqa: B023 used at once
    return np.asarray(values, np.int32)


def _architectures(space: Space, structure: Any, column: np.ndarray, strings: dict[bytes, str]) -> list[str]:
    made, row_bytes, leaves = [], column.nbytes // max(len(column), 1), genome_leaves(column)
    for i, genome in enumerate(column):
        key = genome.tobytes()
        string = strings.get(key)
        if string is None:
            string = space.to_string(structure.unflatten([leaf[i] for leaf in leaves]))
            if len(strings) * row_bytes < MEMORY:
                strings[key] = string
        made.append(string)
    return made
