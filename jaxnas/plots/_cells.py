"""Cells as boxes in layers: blocks of operations (NASNet, DARTS), or a vertex each (NAS-Bench-101)."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.plots._figure import COLORS, INK, MUTED, matplotlib
from jaxnas.plots._layout import Arrow, layout

WIDTH = 1.9
"""Distance of two layers, of which a box takes `BOX`: in the rest arrows go up and down."""
BOX = 1.1
ROW = 0.34
"""Height of an operation in its box."""


class Cell(NamedTuple):
    """What is drawn.

    Attributes:
      rows: of each box its lines; one without operations (an input, the output) is dark.
      ends: which boxes are inputs or the output.
      arrows: source box, target box, row that it enters (None for the middle), and color (None for a dashed gray).
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
    colors = _colors(itertools.chain(*labels))
    used = set(itertools.chain(*pairs))
    output = count + 2
    arrows = [
        (source, i + 2, row, colors[labels[i][row]]) for i, pair in enumerate(pairs) for row, source in enumerate(pair)
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
    colors = _colors(labels[v] for v in alive if v in labels)
    rows = [(labels.get(v, "in" if v == 0 else "out"),) for v in alive]
    arrows = [
        (number[i], number[j], None, colors.get(labels.get(j), MUTED))
        for i, j in edges
        if {i, j} <= set(alive) and before & {last}
    ]
    return Cell(rows, {0, len(alive) - 1}, arrows)


def _colors(labels) -> dict[str, str]:
    return dict(zip(sorted(set(labels)), itertools.cycle(COLORS), strict=False))


def draw_cell(axes, cell: Cell) -> tuple[float, float]:
    """Draws the cell from left to right by depth; its width and height, in inches for text to fit the boxes."""
    depth = _depth(cell)
    arrows = [Arrow(source, target, _port(cell, target, row)) for source, target, row, _ in cell.arrows]
    tall = ROW * max(map(len, cell.rows))
    place = layout(depth, arrows, box=tall + 0.35, lane=0.22) if arrows else None
    y = place.boxes if place else [0.0] * len(depth)
    for arrow, (*_, color), lanes in zip(arrows, cell.arrows, place.lanes if place else [], strict=True):
        start = WIDTH * depth[arrow.source] + BOX / 2, y[arrow.source]
        stop = WIDTH * depth[arrow.target] - BOX / 2, y[arrow.target] + arrow.port
        between = [(WIDTH * (depth[arrow.source] + 1 + n), height) for n, height in enumerate(lanes)]
        _draw_arrow(axes, start, between, stop, color)
    for i, rows in enumerate(cell.rows):
        _draw_box(axes, WIDTH * depth[i], y[i], rows, dark=i in cell.ends, colors=_colors_of(cell))
    lanes = [height for lane in (place.lanes if place else []) for height in lane]
    heights = [value + sign * tall / 2 for value in y for sign in (-1, 1)] + lanes
    axes.set_xlim(-BOX / 2 - 0.1, WIDTH * max(depth) + BOX / 2 + 0.1)
    axes.set_ylim(min(heights) - 0.15, max(heights) + 0.15)
    axes.set_aspect("equal")
    axes.axis("off")
    return tuple(float(np.ptp(ends)) for ends in (axes.get_xlim(), axes.get_ylim()))


def _depth(cell: Cell) -> list[int]:
    """The layer of each box: one more than the deepest that it takes; the output is alone in the last."""
    depth = [0] * len(cell.rows)
    for source, target, *_ in sorted(cell.arrows, key=lambda arrow: arrow[1]):
        depth[target] = max(depth[target], depth[source] + 1)
    depth[-1] = max(depth[-1], 1 + max(depth[:-1]))
    return depth


def _port(cell: Cell, target: int, row: int | None) -> float:
    return 0.0 if row is None else ROW * ((len(cell.rows[target]) - 1) / 2 - row)


def _colors_of(cell: Cell) -> dict[str, str]:
    return _colors(label for i, rows in enumerate(cell.rows) if i not in cell.ends for label in rows)


def _draw_arrow(axes, start, lanes, stop, color: str | None) -> None:
    """Level past every box, and up or down between the layers."""
    path, patches = matplotlib("path").Path, matplotlib("patches")
    stops = [start, *((x + side * BOX / 2, height) for x, height in lanes for side in (-1, 1)), stop]
    points, codes = [stops[0]], [path.MOVETO]
    for (x0, y0), (x1, y1) in zip(stops[:-1:2], stops[1::2], strict=True):
        if points[-1] != (x0, y0):
            points, codes = [*points, (x0, y0)], [*codes, path.LINETO]
        middle = (x0 + x1) / 2
        points += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [path.CURVE4] * 3
    style = dict(color=color, linewidth=1.6) if color else dict(color=MUTED, linewidth=1, linestyle="--")
    arrow = patches.FancyArrowPatch(
        path=path(np.array(points), codes),
        arrowstyle="-|>",
        mutation_scale=11,
        shrinkA=0,
        shrinkB=0,
        fill=False,
        **style,
    )
    axes.add_patch(arrow)


def _draw_box(axes, x: float, y: float, rows: Sequence[str], *, dark: bool, colors: Mapping[str, str]) -> None:
    height = ROW * len(rows)
    box = matplotlib("patches").FancyBboxPatch(
        (x - BOX / 2, y - height / 2), BOX, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3,
        facecolor=INK if dark else "white", edgecolor=INK if dark else MUTED,
    )  # fmt: skip
    axes.add_patch(box)
    for row, label in enumerate(rows):
        center = y + ROW * ((len(rows) - 1) / 2 - row)
        color = "white" if dark else colors[label]
        axes.text(x, center, label, ha="center", va="center", fontsize=7.5, color=color, zorder=4)
