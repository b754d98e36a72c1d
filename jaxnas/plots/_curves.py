"""Curves over the evaluations of a search."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.loop.history import History
from jaxnas.plots._figure import (
    BLUE,
    COLORS,
    MUTED,
    ORANGE,
    RED,
    dot_style,
    legend_above,
    limits,
    line_style,
    log_if_wide,
    new_figure,
    plain_axes,
    save,
    whole_ticks,
)

FAR = 4
"""How many times as far from the best as the lower quartile the axis reaches: first values may be off by orders."""
LOSSES = {"train_loss": "training loss", "loss": "validation loss"}


def anytime(
    curves: Mapping[str, Sequence[float | None]], path: str | os.PathLike, *, ylabel: str = "best fitness so far"
) -> None:
    """Best-so-far against evaluations, a line for each search.

    Args:
      curves: name -> fitness of each evaluation in order; None or NaN for invalid ones.
      path: of the PNG.
      ylabel: what fitness is, with its unit.
    """
    figure, axes = new_figure(7, 4.2)
    tops = []
    for i, (name, values) in enumerate(curves.items()):
        values = np.array(values, float)  # None is NaN then
        values[~np.isfinite(values)] = np.nan
        best = np.fmax.accumulate(values)
        number = np.arange(1, len(values) + 1)
        style = line_style(i)
        axes.plot(number, values, ".", color=style["color"], zorder=1, **dot_style(len(values) * len(curves)))
        axes.step(number, best, where="post", label=name, linewidth=max(2.4 - 0.5 * i, 1.6), zorder=2, **style)
        axes.plot(number[-1:], best[-1:], "o", color=style["color"], markersize=4, zorder=3)
        tops.append(best[np.isfinite(best)])
    tops = np.concatenate(tops)
    if len(tops):
        high = tops.max()
        low = max(np.quantile(tops, 0.02), high - FAR * (high - np.quantile(tops, 0.25)))
        axes.set_ylim(*limits(low if low < high else tops.min(), high))
    else:
        axes.text(0.5, 0.5, "no valid evaluation", ha="center", color=MUTED, transform=axes.transAxes)
        axes.set(xlim=(0, max(map(len, curves.values()), default=1) + 1), yticks=[])
    whole_ticks(axes.xaxis)
    axes.set_xlabel("evaluations")
    axes.set_ylabel(ylabel)
    legend_above(axes)
    plain_axes(axes)
    save(figure, path)


def shared_weights(history: History, path: str | os.PathLike, *, cells: Sequence[str] = ()) -> None:
    """A search on shared weights against its evaluations: losses; skip connections and curvature where recorded.

    Args:
      history: as `search` gives it.
      path: of the PNG.
      cells: names for the columns of `skip_connections`.
    """
    curvature = _known(history, "curvature")
    panels = 1 + bool(cells) + bool(len(curvature[0]))
    figure, axes = new_figure(7, 2.6 * panels + 0.6, rows=panels)
    axes = list(np.atleast_1d(axes))
    _losses(axes[0], history)
    if cells:
        _skip_connections(axes[1], history, cells)
    if len(curvature[0]):
        axes[-1].plot(*curvature, ".-", color=RED)
        log_if_wide(axes[-1].yaxis, curvature[1])
        axes[-1].set_ylabel("largest eigenvalue")
    axes[-1].set_xlabel("evaluations")
    room = max(0.5, 0.01 * len(history))
    for panel in axes:
        panel.set_xlim(1 - room, len(history) + room)
        whole_ticks(panel.xaxis)
        plain_axes(panel)
    save(figure, path)


def _known(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the evaluations that have a finite value, and the values."""
    if name not in history.names:
        return np.zeros(0, int), np.zeros(0)
    values = history.column(name)
    where = np.flatnonzero(np.isfinite(values))
    return where + 1, values[where]


def _losses(axes, history: History) -> None:
    for color, (name, label) in zip((BLUE, ORANGE), LOSSES.items(), strict=True):
        axes.plot(*_known(history, name), ".", color=color, label=label, **dot_style(2 * len(history)))
    axes.set_ylabel("loss")
    legend_above(axes)


def _skip_connections(axes, history: History, cells: Sequence[str]) -> None:
    """Dots of the cells beside each other, as the numbers are whole and often the same."""
    number = np.arange(1, len(history) + 1)
    for i, (cell, column) in enumerate(zip(cells, history.column("skip_connections").T, strict=False)):
        beside = 0.2 * (i - (len(cells) - 1) / 2)
        style = dict(color=COLORS[i % len(COLORS)], label="cell" if cell == "cell" else f"{cell} cell")
        axes.plot(number, column + beside, ".", **style, **dot_style(2 * len(history)))
    axes.set_ylabel("skip connections")
    axes.set_ylim(-0.5, max(axes.get_ylim()[1], 1.5))
    whole_ticks(axes.yaxis)
    legend_above(axes)


def curvatures(searches: Sequence[tuple[Sequence[float], bool]], path: str | os.PathLike) -> None:
    """The largest eigenvalue over its measurements, a line for each `(values, collapsed)`."""
    figure, axes = new_figure(7, 4.2)
    for collapsed, label in ((False, "not collapsed"), (True, "collapsed")):
        lines = [values for values, said in searches if said == collapsed]
        style = dict(color=RED, linestyle="--") if collapsed else dict(color=BLUE)
        for i, values in enumerate(lines):
            name = None if i else f"{label} ({len(lines)})"
            axes.plot(np.arange(1, len(values) + 1), values, marker=".", alpha=0.7, label=name, **style)
    log_if_wide(axes.yaxis, np.concatenate([np.asarray(values, float) for values, _ in searches] or [np.zeros(0)]))
    axes.set_xlabel("measurement")
    axes.set_ylabel("largest eigenvalue")
    whole_ticks(axes.xaxis)
    legend_above(axes)
    plain_axes(axes)
    save(figure, path)
