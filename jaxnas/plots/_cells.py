"""Cells as graphs of boxes: blocks of two operations (NASNet, DARTS), or an operation each (NAS-Bench-101)."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """What is drawn.

    Attributes:
      rows: of each box its lines; one without operations (an input, the output) is dark.
      ends: which boxes are inputs or the output.
      arrows: source box, target box, row that it enters (None for the middle), and the operation that is applied to
        what it brings (None for none).
    """

    rows: list[tuple[str, ...]]
    ends: set[int]
    arrows: list[tuple[int, int, int | None, str | None]]


def blocks(chosen: Mapping[str, str], *, whole: bool) -> Cell:
    """A cell of blocks of two operations, `{"0_a_input": "1", "0_a_op": "identity", …}`.

    All blocks make the output where `whole`, else those that no other uses.
    """
    count = len(chosen) // 4
    pairs = [[int(chosen[f"{i}_{side}_input"]) for side in "ab"] for i in range(count)]
    labels = [tuple(chosen[f"{i}_{side}_op"] for side in "ab") for i in range(count)]
    used = set(itertools.chain(*pairs))
    output = count + 2
    arrows: list = [
        (source, i + 2, row, labels[i][row]) for i, pair in enumerate(pairs) for row, source in enumerate(pair)
    ]
    arrows += [(i, output, None, None) for i in range(2, output) if whole or i not in used]
    return Cell([("before last",), ("last",), *labels, ("concat",)], {0, 1, output}, arrows)


def slots(chosen: Mapping[str, str]) -> dict[str, str]:
    """Cells of nodes that keep two edges each (`normal_0->2`), as blocks of two operations."""
    found, kept = {}, {}
    for name, op in chosen.items():
        cell, j, i = re.fullmatch(r"(\w+)_(\d+)->(\d+)", name).groups()
        if op != "none":
            side = "ab"[kept.setdefault((cell, i), 0)]
            kept[cell, i] += 1
            found |= {f"{cell}_{int(i) - 2}_{side}_input": j, f"{cell}_{int(i) - 2}_{side}_op": op}
    return found


def vertices(edges: Sequence[tuple[int, int]], labels: Mapping[int, str], last: int) -> Cell:
    """A graph whose vertices are operations: those of `labels` that lie on a path from 0 to `last`."""
    before, after = {0}, {last}
    for _ in range(last):
        before |= {j for i, j in edges if i in before}
        after |= {i for i, j in edges if j in after}
    alive = sorted((before & after) | {0, last})
    number = {vertex: n for n, vertex in enumerate(alive)}
    rows = [(labels.get(v, "in" if v == 0 else "out"),) for v in alive]
    arrows = [(number[i], number[j], None, labels.get(j)) for i, j in edges if {i, j} <= set(alive) and before & {last}]
    return Cell(rows, {0, len(alive) - 1}, arrows)


def depths(cell: Cell) -> list[int]:
    """The layer of each box: one more than the deepest that it takes; the output is alone in the last."""
    depth = [0] * len(cell.rows)
    for source, target, *_ in sorted(cell.arrows, key=lambda arrow: arrow[1]):
        depth[target] = max(depth[target], depth[source] + 1)
    depth[-1] = max(depth[-1], 1 + max(depth[:-1]))
    return depth
