"""Small graphs whose edges are operations (NAS-Bench-201): nodes in a row, edges as labelled arcs."""

from collections.abc import Sequence

from jaxnas.plots._figure import COLORS, INK, MUTED


def draw_edges(axes, edges: Sequence[tuple[int, int, str]]) -> None:
    """Edges `(i, j, operation)` on a path from node 0 to the last; those of `none` are not there."""
    last = max(j for _, j, _ in edges)
    edges, alive = _connected([edge for edge in edges if edge[2] != "none"], last)
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


def _connected(edges: list[tuple[int, int, str]], last: int) -> tuple[list[tuple[int, int, str]], set[int]]:
    """The edges on a path from node 0 to `last`, and the nodes."""
    reached, used = {0}, {last}
    for _ in range(last):
        reached |= {j for i, j, _ in edges if i in reached}
        used |= {i for i, j, _ in edges if j in used}
    alive = reached & used
    return [edge for edge in edges if {edge[0], edge[1]} <= alive], alive
