"""What all pictures share: colors, sizes, axes, legends, and the one place that imports matplotlib."""

import importlib
import os
import textwrap
from types import ModuleType

import numpy as np

from jaxnas.check import InputError

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLORS = BLUE, ORANGE, GREEN, RED, SKY, PINK, VIOLET, SAND = (
    "#0b5fc4", "#e69f00", "#00966c", "#b3200a", "#56b4e9", "#c565a5", "#4b2a85", "#b9ac70",
)  # fmt: skip
"""Apart for readers with protanopia, deuteranopia and tritanopia too."""
DASHES = ("-", "--", ":", "-.")
TEXT, SMALL = 10, 9
"""Points of titles and axis labels, and of ticks and legends."""
WIDE = 100
"""Ratio of the largest to the smallest value from which on an axis is logarithmic."""
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
    figure = matplotlib("figure").Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **grid)


def bare_axes(width: float, height: float):
    """A figure and axes that fill it, without a frame: one unit is an inch."""
    figure = matplotlib("figure").Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def line_style(i: int) -> dict[str, str]:
    """Color and dashes of the i-th line."""
    return dict(color=COLORS[i % len(COLORS)], linestyle=DASHES[i // len(COLORS) % len(DASHES)])


def dot_style(count: int) -> dict[str, float]:
    """Size and opacity of so many points: few are seen, many do not become one area."""
    return dict(
        markersize=float(np.clip(120 / np.sqrt(max(count, 1)), 4, 9)),
        alpha=float(np.clip(11 / np.sqrt(max(count, 1)), 0.3, 0.7)),
        markeredgewidth=0,
    )


def plain_axes(axes) -> None:
    """Axes with a light grid behind what is drawn, no frame at the top and the right, and plain numbers."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    axes.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(size=TEXT, color=INK)
        if axis.get_scale() == "linear":
            axis.set_major_formatter(_plain_numbers())
    axes.title.set(size=TEXT, color=INK)


def legend_above(axes, **legend) -> None:
    """A legend outside of the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = _columns(labels, axes.get_position().width * axes.figure.get_figwidth())
    made = axes.legend(
        handles, labels, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=SMALL, **legend
    )
    _opaque(made)


def figure_legend(figure, axes) -> None:
    """The legend of one of the figure's axes above all of them."""
    handles, labels = axes.get_legend_handles_labels()
    columns = _columns(labels, figure.get_figwidth())
    made = figure.legend(handles, labels, frameon=False, loc="outside upper center", ncols=columns, fontsize=SMALL)
    _opaque(made)


def _columns(labels: list[str], inches: float) -> int:
    each = 0.62 + 0.58 * SMALL / 72 * max(map(len, labels), default=1)
    return max(1, min(int(inches / each), 4, len(labels)))


def _opaque(legend) -> None:
    """Points as they would be alone: in the axes they are small and let others through."""
    for handle in legend.legend_handles:
        handle.set_alpha(max(handle.get_alpha() or 1, 0.7))
        if hasattr(handle, "set_markersize"):
            handle.set_markersize(max(handle.get_markersize(), 10 if handle.get_marker() == "." else 5))


def wrapped(text: str, inches: float, *, size: float = TEXT) -> str:
    """The text in one or two lines that are no longer than so many inches; "" if it does not fit."""
    fits = max(int(inches * 72 / (0.58 * size)), 1)
    lines = textwrap.wrap(text, fits, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) if len(lines) <= 2 and max(map(len, lines), default=0) <= fits else ""


def limits(low: float, high: float, *, margin: float = 0.08) -> tuple[float, float]:
    """Limits of an axis that shows both, with a margin of their distance; around a single value some room."""
    wide = high - low
    room = margin * wide if wide > 1e-9 * max(abs(low), abs(high)) else 0.05 * abs(high) or 0.05
    return low - room, high + room


def axis_label(name: str) -> str:
    """The name of a field as an axis says it: `latency_ms` as "latency (ms)"."""
    *words, last = name.split("_")
    return f"{' '.join(words)} ({last})" if words and last in UNITS else name.replace("_", " ")


def whole_ticks(axis) -> None:
    """Ticks at whole numbers alone."""
    axis.set_major_locator(matplotlib("ticker").MaxNLocator(integer=True, min_n_ticks=1, steps=(1, 2, 5, 10)))


def log_ticks(*axis) -> None:
    """A logarithmic axis with plain numbers: 1, 2, 5, 10, …, or powers of ten where those would be too many."""
    ticker = matplotlib("ticker")
    for one in axis:
        one.axes.set(**{f"{one.axis_name}scale": "log"})
        low, high = sorted(getattr(one.axes, f"get_{one.axis_name}lim")())
        if low <= 0:  # nothing was drawn, or nothing above 0
            low, high = 0.1, 1.0
            one.axes.set(**{f"{one.axis_name}lim": (low, high)})
        many = high > 150 * low
        one.set_major_locator(ticker.LogLocator(subs=(1,) if many else (1, 2, 5), numticks=12))
        plain = ticker.FuncFormatter(lambda value, _: f"{value:,.10g}".replace("e-0", "e-").replace("-", "−"))
        one.set_major_formatter(plain if high < 1e6 * low else ticker.LogFormatterMathtext())
        one.set_minor_formatter(ticker.NullFormatter())


def log_if_wide(axis, values: np.ndarray) -> None:
    """A logarithmic axis for positive values of very different size."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > WIDE * values.min():
        log_ticks(axis)


def _plain_numbers():
    """Numbers as they are said, with the decimals that any tick of the axis needs; powers of ten if one is extreme."""
    ticker = matplotlib("ticker")

    def text(value: float, _) -> str:
        sizes = np.abs(np.append(formatter.locs, value))
        if sizes.max() >= 1e7 or 0 < sizes.max() < 1e-3:
            mantissa, _, power = f"{value:.3e}".partition("e")
            number = f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}" if value else "0"
        else:
            number = f"{value + 0.0:,.{max(map(_decimals, sizes))}f}"
        return number.replace("-", "−")

    formatter = ticker.FuncFormatter(text)
    return formatter


def _decimals(value: float) -> int:
    return len(f"{value:.8f}".rstrip("0").partition(".")[2])


def signed(value: float) -> str:
    """Two decimals, with a minus sign and without a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def save(figure, path: str | os.PathLike) -> None:
    """Writes the picture, with whatever was drawn outside of the axes."""
    figure.savefig(path, dpi=140, bbox_inches="tight", pad_inches=0.08, facecolor="white")
