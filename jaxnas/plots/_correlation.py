"""How well one number ranks another: scatter plots, proxies, correlations of many."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.plots._figure import COLORS, INK, new_figure, plain_axes, save, signed


def scatter(
    x: np.ndarray, y: np.ndarray, path: str | os.PathLike, *, xlabel: str, ylabel: str, title: str = ""
) -> None:
    """One point for each pair of `x` and `y`, `[n]` each."""
    figure, axes = new_figure(5.6, 4.4)
    axes.plot(x, y, ".", color=COLORS[0], alpha=0.6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize=9, color=INK)
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
    figure, panels = new_figure(2.4 * columns + 0.6, 2.5 * rows + 0.5, rows=rows, columns=columns)
    panels = np.atleast_1d(panels).ravel()
    for i, (axes, (name, values)) in enumerate(zip(panels, scores.items(), strict=False)):
        _ranks(axes, values, truth, COLORS[i % len(COLORS)])
        rho = spearman[name]
        axes.set_title(name + ("" if rho is None else f"  ρ = {signed(rho)}"), fontsize=10, color=INK)
        axes.tick_params(labelbottom=i + columns >= len(scores), labelleft=i % columns == 0)
    for axes in panels[len(scores) :]:
        axes.axis("off")
    figure.supxlabel("rank by the proxy (%)", fontsize=10, color=INK)
    figure.supylabel(f"rank by {metric} (%)", fontsize=10, color=INK)
    figure.tight_layout()
    save(figure, path)


def _ranks(axes, scores: np.ndarray, truth: np.ndarray, color: str) -> None:
    known = np.isfinite(scores) & np.isfinite(truth)
    size = float(np.clip(120 / np.sqrt(max(known.sum(), 1)), 1.5, 8))
    x, y = _percent(scores[known]), _percent(truth[known])
    axes.plot(x, y, ".", color=color, alpha=0.4, markersize=size, markeredgewidth=0)
    axes.set(xlim=(-2, 102), ylim=(-2, 102))
    plain_axes(axes)


def _percent(values: np.ndarray) -> np.ndarray:
    """Ranks from the least, 0, to the greatest, 100; equal values share theirs."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1
    return 50 * below / max(len(values) - 1, 1)


def correlations(names: Sequence[str], matrix: np.ndarray, path: str | os.PathLike) -> None:
    """Rank correlations `[N, N]` as colors and numbers; NaN is left blank."""
    side = 0.52 * len(names) + 1.4
    figure, axes = new_figure(side + 0.8, side)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 else INK
            axes.text(j, i, signed(value), ha="center", va="center", fontsize=7, color=shade)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=axes, label="Spearman", fraction=0.046, pad=0.03).outline.set_visible(False)
    save(figure, path)
