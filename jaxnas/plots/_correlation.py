"""How well one number ranks another: scatter plots, proxies, correlations of many."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.plots._figure import (
    BLUE,
    GRID,
    INK,
    SMALL,
    TEXT,
    dot_style,
    new_figure,
    plain_axes,
    save,
    signed,
    wrapped,
)


def scatter(
    x: np.ndarray, y: np.ndarray, path: str | os.PathLike, *, xlabel: str, ylabel: str, title: str = ""
) -> None:
    """One point for each pair of `x` and `y`, `[n]` each."""
    figure, axes = new_figure(5.6, 4.4)
    axes.plot(x, y, ".", color=BLUE, **dot_style(len(x)))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(wrapped(title, 4.6))
    plain_axes(axes)
    save(figure, path)


def proxies(
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    path: str | os.PathLike,
    *,
    spearman: Mapping[str, float | None],
    metric: str,
) -> None:
    """A panel for each proxy: rank by the metric against rank by the proxy, whose scales differ by many orders.

    Args:
      scores: proxy -> `[n]`; what is not finite is left out.
      truth: `[n]`.
      path: of the PNG.
      spearman: proxy -> rank correlation, for the titles.
      metric: what the truth is.
    """
    columns = min(len(scores), 5)
    rows = -(-len(scores) // columns)
    figure, panels = new_figure(2.1 * columns + 0.6, 2.2 * rows + 0.5, rows=rows, columns=columns)
    panels = np.atleast_1d(panels).ravel()
    for i, (axes, (name, values)) in enumerate(zip(panels, scores.items(), strict=False)):
        _ranks(axes, values, truth)
        rho = spearman[name]
        axes.set_title(f"{name}\n" + ("" if rho is None else f"ρ = {signed(rho)}"))
        axes.tick_params(labelbottom=i + columns >= len(scores), labelleft=i % columns == 0)
    for axes in panels[len(scores) :]:
        axes.axis("off")
    figure.supxlabel("rank by the proxy (%)", fontsize=TEXT, color=INK)
    figure.supylabel(f"rank by {metric} (%)", fontsize=TEXT, color=INK)
    save(figure, path)


def _ranks(axes, scores: np.ndarray, truth: np.ndarray) -> None:
    known = np.isfinite(scores) & np.isfinite(truth)
    style = dot_style(known.sum())
    axes.plot(_percent(scores[known]), _percent(truth[known]), ".", color=BLUE, **style)
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
    plain_axes(axes)


def _percent(values: np.ndarray) -> np.ndarray:
    """Ranks from the least, 0, to the greatest, 100; equal values share theirs."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1
    return 50 * below / max(len(values) - 1, 1)


def correlations(names: Sequence[str], matrix: np.ndarray, path: str | os.PathLike) -> None:
    """Rank correlations `[N, N]` as colors and numbers; NaN is gray."""
    side = 0.46 * max(len(names), 3)
    figure, axes = new_figure(side + 2.2, side + 1.2)
    axes.set_facecolor(GRID)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 else INK
            axes.text(j, i, signed(value), ha="center", va="center", fontsize=7.5, color=shade)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    beside = axes.inset_axes((1 + 0.12 / side, 0, 0.15 / side, 1))
    bar = figure.colorbar(image, cax=beside, ticks=(-1, -0.5, 0, 0.5, 1), format=lambda value, _: signed(value))
    bar.set_label("Spearman's ρ", fontsize=TEXT, color=INK)
    bar.ax.tick_params(labelsize=SMALL, labelcolor=INK)
    bar.outline.set_visible(False)
    save(figure, path)
