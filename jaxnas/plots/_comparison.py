"""Strategies over many seeds."""

import os
from collections.abc import Mapping

import numpy as np

from jaxnas.plots._figure import (
    DASHES,
    INK,
    MUTED,
    figure_legend,
    limits,
    line_style,
    log_ticks,
    new_figure,
    plain_axes,
    save,
    whole_ticks,
)


def comparison(
    curves: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    *,
    optimum: float,
    ranks: Mapping[int, Mapping[str, float]],
    ylabel: str = "best so far",
    published: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Strategies over many seeds: anytime mean, regret, hits of the optimum, and ranks, each with evaluations.

    Args:
      curves: name -> `[seeds, evaluations]` the best so far; NaN before there is one.
      path: of the PNG.
      optimum: the best there is, which says too whether higher is better.
      ranks: evaluations -> name -> mean rank.
      ylabel: what is optimized, with its unit.
      published: name -> (mean, standard deviation), drawn beside the anytime curves.
    """
    figure, ((anytime, regret), (hits, rank)) = new_figure(10, 7.5, rows=2, columns=2)
    styles = {name: line_style(i) for i, name in enumerate(curves)}
    faint = 0.2 if len(curves) <= 4 else 0.1
    starts = []
    for name, values in curves.items():
        number, values = _complete(values)
        mean = values.mean(0)
        band = 1.96 * values.std(0) / np.sqrt(len(values))
        _banded(anytime, number, mean, mean - band, mean + band, faint, styles[name], label=name)
        gap = np.abs(optimum - values).mean(0)
        _banded(regret, number, gap, np.maximum(gap - band, 1e-12), gap + band, faint, styles[name], above=0)
        hits.plot(number, 100 * (values == np.float32(optimum)).mean(0), linewidth=1.8, **styles[name])
        rank.plot(list(ranks), [r[name] for r in ranks.values()], marker=".", linewidth=1.8, **styles[name])
        starts.append(mean[number >= min(5, number.max(initial=0))][:1])
    _published(anytime, published or {}, styles)
    _limits(anytime, optimum, [*np.concatenate(starts), *(mean for mean, _ in (published or {}).values())])
    positive = [line.get_ydata().min() for line in regret.lines if len(line.get_ydata())]
    regret.set_ylim(bottom=0.5 * min(positive, default=1.0))
    log_ticks(regret.yaxis)
    most = max((line.get_ydata().max() for line in hits.lines if len(line.get_ydata())), default=0)
    hits.set_ylim(-0.02 * max(most, 5), 1.05 * max(most, 5))
    averages = [value for r in ranks.values() for value in r.values()]
    rank.set_ylim(*limits(min(averages, default=1), max(averages, default=1))[::-1])
    whole_ticks(rank.yaxis)
    labels = (f"{ylabel}\nmean and its 95 % interval", "regret", "seeds at the optimum (%)", "mean rank")
    for axes, label in zip((anytime, regret, hits, rank), labels, strict=True):
        axes.set(xlabel="evaluations", ylabel=label)
        log_ticks(axes.xaxis)
        plain_axes(axes)
    figure_legend(figure, anytime)
    save(figure, path)


def _complete(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the evaluations where all seeds have a value, and the values: a mean over some would not compare."""
    complete = np.isfinite(values).all(0)
    return np.arange(1, values.shape[1] + 1)[complete], values[:, complete]


def _banded(axes, number, mean, low, high, faint, style, *, label: str | None = None, above: float = -np.inf) -> None:
    axes.plot(number[mean > above], mean[mean > above], label=label, linewidth=1.8, **style)
    axes.fill_between(number, low, high, color=style["color"], alpha=faint, linewidth=0)


def _published(axes, published: Mapping[str, tuple[float, float]], styles: Mapping[str, dict]) -> None:
    """Thin lines of means, which the legend names."""
    for i, (name, (mean, deviation)) in enumerate(published.items()):
        color = styles[name]["color"] if name in styles else MUTED
        label = f"{name}, published: {mean} ± {deviation}"
        axes.axhline(mean, color=color, linestyle=DASHES[1 + i % 3], linewidth=1, label=label)


def _limits(axes, optimum: float, shown: list[float]) -> None:
    """From below the worst that is to be seen to just above the optimum."""
    worst = max(shown, key=lambda value: abs(optimum - value), default=optimum)
    margin = 0.05 * (optimum - worst) or 0.05
    axes.set_ylim(*sorted((worst - margin, optimum + margin)))
    axes.axhline(optimum, color=INK, linewidth=0.8, label="optimum")
