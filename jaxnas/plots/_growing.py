"""Growing graphs (NEAT): nodes by position, connections by weight."""

import jax
import numpy as np

from jaxnas.plots._figure import COLORS, INK, MUTED, legend_above
from jaxnas.spaces import Graph

LOOP = np.linspace(0, 2 * np.pi, 40)
MANY = 24
"""Inputs or outputs from which on only the bias and the outputs are named."""


def draw_graph(axes, genome: Graph) -> None:
    """Inputs at the left, outputs at the right, hidden nodes by position; the thicker, the heavier."""
    host = jax.tree.map(np.asarray, genome)
    on = np.flatnonzero(host.enabled & (host.innovation != 0))
    if not len(on):
        axes.text(0.5, 0.5, "no connection is enabled", ha="center", color=MUTED)
        return
    x, y = _places(host)
    largest = max(np.abs(host.weight[on]).max(), 1e-9)
    for e in on:
        color = COLORS[0] if host.weight[e] >= 0 else COLORS[4]
        strength = abs(host.weight[e]) / largest
        style = dict(color=color, alpha=0.1 + 0.7 * strength, linewidth=0.3 + 2.2 * strength)
        _connection(axes, (x, y), host.source[e], host.target[e], style)
    _nodes(axes, (x, y), host)
    for color, name in ((COLORS[0], "positive"), (COLORS[4], "negative")):
        axes.plot([], [], color=color, linewidth=2, label=name)
    legend_above(axes, fontsize=8)
    axes.set_xlim(-0.12, 1.12)


def _places(host: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of all nodes by number; hidden ones of near positions are at different heights."""
    I, O = host.inputs, host.outputs  # noqa: E741
    positions = np.asarray(host.positions)
    x = positions / positions[I]
    y = np.zeros(len(x))
    y[:I] = -(np.arange(I) + 0.5) / I
    y[I : I + O] = -(np.arange(O) + 0.5) / O
    for i, node in enumerate(_hidden(host)):
        y[node] = -((i * 0.618 + 0.35) % 1 * 0.9 + 0.05)
    return x, y


def _hidden(host: Graph) -> np.ndarray:
    return host.inputs + host.outputs + np.argsort(host.position[: host.hidden])


def _connection(axes, places, u: int, v: int, style: dict) -> None:
    x, y = places
    if u == v:
        axes.plot(x[u] + 0.02 * np.cos(LOOP), y[u] + 0.05 * (1 + np.sin(LOOP)), **style)
    elif x[u] < x[v]:
        axes.plot(x[[u, v]], y[[u, v]], **style)
    else:
        arrow = dict(arrowstyle="-|>", connectionstyle="arc3,rad=.35", linestyle="--", **style)
        axes.annotate("", (x[v], y[v]), (x[u], y[u]), arrowprops=arrow)


def _nodes(axes, places, host: Graph) -> None:
    (x, y), I, O = places, host.inputs, host.outputs  # noqa: E741
    many = max(I, O) > MANY
    for node in [*range(I + O), *_hidden(host)]:
        name = "bias" if node == I - 1 else f"i{node}" if node < I else f"o{node - I}" if node < I + O else ""
        axes.plot(x[node], y[node], "o", color=INK, markersize=3 if many else 9, zorder=3)
        if name and (not many or node >= I - 1):
            side = -1 if node < I else 1
            align = dict(va="center", ha="right" if side < 0 else "left")
            axes.text(x[node] + 0.03 * side, y[node], name, fontsize=9, color=INK, **align)
