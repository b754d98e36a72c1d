"""Pareto fronts and their hypervolume."""

import os
from collections.abc import Sequence

import numpy as np

from jaxnas.plots._figure import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    SMALL,
    axis_label,
    dot_style,
    legend_above,
    limits,
    log_if_wide,
    new_figure,
    plain_axes,
    save,
    whole_ticks,
)


def front(
    fitness: np.ndarray,
    cost: np.ndarray,
    found: np.ndarray,
    path: str | os.PathLike,
    *,
    names: Sequence[str],
    true: tuple[np.ndarray, np.ndarray] | None = None,
    ylabel: str = "fitness",
) -> None:
    """Fitness against each cost: all evaluated, the front of them, and the true one where it is known.

    Args:
      fitness: `[N]`.
      cost: `[N, K]`.
      found: `[N]` bool, which are on the front.
      path: of the PNG.
      names: of the K costs; a last word such as `_ms` is taken for the unit.
      true: (fitness `[M]`, cost `[M, K]`) of the true front.
      ylabel: what fitness is, with its unit.
    """
    K = len(names)
    figure, panels = new_figure(7 if K == 1 else 0.6 + 4.4 * K, 4.2, columns=K, sharey=True)
    panels = np.atleast_1d(panels)
    fronts = {"true front": (true, INK, "o"), "front found": ((fitness[found], cost[found]), BLUE, ".")}
    for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.plot(cost[:, k], fitness, ".", color=ORANGE, label="evaluated", **dot_style(len(fitness)))
        for label, (points, color, marker) in fronts.items():
            if points is not None:
                _points(axes, points[0], points[1][:, k], label, color, marker, line=K == 1)
        axes.set_xlabel(axis_label(name))
        log_if_wide(axes.xaxis, cost[:, k])
        plain_axes(axes)
    tops = fitness[found] if true is None else np.append(fitness[found], true[0])
    for axes in panels:
        axes.set_ylim(*fitness_limits(fitness, tops))
    panels[0].set_ylabel(ylabel)
    legend_above(panels[0])
    save(figure, path)


def _points(axes, fitness, cost, label: str, color: str, marker: str, *, line: bool) -> None:
    """One front; joined by steps where `line`: with several costs it is no line in the plane of one of them."""
    order = np.argsort(cost)
    x, y = cost[order], fitness[order]
    if line:
        axes.step(x, y, where="post", color=color, linewidth=1.2)
    hollow = "none" if marker == "o" else color
    axes.plot(x, y, marker, color=color, markerfacecolor=hollow, markersize=7, markeredgewidth=0.8, label=label)


def fitness_limits(fitness: np.ndarray, shown: np.ndarray) -> tuple[float, float]:
    """Limits of an axis that has all of `shown`, and `fitness` but the lowest tenth.

    Networks that learn nothing would leave the rest no room.
    """
    return limits(np.quantile(np.append(fitness, shown), 0.1), shown.max())


def hypervolume(volumes: np.ndarray, path: str | os.PathLike, *, true: float | None = None) -> None:
    """Hypervolume against evaluations.

    Args:
      volumes: `[N]`, of the first 1, 2, …, N evaluations.
      path: of the PNG.
      true: that of the true front, where it is known.
    """
    figure, axes = new_figure(7, 4.2)
    axes.step(np.arange(1, len(volumes) + 1), volumes, where="post", color=BLUE, linewidth=2)
    axes.plot(len(volumes), volumes[-1], "o", color=BLUE, markersize=4)
    if true is not None:
        axes.axhline(true, color=INK, linewidth=0.8)
        place = dict(xytext=(0, 4), textcoords="offset points", ha="left", va="bottom")
        axes.annotate("true front", (1, true), fontsize=SMALL, color=MUTED, **place)
    axes.set_ylim(*limits(np.quantile(volumes, 0.05), max(volumes.max(), true or 0), margin=0.1))
    whole_ticks(axes.xaxis)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("hypervolume")
    plain_axes(axes)
    save(figure, path)
