"""Pictures of what a search found. Matplotlib is imported when the first is drawn."""

import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.types import Genome, Space

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLORS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2")


def anytime(
    curves: Mapping[str, Sequence[float]], path: str | pathlib.Path, *, ylabel: str = "best fitness so far"
) -> None:
    """Best-so-far against evaluations, a line for each search.

    Args:
      curves: name -> fitness of each evaluation in order; None or NaN for invalid ones.
      path: of the PNG.
      ylabel: what fitness is.
    """
    figure, axes = _figure(7, 4.2)
    tops = []
    for color, (name, values) in zip(COLORS, curves.items(), strict=False):
        values = np.array([np.nan if v is None else v for v in values], float)
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
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(curves))
    _plain(axes)
    _save(figure, path)


def architecture(space: Space, genome: Genome, path: str | pathlib.Path, *, title: str = "") -> None:
    """The architecture: as a graph where decisions are edges (`i->j`), else as a list of decisions.

    Edges of `none`, and nodes that no path joins to both ends, are not drawn.
    """
    chosen = {n: str(o[int(g)]) for n, o, g in zip(space.decisions, space.options, np.asarray(genome), strict=True)}
    matches = {name: re.fullmatch(r"(\d+)->(\d+)", name) for name in chosen}
    if all(matches.values()):
        edges = [(int(m[1]), int(m[2]), chosen[name]) for name, m in matches.items()]
        figure, axes = _figure(8, 3.6)
        _graph(axes, edges)
    else:
        figure, axes = _figure(4, 0.35 * len(chosen) + 0.6)
        for row, (name, option) in enumerate(chosen.items()):
            axes.text(0.48, -row, name, ha="right", va="center", color=MUTED)
            axes.text(0.52, -row, option, ha="left", va="center", color=INK, weight="bold")
        axes.set_xlim(0, 1)
        axes.set_ylim(-len(chosen) + 0.4, 0.6)
    axes.set_title(title, fontsize=10, color=INK)
    axes.axis("off")
    _save(figure, path)


def _graph(axes, edges: Sequence[tuple[int, int, str]]) -> None:
    last = max(j for _, j, _ in edges)
    edges = [edge for edge in edges if edge[2] != "none"]
    reached, used = {0}, {last}
    for _ in range(last):
        reached |= {j for i, j, _ in edges if i in reached}
        used |= {i for i, j, _ in edges if j in used}
    alive = reached & used
    edges = [(i, j, label) for i, j, label in edges if {i, j} <= alive]
    labels = sorted({label for _, _, label in edges})
    color = dict(zip(labels, COLORS, strict=False))
    for i, j, label in edges:
        # Longer edges bow further out, in turns above and below, so that labels keep apart.
        bow = 0.0 if j - i == 1 else (-0.42 if i % 2 == 0 else 0.42) * (1 if j - i == 2 else 1.25)
        style = f"arc3,rad={bow}"
        arrow = dict(arrowstyle="-|>", color=color[label], connectionstyle=style, shrinkA=17, shrinkB=17, linewidth=2)
        axes.annotate("", (j, 0), (i, 0), arrowprops=arrow)
        axes.text((i + j) / 2, -bow * (j - i) / 2, label, ha="center", va="center", fontsize=8, color=color[label],
                  bbox=dict(facecolor="white", edgecolor="none", pad=1.5))  # fmt: skip
    for node in sorted(alive | {0, last}):
        name = {0: "in", last: "out"}.get(node, str(node))
        axes.text(node, 0, name, ha="center", va="center", color="white", fontsize=9, weight="bold",
                  bbox=dict(boxstyle="circle,pad=0.45", facecolor=INK, edgecolor="none"))  # fmt: skip
    if not edges:
        axes.text(last / 2, 0.3, "no path from input to output", ha="center", color=MUTED)
    axes.set_xlim(-0.3, last + 0.3)
    axes.set_ylim(-0.75, 0.9)
    axes.set_aspect("equal")  # so that the labels sit on the arcs


def _plain(axes) -> None:
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _figure(*size: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    return figure, figure.subplots()


def _save(figure, path) -> None:
    figure.savefig(path, dpi=140, bbox_inches="tight", facecolor="white")
