"""The front of accuracy against one cost that a search gives, and what to build of it."""

import os

import numpy as np

from jaxnas.check import InputError
from jaxnas.plots._figure import BLUE, INK, MUTED, RED, SMALL, dot_style, legend_above, new_figure, plain_axes, save
from jaxnas.plots._fronts import fitness_limits

ROWS = 2
"""Of names above the points."""
Point = tuple[float, float]
Points = tuple[np.ndarray, np.ndarray]


def recommendation(
    search: Points,
    random: Points,
    path: str | os.PathLike,
    *,
    recommended: Point,
    reference: Point | None = None,
    names: tuple[str, str, str] = ("search", "random search", "reference network"),
    ylabel: str = "validation accuracy (%)",
    xlabel: str = "latency (ms)",
) -> None:
    """Fitness against one cost: what a search and a random search at equal expense evaluated, and their fronts.

    Fronts are steps: at each cost the best fitness of a network that costs no more.

    Args:
      search: (fitness `[N]`, higher is better; cost `[N]`, lower is better). What is not finite is left out.
      random: the same of random search, `[M]` each.
      path: of the PNG.
      recommended: (fitness, cost) of the network to build, marked and labelled.
      reference: (fitness, cost) of the network that is in use, if there is one.
      names: what the search, the random search and the reference are called.
      ylabel: what fitness is, with its unit.
      xlabel: what the cost is, with its unit.

    Raises:
      InputError: not as many costs as fitnesses, or nothing finite.
    """
    figure, axes = new_figure(7, 4.2)
    of_search, of_random = _finite("search", search), _finite("random", random)
    for (fitness, cost), name, color in ((of_random, names[1], MUTED), (of_search, names[0], BLUE)):
        axes.plot(cost, fitness, ".", color=color, **dot_style(len(fitness)))
        steps = _front(fitness, cost, until=max(of_search[1].max(), of_random[1].max()))
        axes.step(*steps, where="post", color=color, linewidth=2, label=f"{name} ({len(fitness):,} evaluated)")
    marks = [("recommended", recommended, RED, "*")]
    marks += [(names[2], reference, INK, "D")] if reference is not None else []
    fitness = np.concatenate([of_search[0], of_random[0]])
    low, high = fitness_limits(fitness, np.array([fitness.max(), *(point[0] for _, point, *_ in marks)]))
    low = min(low, *(point[0] - 0.05 * (high - low) for _, point, *_ in marks), low)
    axes.set_ylim(low, high + ROWS * 0.07 * (high - low))
    _label(axes, marks, high)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    legend_above(axes)
    plain_axes(axes)
    save(figure, path)


def _finite(argument: str, points: Points) -> Points:
    fitness, cost = (np.asarray(values, float) for values in points)
    if fitness.ndim != 1 or fitness.shape != cost.shape:
        raise InputError(f"{argument}: expected (fitness [N], cost [N]), got {fitness.shape} and {cost.shape}.")
    known = np.isfinite(fitness) & np.isfinite(cost)
    if not known.any():
        raise InputError(f"{argument}: expected points of finite fitness and cost, got none.")
    return fitness[known], cost[known]


def _front(fitness: np.ndarray, cost: np.ndarray, *, until: float) -> tuple[np.ndarray, np.ndarray]:
    """Costs, rising up to `until`, and the best fitness for no more than each."""
    order = np.argsort(cost)
    return np.append(cost[order], until), np.append(np.maximum.accumulate(fitness[order]), fitness.max())


def _label(axes, marks: list, top: float) -> None:
    """Each mark's name above all points, joined to it by a line; on rows such that no line runs through a name."""
    left, right = axes.get_xlim()
    marks = sorted(marks, key=lambda mark: mark[1][1])
    parts = [(cost - left) / (right - left) for _, (_, cost), *_ in marks]
    to_right = parts[-1] < 0.7
    to_left = not to_right and parts[0] > 0.3
    step = (axes.get_ylim()[1] - top) / ROWS
    for i, (name, (fitness, cost), color, marker) in enumerate(marks):
        row = i if to_left else len(marks) - 1 - i
        side = "right" if to_left or (not to_right and i > 0) else "left"
        height = top + (row + 0.5) * step
        axes.plot([cost, cost], [fitness, height], ":", color=color, linewidth=1, zorder=4)
        axes.plot(cost, fitness, marker, color=color, markersize=15 if marker == "*" else 8, zorder=5, mec="white")
        text = f" {name} "
        axes.text(cost, height, text, color=color, fontsize=SMALL, weight="bold", ha=side, va="center")
