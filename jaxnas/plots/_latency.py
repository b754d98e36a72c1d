"""Predicted against measured latency."""

import os

import numpy as np

from jaxnas.costs import HeldOut
from jaxnas.plots._figure import COLORS, GRID, INK, MUTED, new_figure, number_ticks, plain_axes, save


def latency(held_out: HeldOut, path: str | os.PathLike) -> None:
    """Predicted against measured latency of the networks of a `costs.HeldOut`, beside what FLOPs say of them."""
    measured, summary = held_out.measured, held_out.summary()
    about = {"": ("predicted", held_out.predicted), "flops_": ("by FLOPs", held_out.by_flops)}
    figure, panels = new_figure(9.6, 4.4, columns=2)
    values = np.concatenate([measured, held_out.predicted, held_out.by_flops])
    ends = np.array([values.min() / 1.1, values.max() * 1.1])
    for axes, (prefix, (name, predicted)) in zip(panels, about.items(), strict=True):
        axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=GRID, linewidth=0, label="within 10 %")
        axes.plot(ends, ends, color=MUTED, linewidth=1, label="equal")
        axes.plot(measured, predicted, ".", color=COLORS[0], alpha=0.7, label="networks")
        title = f"ρ = {summary[prefix + 'spearman']:.3f}, mean error {summary[prefix + 'mape']:.1%}"
        axes.set_title(title, fontsize=10, color=INK)
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured (ms)", ylabel=f"{name} (ms)")
        number_ticks(axes.xaxis, axes.yaxis)
        plain_axes(axes)
    figure.tight_layout()
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    save(figure, path)
