"""Predicted against measured latency."""

import os

import numpy as np

from jaxnas.costs import HeldOut
from jaxnas.plots._figure import BLUE, GRID, MUTED, dot_style, figure_legend, log_ticks, new_figure, plain_axes, save


def latency(held_out: HeldOut, path: str | os.PathLike, *, whole: str = "measured") -> None:
    """Predicted latency of the networks of a `costs.HeldOut` against that of them as a whole, measured or estimated,
    beside what FLOPs say of them."""
    measured, summary = held_out.measured, held_out.summary()
    about = {"": ("predicted", held_out.predicted), "flops_": ("by FLOPs", held_out.by_flops)}
    figure, panels = new_figure(9.6, 4.9, columns=2)
    values = np.concatenate([measured, held_out.predicted, held_out.by_flops])
    ends = np.array([values.min() / 1.1, values.max() * 1.1])
    for axes, (prefix, (name, predicted)) in zip(panels, about.items(), strict=True):
        axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=GRID, linewidth=0, label="within 10 %")
        axes.plot(ends, ends, color=MUTED, linewidth=1, label="equal")
        axes.plot(measured, predicted, ".", color=BLUE, label="networks", **dot_style(len(measured)))
        title = f"ρ = {summary[prefix + 'spearman']:.3f}, mean error {summary[prefix + 'mape']:.1%}"
        axes.set_title(title)
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel=f"{whole} (ms)", ylabel=f"{name} (ms)")
        log_ticks(axes.xaxis, axes.yaxis)
        plain_axes(axes)
    figure_legend(figure, panels[0])
    save(figure, path)
