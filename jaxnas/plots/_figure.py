"""What all pictures share: colors, axes, legends, and the one place that imports matplotlib."""

import importlib
import os
from types import ModuleType

from jaxnas.check import InputError

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLORS = (
    "#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2", "#db2777", "#65a30d", "#78350f", "#6b7280",
)  # fmt: skip
UNITS = ("ms", "us", "s", "mj", "mb", "bytes")
"""Last words of a cost's name that are its unit."""


def matplotlib(module: str) -> ModuleType:
    """The module `matplotlib.module`, imported when the first picture is drawn.

    Raises:
      InputError: matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ModuleNotFoundError as error:
        raise InputError(f"plots: {error.name} is not installed; pip install matplotlib.") from None


def new_figure(width: float, height: float, *, rows: int = 1, columns: int = 1, **grid):
    """A figure of `width` × `height` inches, and its axes: one, or an array of them. It needs no display."""
    figure = matplotlib("figure").Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **grid)


def plain_axes(axes) -> None:
    """Axes with a light grid behind what is drawn, and no frame at the top and the right."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend_above(axes, *, columns: int = 3, **legend) -> None:
    """A legend outside of the axes, where it covers nothing."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **legend)


def axis_label(name: str) -> str:
    """The name of a field as an axis says it: `latency_ms` as "latency (ms)"."""
    *words, last = name.split("_")
    return f"{' '.join(words)} ({last})" if words and last in UNITS else name.replace("_", " ")


def number_ticks(*axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 1, 2, 5, 10, …"""
    ticker = matplotlib("ticker")
    for one in axis:
        one.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        one.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        one.set_minor_formatter(ticker.NullFormatter())


def signed(value: float) -> str:
    """Two decimals, with a minus sign and without a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def save(figure, path: str | os.PathLike) -> None:
    """Writes the picture, with whatever was drawn outside of the axes."""
    figure.savefig(path, dpi=140, bbox_inches="tight", facecolor="white")
