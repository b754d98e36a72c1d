"""Growing graphs (NEAT): nodes from left to right by position, connections by weight."""

import numpy as np

from jaxnas.plots._figure import BLUE, INK, MUTED, RED, SMALL, bare_axes, matplotlib
from jaxnas.spaces import Graph

SIZE = 7.0, 4.0
"""Inches."""
MANY = 24
"""Inputs or outputs from which on only the bias and the outputs are named; hidden nodes that are placed with care."""
EDGE, CLEAR = 0.5, 0.22
"""Inches at the sides for names, and from a node to a connection that passes it."""
LOOP = np.linspace(0, 2 * np.pi, 40)


def draw_graph(host: Graph):
    """A figure: inputs at the left, outputs at the right, hidden nodes that are connected between; on the host.

    The heavier a connection, the thicker; one that goes backwards, to be used one step later, is dashed.
    """
    figure, axes = bare_axes(*SIZE)
    on = np.flatnonzero(host.enabled & (host.innovation != 0))
    if not len(on):
        axes.text(SIZE[0] / 2, SIZE[1] / 2, "no connection is enabled", ha="center", color=MUTED)
        return figure
    ends = np.stack([host.source[on], host.target[on]], 1)
    positions = np.asarray(host.positions)
    ahead = positions[ends[:, 0]] < positions[ends[:, 1]]
    hidden = np.unique(ends[ends >= host.inputs + host.outputs])
    hidden = hidden[np.argsort(positions[hidden], kind="stable")]
    places = place(host.inputs, host.outputs, hidden, ends[ahead])
    strengths = np.abs(host.weight[on]) / max(np.abs(host.weight[on]).max(), 1e-9)
    faint, thick = (0.3, 2.0) if len(on) < 100 else (0.08, 1.2)
    for e in np.argsort(strengths):
        style = dict(color=BLUE if host.weight[on[e]] >= 0 else RED, linewidth=thick * (0.25 + strengths[e]))
        style |= dict(alpha=faint + (0.85 - faint) * strengths[e])
        _connection(axes, places, *ends[e], ahead[e], style)
    _nodes(axes, places, host, hidden)
    lines = [matplotlib("lines").Line2D([], [], color=color, linewidth=2) for color in (BLUE, RED)]
    labels, below = ("positive weight", "negative weight"), dict(loc="upper center", bbox_to_anchor=(0.5, 0.02))
    axes.legend(lines, labels, frameon=False, ncols=2, fontsize=SMALL, **below)
    return figure


def place(inputs: int, outputs: int, hidden: np.ndarray, ends: np.ndarray) -> dict[int, np.ndarray]:
    """Node -> its place in inches: hidden ones each in a column of its own, off the connections that pass it."""
    width, height = SIZE
    level = lambda count: height * (1 - (np.arange(count) + 0.5) / count)
    places = {i: np.array([EDGE, y]) for i, y in enumerate(level(inputs))}
    places |= {inputs + i: np.array([width - EDGE, y]) for i, y in enumerate(level(outputs))}
    x = EDGE + (width - 2 * EDGE) * (np.arange(len(hidden)) + 1) / (len(hidden) + 1)
    for n, node in enumerate(hidden):
        places[int(node)] = np.array([x[n], height * (1 - ((n * 0.618 + 0.35) % 1 * 0.9 + 0.05))])
    if len(hidden) <= MANY and len(ends) <= 8 * MANY:
        for _ in range(2):
            for node in hidden:
                places[int(node)] = _clear(int(node), places, ends)
    return places


def _clear(node: int, places: dict[int, np.ndarray], ends: np.ndarray) -> np.ndarray:
    """The place in the node's column where fewest connections pass nodes, and its own ones are shortest."""
    own = (ends == node).any(1)
    others = np.array([place for other, place in places.items() if other != node])
    numbers = np.array([other for other in places if other != node])
    near = ends[own][ends[own] != node]
    passing = np.array([[places[int(i)], places[int(j)]] for i, j in ends[~own]]).reshape(-1, 2, 2)
    best, least = places[node], np.inf
    for y in np.linspace(0.15, SIZE[1] - 0.15, 31):
        here = np.array([places[node][0], y])
        cost = _closeness(here[None], passing).sum()
        mine = np.array([[here, places[int(other)]] for other in near]).reshape(-1, 2, 2)
        apart = numbers[:, None] != near[None]  # a connection meets its own end
        cost += (_closeness(others, mine) * apart).sum()
        cost += 0.02 * np.abs(mine[:, 1, 1] - y).sum() / max(len(near), 1)
        if cost < least:
            best, least = here, cost
    return best


def _closeness(points: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """`[P, L]` from 0, `CLEAR` or farther away, to 1, on the line; points `[P, 2]`, lines `[L, 2, 2]`."""
    start, along = lines[None, :, 0], (lines[:, 1] - lines[:, 0])[None]
    part = ((points[:, None] - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
    distance = np.linalg.norm(points[:, None] - start - np.clip(part, 0, 1)[..., None] * along, axis=-1)
    return np.maximum(1 - distance / CLEAR, 0)


def _connection(axes, places, u: int, v: int, ahead: bool, style: dict) -> None:
    (x, y), (to_x, to_y) = places[int(u)], places[int(v)]
    if ahead:
        axes.plot([x, to_x], [y, to_y], **style)
    elif u == v:
        axes.plot(x + 0.13 * np.cos(LOOP), y + 0.16 * (1 + np.sin(LOOP)), linestyle="--", **style)
    else:
        bow = 0.35 if x != to_x or to_y < y else -0.35  # in a column to the left, away from the names of outputs
        arrow = dict(arrowstyle="-|>", connectionstyle=f"arc3,rad={bow}", linestyle="--", shrinkA=5, shrinkB=5, **style)
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=arrow)


def _nodes(axes, places, host: Graph, hidden: np.ndarray) -> None:
    I, O = host.inputs, host.outputs  # noqa: E741
    many = max(I, O) > MANY
    for node in [*range(I + O), *map(int, hidden)]:
        x, y = places[node]
        face = INK if node < I + O else "white"
        axes.plot(x, y, "o", mfc=face, mec=INK, mew=1.2, markersize=3 if many else 9, zorder=3, clip_on=False)
        name = "bias" if node == I - 1 else f"i{node}" if node < I else f"o{node - I}" if node < I + O else ""
        if name and (not many or node >= I - 1):
            side = -1 if node < I else 1
            align = dict(va="center", ha="right" if side < 0 else "left")
            axes.text(x + 0.13 * side, y, name, fontsize=SMALL, color=INK, **align)
