"""Architectures, each kind as what it is: a graph of edges, cells of blocks, a growing graph, a table of decisions."""

import os
import re
from collections.abc import Mapping

import jax
import numpy as np

from jaxnas.plots._boxes import draw_cell
from jaxnas.plots._cells import Cell, blocks, slots, vertices
from jaxnas.plots._edges import draw_edges
from jaxnas.plots._figure import INK, SMALL, TEXT, line_style, matplotlib, save, wrapped
from jaxnas.plots._growing import draw_graph
from jaxnas.plots._table import draw_table
from jaxnas.spaces import Graph, needed
from jaxnas.types import Genome, Space

EDGE = re.compile(r"(\d+)->(\d+)")
VERTEX = re.compile(r"vertex(\d+)")
BLOCK = re.compile(r"\w+_(\d+_[ab]_(input|op)|\d+->\d+)")
TITLE = 0.32
"""Inches of the title of a cell."""


def architecture(space: Space, genome: Genome, path: str | os.PathLike, *, title: str = "") -> None:
    """The architecture as a graph, where decisions are edges (`i->j`), vertices or blocks of cells; else as a table.

    Edges of `none`, and nodes on no path from input to output, are not drawn; of a growing graph, what is enabled is.
    An operation has the same color and dashes in all pictures of its space.

    Args:
      space: of the genome.
      genome: a single one.
      path: of the PNG.
      title: above the picture, if two lines of the picture's width have room for it.

    Raises:
      InputError: of a space that is neither categorical nor of growing graphs.
    """
    if isinstance(genome, Graph):
        figure = draw_graph(jax.tree.map(np.asarray, genome))
    else:
        needed.functions("plots.architecture", space, "decisions", "options")
        genome = np.asarray(genome)
        chosen = {n: str(o[int(g)]) for n, o, g in zip(space.decisions, space.options, genome, strict=True)}
        figure = _categorical(chosen, _styles(space))
    title = wrapped(title, figure.get_figwidth(), size=SMALL)
    if title:
        figure.suptitle(title, fontsize=SMALL, color=INK, y=1 + 0.08 / figure.get_figheight(), va="bottom")
    save(figure, path)


def _styles(space: Space) -> dict[str, dict[str, str]]:
    """Operation -> color and dashes."""
    named = zip(space.decisions, space.options, strict=True)
    labels = dict.fromkeys(str(o) for name, options in named if not name.endswith("_input") for o in options)
    return {label: line_style(i) for i, label in enumerate(o for o in labels if o not in ("none", "0", "1"))}


def _categorical(chosen: Mapping[str, str], styles: Mapping[str, dict[str, str]]):
    """A figure of what was chosen, drawn as the names of the decisions say."""
    edges = [(*map(int, m.groups()), chosen[n]) for n in chosen if (m := EDGE.fullmatch(n))]
    labels = {int(m[1]): chosen[n] for n in chosen if (m := VERTEX.fullmatch(n))}
    if edges and len(edges) == len(chosen):
        return draw_edges(edges, styles)
    if edges and labels and len(edges) + len(labels) == len(chosen):
        there = [(i, j) for i, j, on in edges if on == "1"]
        return _cells({"": vertices(there, labels, max(j for _, j, _ in edges))}, styles)
    if all(BLOCK.fullmatch(name) for name in chosen):
        return _cells(_blocks_of(chosen), styles)
    return draw_table(chosen)


def _blocks_of(chosen: Mapping[str, str]) -> dict[str, Cell]:
    whole = any("->" in name for name in chosen)  # then all nodes make the output
    chosen = slots(chosen) if whole else chosen
    names = list(dict.fromkeys(name.split("_")[0] for name in chosen))
    own = lambda cell: {n.removeprefix(f"{cell}_"): v for n, v in chosen.items() if n.startswith(f"{cell}_")}
    return {f"{cell} cell": blocks(own(cell), whole=whole) for cell in names}


def _cells(cells: Mapping[str, Cell], styles: Mapping[str, dict[str, str]]):
    """A figure with a cell above the other, on one scale."""
    figure = matplotlib("figure").Figure()
    panels = [figure.add_axes((0, 0, 1, 1), label=name) for name in cells]
    sizes = [draw_cell(axes, cell, styles) for axes, cell in zip(panels, cells.values(), strict=True)]
    title = TITLE * any(cells)
    width, height = max(own for own, _ in sizes), sum(own + title for _, own in sizes)
    figure.set_size_inches(width, height)
    top = height
    for axes, name, (wide, high) in zip(panels, cells, sizes, strict=True):
        top -= title + high
        axes.set_position((0, top / height, wide / width, high / height))
        figure.text(0.05 / width, (top + high + 0.5 * title) / height, name, fontsize=TEXT, color=INK, va="center")
    return figure
