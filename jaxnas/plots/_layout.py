"""Where the boxes of a directed acyclic graph stand: in layers, and each arrow past a box in a lane of its own.

The method of Sugiyama, Tagawa and Toda (1981): an arrow over several layers is cut into links between neighbors by
a place in each layer between; places are ordered so that few links cross, then moved near to what they are linked to.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

SWEEPS = 12


class Arrow(NamedTuple):
    """From box `source` to box `target`, which it enters `port` above the middle."""

    source: int
    target: int
    port: float = 0.0


class Layout(NamedTuple):
    """Heights of boxes, and of each arrow's lanes in the layers between its ends, from left to right."""

    boxes: list[float]
    lanes: list[list[float]]


class _Link(NamedTuple):
    left: Hashable
    right: Hashable
    port: float


def layout(layers: Sequence[int], arrows: Sequence[Arrow], *, box: float, lane: float) -> Layout:
    """Heights at which boxes do not touch, nor any arrow a box that it does not belong to.

    Args:
      layers: of each box; arrows go from smaller to larger ones.
      arrows: what joins them.
      box: height of a box, with the space around it.
      lane: height of the lane of an arrow that passes a layer.
    """
    columns: list[list[Hashable]] = [[] for _ in range(max(layers) + 1)]
    for i, layer in enumerate(layers):
        columns[layer].append(i)
    links = []
    for a, arrow in enumerate(arrows):
        between = [(a, layer) for layer in range(layers[arrow.source] + 1, layers[arrow.target])]
        for _, layer in between:
            columns[layer].append((a, layer))
        stops = [arrow.source, *between, arrow.target]
        ports = [0.0] * len(between) + [arrow.port]
        links += [_Link(*ends, port) for *ends, port in zip(stops[:-1], stops[1:], ports, strict=True)]
    columns = _ordered(columns, links)
    height = {place: lane if isinstance(place, tuple) else box for column in columns for place in column}
    y = _heights(columns, links, height)
    lanes = [
        [y[a, layer] for layer in range(layers[arrow.source] + 1, layers[arrow.target])]
        for a, arrow in enumerate(arrows)
    ]
    return Layout([y[i] for i in range(len(layers))], lanes)


def _ordered(columns: list[list[Hashable]], links: Sequence[_Link]) -> list[list[Hashable]]:
    """The columns, bottom up, in the order with fewest crossings of those that sweeps over them come by."""
    rank = {place: float(n) for column in columns for n, place in enumerate(reversed(column))}
    best, fewest = dict(rank), _crossings(rank, columns, links)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            near = _neighbors(links, rank, left=sweep % 2 == 0)
            aim = {place: np.mean(near.get(place, [rank[place]])) for place in column}
            rank |= {place: float(n) for n, place in enumerate(sorted(column, key=lambda p: (aim[p], rank[p])))}
        crossings = _crossings(rank, columns, links)
        if crossings < fewest:
            best, fewest = dict(rank), crossings
    return [sorted(column, key=best.get) for column in columns]


def _neighbors(links: Sequence[_Link], at: Mapping, *, left: bool) -> dict[Hashable, list[float]]:
    """Where each place's links come from at its left, or go to at its right."""
    near: dict[Hashable, list[float]] = {}
    for link in links:
        if left:
            near.setdefault(link.right, []).append(at[link.left] - link.port)
        else:
            near.setdefault(link.left, []).append(at[link.right] + link.port)
    return near


def _crossings(rank: Mapping, columns: Sequence[Sequence], links: Sequence[_Link]) -> int:
    """Pairs of links between the same two columns that cross."""
    layer = {place: n for n, column in enumerate(columns) for place in column}
    ends = np.array([[layer[link.left], rank[link.left], rank[link.right] + link.port] for link in links])
    same = ends[:, None, 0] == ends[None, :, 0]
    turned = (ends[:, None, 1] - ends[None, :, 1]) * (ends[:, None, 2] - ends[None, :, 2]) < 0
    return int((same & turned).sum()) // 2


def _heights(columns: Sequence[Sequence], links: Sequence[_Link], height: Mapping) -> dict[Hashable, float]:
    """Each place near the mean of what it is linked to, in order and without touching its neighbors in the column."""
    y: dict[Hashable, float] = {}
    for column in columns:
        size = np.array([height[place] for place in column])
        y |= dict(zip(column, np.cumsum(size) - size / 2 - size.sum() / 2, strict=True))
    for _ in range(SWEEPS):
        for column in columns:
            left, right = (_neighbors(links, y, left=side) for side in (True, False))
            aim = [np.mean([*left.get(place, ()), *right.get(place, ())] or [y[place]]) for place in column]
            y |= dict(zip(column, _apart(aim, [height[place] for place in column]), strict=True))
    return y


def _apart(aim: Sequence[float], size: Sequence[float]) -> np.ndarray:
    """The increasing positions nearest to `aim` whose intervals of `size` do not overlap (least squares)."""
    size = np.asarray(size)
    offset = np.cumsum(size) - size / 2
    blocks: list[list[float]] = []  # [sum, number], of aims that have met: pool adjacent violators
    for value in np.asarray(aim) - offset:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, number = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += number
    return np.concatenate([np.full(number, total / number) for total, number in blocks]) + offset
