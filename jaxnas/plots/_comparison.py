"""Strategies over many seeds."""

import itertools
import os
from collections.abc import Mapping

import numpy as np

from jaxnas.plots._figure import COLORS, INK, MUTED, new_figure, plain_axes, save


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
    figure, ((anytime, regret), (hits, rank)) = new_figure(11, 8, rows=2, columns=2)
    colors = dict(zip(curves, itertools.cycle(COLORS), strict=False))
    starts = []
    for name, values in curves.items():
        number, values = _complete(values)
        mean = values.mean(0)
        band = 1.96 * values.std(0) / np.sqrt(len(values))
        _banded(anytime, number, mean, mean - band, mean + band, colors[name], label=name)
        gap = np.abs(optimum - values).mean(0)
        _banded(regret, number, gap, np.maximum(gap - band, 1e-12), gap + band, colors[name], above=0)
        hits.plot(number, 100 * (values == np.float32(optimum)).mean(0), color=colors[name], linewidth=1.8)
        rank.plot(list(ranks), [r[name] for r in ranks.values()], ".-", color=colors[name], linewidth=1.8)
        starts.append(mean[number >= min(5, number.max(initial=0))][:1])
    _published(anytime, published or {}, colors)
    _limits(anytime, optimum, [*np.concatenate(starts), *(mean for mean, _ in (published or {}).values())])
    positive = [line.get_ydata().min() for line in regret.lines if len(line.get_ydata())]
    regret.set_yscale("log")
    regret.set_ylim(bottom=0.5 * min(positive, default=1.0))
    most = max((line.get_ydata().max() for line in hits.lines if len(line.get_ydata())), default=0)
    hits.set_ylim(-0.02 * max(most, 5), 1.05 * max(most, 5))
    rank.invert_yaxis()
    labels = (f"{ylabel}\nmean and its 95 % interval", "regret", "seeds at the optimum (%)", "mean rank")
    for axes, label in zip((anytime, regret, hits, rank), labels, strict=True):
        axes.set(xscale="log", xlabel="evaluations", ylabel=label)
        plain_axes(axes)
    figure.tight_layout()
    handles = anytime.get_legend_handles_labels()
    figure.legend(*handles, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    save(figure, path)


def _complete(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the evaluations where all seeds have a value, and the values: a mean over some would not compare."""
    complete = np.isfinite(values).all(0)
    return np.arange(1, values.shape[1] + 1)[complete], values[:, complete]


def _banded(axes, number, mean, low, high, color: str, *, label: str | None = None, above: float = -np.inf) -> None:
    axes.plot(number[mean > above], mean[mean > above], color=color, label=label, linewidth=1.8)
    axes.fill_between(number, low, high, color=color, alpha=0.2, linewidth=0)


def _published(axes, published: Mapping[str, tuple[float, float]], colors: Mapping[str, str]) -> None:
    """Lines of means, said at the right, where the curves have risen above them."""
    for name, (mean, deviation) in published.items():
        axes.axhline(mean, color=colors.get(name, MUTED), linestyle="--", linewidth=1)
        text = f"published: {name} {mean} ± {deviation}"
        place = dict(transform=axes.get_yaxis_transform(), ha="right", va="bottom")
        axes.text(0.99, mean, text, fontsize=7, color=MUTED, **place)


def _limits(axes, optimum: float, shown: list[float]) -> None:
    """From below the worst that is to be seen to just above the optimum."""
    worst = max(shown, key=lambda value: abs(optimum - value), default=optimum)
    margin = 0.05 * (optimum - worst) or 0.05
    axes.set_ylim(*sorted((worst - margin, optimum + margin)))
    axes.axhline(optimum, color=INK, linewidth=0.8)
