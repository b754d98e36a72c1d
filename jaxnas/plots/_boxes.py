"""Cells drawn as boxes in layers, with arrows that go level past boxes and up or down between the layers."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.plots._cells import Cell, depths
from jaxnas.plots._figure import INK, MUTED, SMALL, matplotlib
from jaxnas.plots._layout import Arrow, layout

GAP = 0.8
"""Inches between two layers, where arrows go up and down."""
ROW = 0.34
"""Height of an operation in its box."""
FONT = 8
Point = tuple[float, float]


class Placed(NamedTuple):
    """Where everything is, in inches.

    Attributes:
      width: of a box.
      boxes: middle of each.
      routes: of each arrow its start, its entries to lanes and exits from them, and its end.
    """

    width: float
    boxes: list[Point]
    routes: list[list[Point]]


def place(cell: Cell) -> Placed:
    """Boxes in layers from left to right by depth, wide enough for their text; no arrow meets one but at its ends."""
    longest = max(len(label) for rows in cell.rows for label in rows)
    width = max(1.1, 0.3 + 0.6 * FONT / 72 * longest)
    depth = depths(cell)
    arrows = [Arrow(source, target, _port(cell, target, row)) for source, target, row, _ in cell.arrows]
    if not arrows:
        return Placed(width, [((width + GAP) * layer, 0.0) for layer in depth], [])
    found = layout(depth, arrows, box=ROW * max(map(len, cell.rows)) + 0.3, lane=0.22)
    boxes = [((width + GAP) * layer, y) for layer, y in zip(depth, found.boxes, strict=True)]
    routes = []
    for arrow, lanes in zip(arrows, found.lanes, strict=True):
        (x, y), (end, entered) = boxes[arrow.source], boxes[arrow.target]
        middles = [(x + (width + GAP) * (n + 1), height) for n, height in enumerate(lanes)]
        past = [(middle + side * width / 2, height) for middle, height in middles for side in (-1, 1)]
        routes.append([(x + width / 2, y), *past, (end - width / 2, entered + arrow.port)])
    return Placed(width, boxes, routes)


def _port(cell: Cell, target: int, row: int | None) -> float:
    return 0.0 if row is None else ROW * ((len(cell.rows[target]) - 1) / 2 - row)


def curve(route: list[Point]) -> tuple[np.ndarray, list[int]]:
    """The route as points and codes of a path: S-shaped Bézier curves between layers, straight lines in lanes."""
    path = matplotlib("path").Path
    points, codes = [route[0]], [path.MOVETO]
    for (x0, y0), (x1, y1) in zip(route[::2], route[1::2], strict=True):
        if points[-1] != (x0, y0):
            points, codes = [*points, (x0, y0)], [*codes, path.LINETO]
        middle = (x0 + x1) / 2
        points += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [path.CURVE4] * 3
    return np.array(points), codes


def draw_cell(axes, cell: Cell, styles: Mapping[str, dict[str, str]]) -> tuple[float, float]:
    """Draws the cell, with `styles` of lines for its operations; the width and height that it takes, in inches."""
    placed = place(cell)
    for route, (*_, operation) in zip(placed.routes, cell.arrows, strict=True):
        _draw_arrow(axes, route, styles[operation] if operation else None)
    for i, rows in enumerate(cell.rows):
        _draw_box(axes, placed.boxes[i], placed.width, rows, {} if i in cell.ends else styles)
    x = [middle for middle, _ in placed.boxes]
    tops = [
        y + side * ROW * len(rows) / 2 for (_, y), rows in zip(placed.boxes, cell.rows, strict=True) for side in (-1, 1)
    ]
    y = [*tops, *(y for route in placed.routes for _, y in route)]
    axes.set_xlim(min(x) - placed.width / 2 - 0.05, max(x) + placed.width / 2 + 0.05)
    axes.set_ylim(min(y) - 0.1, max(y) + 0.1)
    axes.axis("off")
    return float(np.ptp(axes.get_xlim())), float(np.ptp(axes.get_ylim()))


def _draw_arrow(axes, route: list[Point], style: dict[str, str] | None) -> None:
    path = matplotlib("path").Path(*curve(route))
    style = dict(linewidth=1.7, zorder=2, **style) if style else dict(linewidth=1, zorder=1, color=MUTED)
    arrow = matplotlib("patches").FancyArrowPatch(
        path=path, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0, joinstyle="miter", **style
    )
    axes.add_patch(arrow)


def _draw_box(axes, middle: Point, width: float, rows: tuple[str, ...], styles: Mapping[str, dict[str, str]]) -> None:
    """A box with a line for each row, marked as the operation's arrow is where an arrow enters; dark without styles."""
    patches = matplotlib("patches")
    (x, y), height = middle, ROW * len(rows)
    box = patches.FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.05", zorder=3,
        facecolor="white" if styles else INK, edgecolor=MUTED if styles else INK,
    )  # fmt: skip
    axes.add_patch(box)
    for row, label in enumerate(rows):
        center = y + ROW * ((len(rows) - 1) / 2 - row)
        if styles:
            corner = (x - width / 2 + 0.04, center - 0.1)
            color, dashes = styles[label]["color"], styles[label]["linestyle"]
            face = color if dashes == "-" else "white"
            axes.add_patch(patches.Rectangle(corner, 0.06, 0.2, facecolor=face, edgecolor=color, zorder=4))
        text = dict(color=INK if styles else "white", fontsize=FONT if styles else SMALL)
        axes.text(x + 0.03 * bool(styles), center, label, ha="center", va="center", zorder=4, **text)
