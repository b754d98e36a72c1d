"""Small graphs whose edges are operations (NAS-Bench-201): nodes in a row, edges as labelled arcs."""

from collections.abc import Mapping, Sequence

from jaxnas.plots._figure import INK, MUTED, SMALL, bare_axes

STEP = 2.15
"""Inches between two nodes."""


def draw_edges(edges: Sequence[tuple[int, int, str]], styles: Mapping[str, dict[str, str]]):
    """A figure of the edges `(i, j, operation)` on a path from node 0 to the last; those of `none` are not there."""
    last = max(j for _, j, _ in edges)
    edges, alive = _connected([edge for edge in edges if edge[2] != "none"], last)
    bows = [_bow(i, j) for i, j, _ in edges]
    heights = [-bow * (j - i) / 2 for bow, (i, j, _) in zip(bows, edges, strict=True)]
    bottom, top = (
        min([-0.16, *(height - 0.08 for height in heights)]),
        max([0.16, *(height + 0.08 for height in heights)]),
    )
    top += 0.2 if not edges else 0
    figure, axes = bare_axes(STEP * (last + 0.4), STEP * (top - bottom))
    axes.set(xlim=(-0.2, last + 0.2), ylim=(bottom, top))
    for bow, height, (i, j, label) in zip(bows, heights, edges, strict=True):
        style = dict(linewidth=2, connectionstyle=f"arc3,rad={bow}", **styles[label])
        axes.annotate("", (j, 0), (i, 0), arrowprops=dict(arrowstyle="-|>", shrinkA=14, shrinkB=14, **style))
        axes.text((i + j) / 2, height, label, ha="center", va="center", fontsize=SMALL, color=INK,
                  bbox=dict(facecolor="white", edgecolor="none", pad=1.5))  # fmt: skip
    for node in sorted(alive | {0, last}):
        axes.plot(node, 0, "o", color=INK, markersize=26, clip_on=False)
        name = {0: "in", last: "out"}.get(node, str(node))
        axes.text(node, 0, name, ha="center", va="center_baseline", color="white", fontsize=SMALL, weight="bold")
    if not edges:
        axes.text(last / 2, 0.25, "no path from input to output", ha="center", color=MUTED)
    return figure


def _bow(i: int, j: int) -> float:
    """Longer edges bow further out, in turns above and below, so that labels keep apart."""
    return 0.0 if j - i == 1 else (-0.42 if i % 2 == 0 else 0.42) * (1 if j - i == 2 else 1.25)


def _connected(edges: list[tuple[int, int, str]], last: int) -> tuple[list[tuple[int, int, str]], set[int]]:
    """The edges on a path from node 0 to `last`, and the nodes."""
    reached, used = {0}, {last}
    for _ in range(last):
        reached |= {j for i, j, _ in edges if i in reached}
        used |= {i for i, j, _ in edges if j in used}
    alive = reached & used
    return [edge for edge in edges if {edge[0], edge[1]} <= alive], alive
