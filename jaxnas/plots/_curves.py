"""Curves over the evaluations of a search."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.loop.history import History
from jaxnas.plots._figure import COLORS, legend_above, new_figure, plain_axes, save

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
    for color, (name, values) in zip(COLORS, curves.items(), strict=False):
        values = np.array(values, float)  # None is NaN then
        values[~np.isfinite(values)] = np.nan
        best = np.fmax.accumulate(values)
        number = np.arange(1, len(values) + 1)
        axes.plot(number, values, ".", color=color, alpha=0.25, markersize=4)
        axes.step(number, best, where="post", color=color, label=name, linewidth=2)
        tops.append(best[np.isfinite(best)])
    tops = np.concatenate(tops)
    if len(tops):
        low, high = np.quantile(tops, 0.02), tops.max()
        margin = 0.08 * max(high - low, 1e-3)
        axes.set_ylim(low - margin, high + margin)
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
        axes[-1].plot(*curvature, ".-", color=COLORS[4])
        axes[-1].set_ylabel("largest eigenvalue")
    axes[-1].set_xlabel("evaluations")
    for panel in axes:
        plain_axes(panel)
        panel.set_xlim(-0.01 * len(history), 1.01 * len(history))
    figure.tight_layout()
    save(figure, path)


def _known(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the evaluations that have a finite value, and the values."""
    if name not in history.names:
        return np.zeros(0, int), np.zeros(0)
    values = history.column(name)
    where = np.flatnonzero(np.isfinite(values))
    return where, values[where]


def _losses(axes, history: History) -> None:
    for color, (name, label) in zip(COLORS, LOSSES.items(), strict=False):
        axes.plot(*_known(history, name), ".", color=color, alpha=0.35, markersize=3, label=label)
    axes.set_ylabel("loss")
    legend_above(axes, markerscale=3)


def _skip_connections(axes, history: History, cells: Sequence[str]) -> None:
    for color, cell, column in zip(COLORS, cells, history.column("skip_connections").T, strict=False):
        axes.plot(column, ".", color=color, label=f"{cell} cell", markersize=3)
    axes.set_ylabel("skip connections")
    axes.yaxis.get_major_locator().set_params(integer=True)
    legend_above(axes, markerscale=3)


def curvatures(searches: Sequence[tuple[Sequence[float], bool]], path: str | os.PathLike) -> None:
    """The largest eigenvalue over its measurements, a line for each `(values, collapsed)`."""
    figure, axes = new_figure(6, 3.6)
    for collapsed, label in ((False, "other searches"), (True, "collapsed")):
        lines = [values for values, said in searches if said == collapsed]
        for i, values in enumerate(lines):
            axes.plot(values, color=COLORS[4 if collapsed else 0], alpha=0.6, label=None if i else label)
    axes.set_xlabel("measurements")
    axes.set_ylabel("largest eigenvalue")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend_above(axes)
    plain_axes(axes)
    save(figure, path)
