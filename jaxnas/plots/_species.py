"""Species of a search over its generations."""

import os

import numpy as np

from jaxnas.loop.history import History
from jaxnas.plots._figure import (
    BLUE,
    COLORS,
    MUTED,
    legend_above,
    new_figure,
    plain_axes,
    save,
    whole_ticks,
)


def species(history: History, path: str | os.PathLike) -> None:
    """Members of each species over the generations, in order of birth, below the best and mean fitness.

    Args:
      history: of a search whose strategy records `species`; evaluations without are left out.
      path: of the PNG.
    """
    recorded = np.isfinite(history.column("species"))
    rounds = history.column("round")[recorded]
    rounds -= rounds.min()  # of its phase
    numbers, place = np.unique(history.column("species")[recorded], return_inverse=True)
    sizes = np.zeros((len(numbers), rounds.max() + 1))
    np.add.at(sizes, (place, rounds), 1)
    fitness = np.where(history.column("valid"), history.column("fitness"), np.nan)[recorded]
    known = [fitness[(rounds == t) & np.isfinite(fitness)] for t in range(rounds.max() + 1)]
    figure, (top, bottom) = new_figure(7, 5.4, rows=2)
    for name, of, color in (("best", np.max, BLUE), ("mean", np.mean, MUTED)):
        top.plot(
            [of(f) if len(f) else np.nan for f in known],
            color=color,
            label=name,
            linewidth=2,
            marker="." if len(known) < 20 else "",
        )
    top.set_ylabel("fitness")
    legend_above(top)
    _stack(bottom, sizes)
    bottom.set_ylabel("members, by species")
    bottom.set_xlabel(f"generation ({len(numbers)} species in all)")
    for axes in (top, bottom):
        axes.set_xlim(-0.5, len(known) - 0.5)
        whole_ticks(axes.xaxis)
        plain_axes(axes)
    save(figure, path)


def _stack(axes, sizes: np.ndarray) -> None:
    """Bars of `sizes` `[species, generations]`, each a generation wide and around its number."""
    ends = np.arange(sizes.shape[1] + 1) - 0.5
    sizes = np.concatenate([sizes, sizes[:, -1:]], 1)
    colors = [COLORS[i % len(COLORS)] for i in range(len(sizes))]
    border = 0.4 if len(ends) < 100 else 0  # many would be all white
    axes.stackplot(ends, sizes, colors=colors, edgecolor="white", linewidth=border, alpha=0.85, step="post")
