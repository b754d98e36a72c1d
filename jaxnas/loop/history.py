"""The history of a search: every evaluation, as columns of arrays and as a sequence of dicts."""

import bisect
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import jax
import numpy as np

from jaxnas.loop.rows import genome_leaves, lines_of
from jaxnas.types import Genome, Space

BATCH = 1024
"""Evaluations that become dicts at a time."""


class History(Sequence):
    """Every recorded evaluation, in order: a sequence of dicts, which `pandas.DataFrame(history)` takes.

    Its lines have the fields `rows.RESERVED` (`cost` a dict by name, `genome` None where the string is all of it,
    `curvature` and `overflow` where there are any), what the strategy records, and the metrics; None is no finite
    number. `seconds` is the evaluation's share of the time that its round took to evaluate, or that a call of several
    rounds took (see `search`). Lines are made when they are asked for; `column` and `genomes` are arrays.
    """

    def __init__(self, space: Space, blocks: Sequence[np.ndarray] = ()):
        self._space = space
        self._blocks: list[np.ndarray] = []
        self._strings: dict[bytes, str] = {}
        self._length = 0
        for block in blocks:
            self.append(block)

    def append(self, rows: np.ndarray) -> None:
        """Adds evaluations, as `rows.rows_of` makes them."""
        if len(rows):
            self._blocks.append(rows)
            self._length += len(rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(dict.fromkeys(name for block in self._merged() for name in block.dtype.names))

    @property
    def genomes(self) -> Genome:
        """All genomes, each leaf `[N, ...]`."""
        return self._structure.unflatten(genome_leaves(self.column("genome")))

    def column(self, name: str) -> np.ndarray:
        """`[N, ...]` one field of all evaluations; NaN, False or "" for those that have no such field.

        Raises:
          KeyError: no evaluation has it.
        """
        blocks = self._merged()
        having = [block[name] for block in blocks if name in block.dtype.names]
        if not having:
            raise KeyError(name)
        if len(having) == len(blocks):
            return having[0] if len(blocks) == 1 else np.concatenate(having)
        kind = np.result_type(*having) if having[0].dtype.kind not in "iu" else np.dtype(np.float64)
        fill = np.full(having[0].shape[1:], np.nan if kind.kind == "f" else np.zeros((), kind)[()], kind)
        absent = lambda block: np.broadcast_to(fill, (len(block), *fill.shape))
        return np.concatenate([block[name] if name in block.dtype.names else absent(block) for block in blocks])

    def same(self, genome: Genome) -> np.ndarray:
        """`[N]` bool, evaluations of exactly this genome."""
        equal = np.ones(len(self), bool)
        leaves = genome_leaves(self.column("genome")) if self else []
        for column, leaf in zip(leaves, jax.tree.leaves(genome), strict=bool(self)):
            if column.size:
                bits = np.ascontiguousarray(column).reshape(len(self), -1).view(np.uint8)
                equal &= (bits == np.asarray(leaf, column.dtype).reshape(-1).view(np.uint8)).all(1)
        return equal

    def lines_of(self, rows: np.ndarray) -> list[dict]:
        """The lines that these rows are."""
        return lines_of(self._space, self._structure, rows, self._strings)

    def since(self, number: int) -> list[np.ndarray]:
        """The rows from that number on."""
        blocks, starts = self._merged(), accumulate(map(len, self._merged()), initial=0)
        parts = (block[max(number - start, 0) :] for block, start in zip(blocks, starts, strict=False))
        return [part for part in parts if len(part)]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        blocks, index = self._merged(), index % len(self)
        ends = list(accumulate(map(len, blocks)))
        which = bisect.bisect_right(ends, index)
        at = index - ends[which] + len(blocks[which])
        return self.lines_of(blocks[which][at : at + 1])[0]

    def __iter__(self) -> Iterator[dict]:
        for block in self._merged():
            for at in range(0, len(block), BATCH):
                yield from self.lines_of(block[at : at + BATCH])

    def __repr__(self) -> str:
        return f"<History of {len(self)} evaluations>"

    @cached_property
    def _structure(self) -> Any:
        return jax.tree.structure(jax.eval_shape(self._space.sample, jax.random.key(0)))

    def _merged(self) -> list[np.ndarray]:
        self._blocks = merged(self._blocks)
        return self._blocks


def merged(blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same rows in as few arrays as their columns allow."""
    runs: list[list[np.ndarray]] = []
    for block in blocks:
        if runs and runs[-1][0].dtype == block.dtype:
            runs[-1].append(block)
        else:
            runs.append([block])
    return [np.concatenate(run) if len(run) > 1 else run[0] for run in runs]
