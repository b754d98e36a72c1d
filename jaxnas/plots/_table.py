"""Decisions as a table: a row each, or one for each stage where stages have several."""

import re
from collections.abc import Mapping

from jaxnas.plots._figure import GRID, INK, MUTED, SMALL, bare_axes

STAGE = re.compile(r"(.*_\d+)_(\D\w*)")
ROW, CHARACTER, GAP = 0.28, 0.6 * SMALL / 72, 0.3
"""Inches: height of a row, width of a character, space between columns."""


def draw_table(chosen: Mapping[str, str]):
    """A figure of what was chosen for each decision; `stage_0_kernel` stands in row `stage_0`, column `kernel`."""
    found = {name: STAGE.fullmatch(name) for name in chosen}
    staged = all(found.values()) and len({m[1] for m in found.values()}) < len(chosen)
    places = {name: m.groups() if staged else (name, "") for name, m in found.items()}
    rows, columns = (list(dict.fromkeys(place[i] for place in places.values())) for i in (0, 1))
    cells = {place: chosen[name] for name, place in places.items()}
    texts = [["", *columns]] if staged else []
    texts += [[row, *(cells.get((row, column), "–") for column in columns)] for row in rows]
    widths = [CHARACTER * 1.12 * max(len(line[i]) for line in texts) + GAP for i in range(len(texts[0]))]
    figure, axes = bare_axes(max(sum(widths), 2.0), ROW * len(texts))
    for n, line in enumerate(texts):
        y = ROW * (len(texts) - n - 0.5)
        for i, text in enumerate(line):
            weak = i == 0 or (staged and n == 0)
            style = dict(color=MUTED if weak else INK, weight="normal" if weak else "bold", fontsize=SMALL)
            axes.text(sum(widths[:i]) + GAP / 2, y, text, ha="left", va="center", **style)
        if n:
            axes.axhline(y + ROW / 2, color=GRID, linewidth=0.8)
    return figure
