"""Architectures, each kind as what it is: a graph of edges, cells of blocks, a growing graph, a list of decisions."""

import os
import re
from collections.abc import Mapping

import numpy as np

from jaxnas.plots._cells import Cell, blocks, draw_cell, slots, vertices
from jaxnas.plots._edges import draw_edges
from jaxnas.plots._figure import INK, MUTED, new_figure, save
from jaxnas.plots._growing import draw_graph
from jaxnas.spaces import Graph, needed
from jaxnas.types import Genome, Space

LONGEST = 100
"""Characters of a title; a longer one is left out, as what it says is drawn."""
EDGE = re.compile(r"(\d+)->(\d+)")
VERTEX = re.compile(r"vertex(\d+)")
BLOCK = re.compile(r"\w+_(\d+_[ab]_(input|op)|\d+->\d+)")


def architecture(space: Space, genome: Genome, path: str | os.PathLike, *, title: str = "") -> None:
    """The architecture as a graph, where decisions are edges (`i->j`), vertices or blocks of cells; else as a list.

    Edges of `none`, and nodes on no path from input to output, are not drawn; of a growing graph, what is enabled is.

    Args:
      space: of the genome.
      genome: a single one.
      path: of the PNG.
      title: above the picture, if it is short.

    Raises:
      InputError: of a space that is neither categorical nor of growing graphs.
    """
    if isinstance(genome, Graph):
        figure, axes = new_figure(7, 4.2)
        draw_graph(axes, genome)
        axes.axis("off")
    else:
        needed.functions("plots.architecture", space, "decisions", "options")
        genome = np.asarray(genome)
        chosen = {n: str(o[int(g)]) for n, o, g in zip(space.decisions, space.options, genome, strict=True)}
        figure = _categorical(chosen)
    if len(title) < LONGEST:
        figure.suptitle(title, fontsize=9, color=INK, y=1.0, va="bottom")
    save(figure, path)


def _categorical(chosen: Mapping[str, str]):
    """A figure of what was chosen, drawn as the names of the decisions say."""
    edges = [(*map(int, m.groups()), chosen[n]) for n in chosen if (m := EDGE.fullmatch(n))]
    labels = {int(m[1]): chosen[n] for n in chosen if (m := VERTEX.fullmatch(n))}
    if edges and len(edges) == len(chosen):
        figure, axes = new_figure(8, 3.6)
        draw_edges(axes, edges)
        axes.axis("off")
        return figure
    if edges and labels and len(edges) + len(labels) == len(chosen):
        there = [(i, j) for i, j, on in edges if on == "1"]
        return _cells({"": vertices(there, labels, max(j for _, j, _ in edges))})
    if all(BLOCK.fullmatch(name) for name in chosen):
        return _cells(_blocks_of(chosen))
    return _list(chosen)


def _blocks_of(chosen: Mapping[str, str]) -> dict[str, Cell]:
    whole = any("->" in name for name in chosen)  # then all nodes make the output
    chosen = slots(chosen) if whole else chosen
    names = list(dict.fromkeys(name.split("_")[0] for name in chosen))
    own = lambda cell: {n.removeprefix(f"{cell}_"): v for n, v in chosen.items() if n.startswith(f"{cell}_")}
    return {f"{cell} cell": blocks(own(cell), whole=whole) for cell in names}


def _cells(cells: Mapping[str, Cell]):
    """A figure with a cell above the other, on one scale."""
    figure, panels = new_figure(1, 1, rows=len(cells))
    panels = np.atleast_1d(panels)
    sizes = np.array([draw_cell(axes, cell) for axes, cell in zip(panels, cells.values(), strict=True)])
    width, heights = sizes[:, 0].max(), sizes[:, 1] + 0.4
    for axes, name, (own, _) in zip(panels, cells, sizes, strict=True):
        axes.set_xlim(right=axes.get_xlim()[1] + width - own)
        axes.set_title(name, fontsize=10, color=INK)
    figure.set_size_inches(width, heights.sum())
    panels[0].get_gridspec().set_height_ratios(heights)
    figure.tight_layout()
    return figure


def _list(chosen: Mapping[str, str]):
    figure, axes = new_figure(4, 0.35 * len(chosen) + 0.6)
    for row, (name, option) in enumerate(chosen.items()):
        axes.text(0.48, -row, name, ha="right", va="center", color=MUTED)
        axes.text(0.52, -row, option, ha="left", va="center", color=INK, weight="bold")
    axes.set_xlim(0, 1)
    axes.set_ylim(-len(chosen) + 0.4, 0.6)
    axes.axis("off")
    return figure
