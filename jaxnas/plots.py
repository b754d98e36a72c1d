"""Pictures of what a search found. Matplotlib is imported when the first is drawn."""

import itertools
import pathlib
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxnas.spaces import Graph
from jaxnas.spaces._graph import END
from jaxnas.types import Genome, Space

LOOP = np.linspace(0, 2 * np.pi, 40)
INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLORS = (
    "#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2", "#db2777", "#65a30d", "#78350f", "#6b7280",
)  # fmt: skip


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


def species(history: Sequence[Mapping], path: str | pathlib.Path) -> None:
    """Members of each species over the generations, in order of birth, below the best and mean fitness.

    Args:
      history: lines of a search whose strategy records `species`; others are left out.
      path: of the PNG.
    """
    history = [line for line in history if "species" in line]
    rounds = np.array([line["round"] for line in history])
    rounds -= rounds.min()  # of its phase
    numbers, place = np.unique([line["species"] for line in history], return_inverse=True)
    sizes = np.zeros((len(numbers), rounds.max() + 1))
    np.add.at(sizes, (place, rounds), 1)
    fitness = np.array([line["fitness"] if line["valid"] else np.nan for line in history], float)
    known = [fitness[(rounds == t) & np.isfinite(fitness)] for t in range(rounds.max() + 1)]
    figure, (top, bottom) = _figure(7, 5.4, rows=2)
    generations = np.arange(len(known))
    for name, of, color in (("best", np.max, COLORS[0]), ("mean", np.mean, MUTED)):
        top.plot(generations, [of(f) if len(f) else np.nan for f in known], color=color, label=name, linewidth=2)
    top.set_ylabel("fitness")
    top.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    colors = [COLORS[i % len(COLORS)] for i in range(len(numbers))]
    bottom.stackplot(generations, sizes, colors=colors, edgecolor="white", linewidth=0.4, alpha=0.85, step="mid")
    bottom.set_ylabel("members, by species")
    bottom.set_xlabel(f"generation ({len(numbers)} species in all)")
    for axes in (top, bottom):
        axes.set_xlim(-0.5, len(known) - 0.5)
        _plain(axes)
    _save(figure, path)


def front(
    fitness: np.ndarray,
    cost: np.ndarray,
    found: np.ndarray,
    path: str | pathlib.Path,
    *,
    names: Sequence[str],
    true: tuple[np.ndarray, np.ndarray] | None = None,
    ylabel: str = "fitness",
) -> None:
    """Fitness against each cost: all evaluated, the front of them, and the true one where it is known.

    Args:
      fitness: `[N]`.
      cost: `[N, K]`.
      found: `[N]` bool, who is on the front.
      path: of the PNG.
      names: of the K costs.
      true: (fitness `[M]`, cost `[M, K]`) of the true front.
      ylabel: what fitness is.
    """
    K = len(names)
    figure, panels = _figure(0.6 + 5.4 * K, 4.2, columns=K)
    panels = np.atleast_1d(panels)
    fronts = {"true front": (true, MUTED, "o"), "front found": ((fitness[found], cost[found]), COLORS[0], ".")}
    for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.plot(cost[:, k], fitness, ".", color=COLORS[1], alpha=0.35, markersize=4, label="evaluated")
        for label, (points, color, marker) in fronts.items():
            if points is None:
                continue
            order = np.argsort(points[1][:, k])
            x, y = points[1][order, k], points[0][order]
            if K == 1:  # else a front is no line in this plane
                axes.step(x, y, where="post", color=color, linewidth=1.2)
            hollow = "none" if marker == "o" else color
            axes.plot(x, y, marker, color=color, markerfacecolor=hollow, markersize=7, label=label)
        axes.set_xlabel(name.replace("_", " "))
        _plain(axes)
    # What nobody would build, a network that learns nothing say, would leave the rest no room.
    tops = fitness[found] if true is None else np.append(fitness[found], true[0])
    low, high = np.quantile(np.append(fitness, tops), 0.1), tops.max()
    margin = 0.06 * max(high - low, 1e-6)
    for axes in panels:
        axes.set_ylim(low - margin, high + margin)
    panels[0].set_ylabel(ylabel)
    panels[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    figure.tight_layout()
    _save(figure, path)


def hypervolume(volumes: np.ndarray, path: str | pathlib.Path, *, true: float | None = None) -> None:
    """Hypervolume `[N]` against evaluations, and that of the true front where it is known."""
    figure, axes = _figure(7, 4.2)
    axes.step(np.arange(1, len(volumes) + 1), volumes, where="post", color=COLORS[0], linewidth=2)
    if true is not None:
        axes.axhline(true, color=INK, linewidth=0.8)
        axes.text(len(volumes), true, "true front", ha="right", va="bottom", fontsize=8, color=MUTED)
    low, high = np.quantile(volumes, 0.05), max(volumes.max(), true or 0)
    axes.set_ylim(low - 0.08 * max(high - low, 1e-9), high + 0.12 * max(high - low, 1e-9))
    axes.set_xlabel("evaluations")
    axes.set_ylabel("hypervolume")
    _plain(axes)
    _save(figure, path)


def shared_weights(history: Sequence[Mapping], path: str | pathlib.Path, *, cells: Sequence[str] = ()) -> None:
    """A search on shared weights, against its evaluations: losses; and skip connections and curvature where known.

    Args:
      history: as `search` gives it.
      path: of the PNG.
      cells: names for the columns of `skip_connections`.
    """
    curvature = [(n, h["curvature"]) for n, h in enumerate(history) if h.get("curvature") is not None]
    panels = 1 + bool(cells) + bool(curvature)
    figure, axes = _figure(7, 2.4 * panels + 0.6, rows=panels)
    axes = list(np.atleast_1d(axes))
    for color, name in zip(COLORS, ("train_loss", "loss"), strict=False):
        known = np.array([(n, h[name]) for n, h in enumerate(history) if h.get(name) is not None]).reshape(-1, 2)
        label = {"train_loss": "training loss", "loss": "validation loss"}[name]
        axes[0].plot(*known.T, ".", color=color, alpha=0.35, markersize=3, label=label)
    axes[0].set_ylabel("loss")
    axes[0].legend(frameon=False, loc="upper right", markerscale=3)
    if cells:
        counts = np.array([h.get("skip_connections", [np.nan] * len(cells)) for h in history], float)
        for color, cell, column in zip(COLORS, cells, counts.T, strict=False):
            axes[1].plot(column, ".", color=color, label=f"{cell} cell", markersize=3)
        axes[1].set_ylabel("skip connections")
        axes[1].yaxis.get_major_locator().set_params(integer=True)
        axes[1].legend(frameon=False, loc="upper left", markerscale=3)
    if curvature:
        axes[-1].plot(*zip(*curvature, strict=True), ".-", color=COLORS[4])
        axes[-1].set_ylabel("largest eigenvalue")
    axes[-1].set_xlabel("evaluations")
    for panel in axes:
        _plain(panel)
        panel.set_xlim(-0.01 * len(history), 1.01 * len(history))
    figure.tight_layout()
    _save(figure, path)


def curvatures(searches: Sequence[tuple[Sequence[float], bool]], path: str | pathlib.Path) -> None:
    """The largest eigenvalue over its measurements, a line for each `(values, collapsed)`."""
    figure, axes = _figure(6, 3.6)
    for collapsed, label in ((False, "other searches"), (True, "collapsed")):
        lines = [values for values, said in searches if said == collapsed]
        for i, values in enumerate(lines):
            axes.plot(values, color=COLORS[4 if collapsed else 0], alpha=0.6, label=None if i else label)
    axes.set_xlabel("measurements")
    axes.set_ylabel("largest eigenvalue")
    axes.legend(frameon=False)
    _plain(axes)
    _save(figure, path)


def scatter(
    x: np.ndarray, y: np.ndarray, path: str | pathlib.Path, *, xlabel: str, ylabel: str, title: str = ""
) -> None:
    """One point for each pair of `x` and `y`, `[n]` each."""
    figure, axes = _figure(5, 4.2)
    axes.plot(x, y, ".", color=COLORS[0], alpha=0.6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize=10, color=INK)
    _plain(axes)
    _save(figure, path)


def latency(held_out, path: str | pathlib.Path) -> None:
    """Predicted against measured latency of the networks of a `costs.HeldOut`, beside what FLOPs say of them."""
    measured, summary = held_out.measured, held_out.summary()
    about = {"": ("predicted", held_out.predicted), "flops_": ("by FLOPs", held_out.by_flops)}
    figure, panels = _figure(9.6, 4.4, columns=2)
    values = np.concatenate([measured, held_out.predicted, held_out.by_flops])
    ends = np.array([values.min() / 1.1, values.max() * 1.1])
    for axes, (prefix, (name, predicted)) in zip(panels, about.items(), strict=True):
        axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=GRID, linewidth=0, label="± 10 %")
        axes.plot(ends, ends, color=MUTED, linewidth=1)
        axes.plot(measured, predicted, ".", color=COLORS[0], alpha=0.7)
        axes.set_title(
            f"ρ = {summary[prefix + 'spearman']:.3f}, mean error {summary[prefix + 'mape']:.1%}", fontsize=10, color=INK
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_xlabel("measured (ms)")
        axes.set_ylabel(f"{name} (ms)")
        axes.legend(frameon=False, loc="upper left")
        _plain(axes)
    figure.tight_layout()
    _save(figure, path)


def proxies(
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    path: str | pathlib.Path,
    *,
    spearman: Mapping[str, float | None],
    metric: str,
) -> None:
    """A panel for each proxy: rank by the metric against rank by the proxy, of which scales differ by many orders.

    Args:
      scores: proxy -> `[n]`; what is not finite is left out.
      truth: `[n]`.
      path: of the PNG.
      spearman: proxy -> rank correlation, for the titles.
      metric: what the truth is.
    """
    columns = min(len(scores), 5)
    rows = -(-len(scores) // columns)
    figure, panels = _figure(2.4 * columns + 0.6, 2.5 * rows + 0.5, rows=rows, columns=columns)
    panels = np.atleast_1d(panels).ravel()
    for i, (axes, (name, values)) in enumerate(zip(panels, scores.items(), strict=False)):
        known = np.isfinite(values) & np.isfinite(truth)
        n = max(known.sum(), 1)
        size = float(np.clip(120 / np.sqrt(n), 1.5, 8))
        color = COLORS[i % len(COLORS)]
        x, y = _percent(values[known]), _percent(truth[known])
        axes.plot(x, y, ".", color=color, alpha=0.4, markersize=size, markeredgewidth=0)
        rho = spearman[name]
        axes.set_title(name + ("" if rho is None else f"  ρ = {_signed(rho)}"), fontsize=10, color=INK)
        axes.set_xlim(-2, 102)
        axes.set_ylim(-2, 102)
        axes.tick_params(labelbottom=i + columns >= len(scores), labelleft=i % columns == 0)
        _plain(axes)
    for axes in panels[len(scores) :]:
        axes.axis("off")
    figure.supxlabel("rank by the proxy (%)", fontsize=10, color=INK)
    figure.supylabel(f"rank by {metric} (%)", fontsize=10, color=INK)
    figure.tight_layout()
    _save(figure, path)


def _percent(values: np.ndarray) -> np.ndarray:
    """Ranks from the least, 0, to the greatest, 100; equal values share theirs."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1
    return 50 * below / max(len(values) - 1, 1)


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def correlations(names: Sequence[str], matrix: np.ndarray, path: str | pathlib.Path) -> None:
    """Rank correlations `[N, N]` as colors and numbers; NaN is left blank."""
    side = 0.52 * len(names) + 1.4
    figure, axes = _figure(side + 0.8, side)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 else INK
            axes.text(j, i, _signed(value), ha="center", va="center", fontsize=7, color=shade)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=axes, label="Spearman", fraction=0.046, pad=0.03).outline.set_visible(False)
    _save(figure, path)


def comparison(
    curves: Mapping[str, np.ndarray],
    path: str | pathlib.Path,
    *,
    optimum: float,
    ranks: Mapping[int, Mapping[str, float]],
    ylabel: str = "best so far",
    published: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Strategies over many seeds: anytime mean, regret, hits of the optimum, and ranks, each with evaluations.

    Args:
      curves: name -> `[seeds, evaluations]` the best so far; NaN before there is one.
      path: of the PNG.
      optimum: the best there is, which says too whether higher is better.
      ranks: evaluations -> name -> mean rank.
      ylabel: what is optimized.
      published: name -> (mean, standard deviation), drawn beside the anytime curves.
    """
    figure, ((anytime, regret), (hits, rank)) = _figure(11, 8, rows=2, columns=2)
    colors = dict(zip(curves, itertools.cycle(COLORS), strict=False))
    starts = []
    for name, values in curves.items():
        number = np.arange(1, values.shape[1] + 1)
        known = np.isfinite(values).sum(0)
        whole = known == len(values)  # a mean over some of the seeds only would not be comparable
        number, values, known = number[whole], values[:, whole], known[whole]
        mean, band = values.mean(0), 1.96 * values.std(0) / np.sqrt(known)
        gap = np.abs(optimum - values).mean(0)
        anytime.plot(number, mean, color=colors[name], label=name, linewidth=1.8)
        anytime.fill_between(number, mean - band, mean + band, color=colors[name], alpha=0.2, linewidth=0)
        regret.plot(number[gap > 0], gap[gap > 0], color=colors[name], linewidth=1.8)
        regret.fill_between(
            number, np.maximum(gap - band, 1e-12), gap + band, color=colors[name], alpha=0.2, linewidth=0
        )
        hits.plot(number, 100 * (values == np.float32(optimum)).mean(0), color=colors[name], linewidth=1.8)
        rank.plot(list(ranks), [r[name] for r in ranks.values()], ".-", color=colors[name], linewidth=1.8)
        starts.append(mean[number >= 5][:1])
    for name, (mean, deviation) in (published or {}).items():
        anytime.axhline(mean, color=colors.get(name, MUTED), linestyle="--", linewidth=1)
        anytime.text(1, mean, f" published: {name} {mean} ± {deviation}", fontsize=7, color=MUTED, va="bottom")
    lows = [*np.concatenate(starts), *(mean for mean, _ in (published or {}).values())]
    worst = min(lows, key=lambda v: -abs(optimum - v))
    anytime.set_ylim(*sorted((worst, optimum + 0.05 * (optimum - worst))))
    anytime.axhline(optimum, color=INK, linewidth=0.8)
    lowest = [line.get_ydata().min() for line in regret.lines if len(line.get_ydata())]
    regret.set_yscale("log")
    regret.set_ylim(bottom=0.5 * min(lowest))
    rank.invert_yaxis()
    labels = (f"{ylabel}, mean and 95 % band", "regret", "seeds at the optimum (%)", "mean rank")
    for axes, label in zip((anytime, regret, hits, rank), labels, strict=True):
        axes.set_xscale("log")
        axes.set_xlabel("evaluations")
        axes.set_ylabel(label)
        _plain(axes)
    figure.legend(
        *anytime.get_legend_handles_labels(), frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3
    )
    figure.tight_layout()
    _save(figure, path)


def architecture(space: Space, genome: Genome, path: str | pathlib.Path, *, title: str = "") -> None:
    """The architecture as a graph, where decisions are edges (`i->j`) or blocks of cells; else as a list of decisions.

    Edges of `none`, and nodes that no path joins to both ends, are not drawn. Of a growing graph what is enabled is.
    """
    if isinstance(genome, Graph):
        figure, axes = _figure(7, 4.2)
        _grown(axes, genome)
        axes.set_title(title if len(title) < 80 else "", fontsize=10, color=INK)
        axes.axis("off")
        _save(figure, path)
        return
    chosen = {n: str(o[int(g)]) for n, o, g in zip(space.decisions, space.options, np.asarray(genome), strict=True)}
    matches = {name: re.fullmatch(r"(\d+)->(\d+)", name) for name in chosen}
    if all(matches.values()):
        edges = [(int(m[1]), int(m[2]), chosen[name]) for name, m in matches.items()]
        figure, axes = _figure(8, 3.6)
        _graph(axes, edges)
    elif all(re.fullmatch(r"\w+_(\d+_[ab]_(input|op)|\d+->\d+)", name) for name in chosen):
        nodes = any("->" in name for name in chosen)  # all of which make the output
        chosen = _slots(chosen) if nodes else chosen
        cells = list(dict.fromkeys(name.split("_")[0] for name in chosen))
        figure, panels = _figure(11, 4.2 * len(cells), rows=len(cells))
        for axes, cell in zip(np.atleast_1d(panels), cells, strict=True):
            own = {name.removeprefix(f"{cell}_"): v for name, v in chosen.items() if name.startswith(cell)}
            _cell(axes, own, whole=nodes)
            axes.set_title(f"{cell} cell", fontsize=10, color=INK)
            axes.axis("off")
        _save(figure, path)
        return
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


def _grown(axes, genome: Graph) -> None:
    """Inputs at the left, outputs at the right, hidden nodes by position; the thicker, the heavier."""
    host = jax.tree.map(np.asarray, genome)
    I, O = host.inputs, host.outputs  # noqa: E741
    on = np.flatnonzero(host.enabled & (host.innovation != 0))
    if not len(on):
        axes.text(0.5, 0.5, "no connection is enabled", ha="center", color=MUTED)
        return
    across = np.asarray(host.positions) / END
    down = np.zeros(len(across))
    down[:I] = (np.arange(I) + 0.5) / I
    down[I : I + O] = (np.arange(O) + 0.5) / O
    hidden = I + O + np.argsort(host.position[: host.hidden])
    for i, node in enumerate(hidden):  # neighbors along the way at different heights
        down[node] = (i * 0.618 + 0.35) % 1 * 0.9 + 0.05
    many = max(I, O) > 24
    largest = np.abs(host.weight[on]).max()
    for e in on:
        u, v, strength = host.source[e], host.target[e], abs(host.weight[e]) / max(largest, 1e-9)
        color = COLORS[0] if host.weight[e] >= 0 else COLORS[4]
        style = dict(color=color, alpha=0.1 + 0.7 * strength, linewidth=0.3 + 2.2 * strength)
        if u == v:
            axes.plot(across[u] + 0.02 * np.cos(LOOP), -down[u] + 0.05 * (1 + np.sin(LOOP)), **style)
        elif across[u] < across[v]:
            axes.plot(across[[u, v]], -down[[u, v]], **style)
        else:
            arrow = dict(arrowstyle="-|>", connectionstyle="arc3,rad=.35", linestyle="--", **style)
            axes.annotate("", (across[v], -down[v]), (across[u], -down[u]), arrowprops=arrow)
    for node in [*range(I + O), *hidden]:
        name = "bias" if node == I - 1 else f"i{node}" if node < I else f"o{node - I}" if node < I + O else ""
        axes.plot(across[node], -down[node], "o", color=INK, markersize=3 if many else 9, zorder=3)
        if name and (not many or node >= I - 1):
            side = -1 if node < I else 1
            axes.text(across[node] + 0.03 * side, -down[node], name, fontsize=9, color=INK, va="center",
                      ha="right" if side < 0 else "left")  # fmt: skip
    handles = [
        axes.plot([], [], color=COLORS[c], linewidth=2, label=n)[0] for c, n in ((0, "positive"), (4, "negative"))
    ]
    axes.legend(handles=handles, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=8)
    axes.set_xlim(-0.12, 1.12)


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


def _slots(chosen: Mapping[str, str]) -> dict[str, str]:
    """Cells of nodes that keep two edges each (`normal_0->2`), as blocks of two operations."""
    blocks, kept = {}, {}
    for name, op in chosen.items():
        cell, j, i = re.fullmatch(r"(\w+)_(\d+)->(\d+)", name).groups()
        if op != "none":
            side = "ab"[kept.setdefault((cell, i), 0)]
            kept[cell, i] += 1
            blocks |= {f"{cell}_{int(i) - 2}_{side}_input": j, f"{cell}_{int(i) - 2}_{side}_op": op}
    return blocks


def _cell(axes, chosen: Mapping[str, str], whole: bool) -> None:
    """Blocks of two operations, `{"0_a_input": "1", "0_a_op": "identity", …}`, from left to right by depth.

    All of them make the output, or those that no other uses.
    """
    from matplotlib.patches import FancyBboxPatch

    slots = [(f"{i}_a", f"{i}_b") for i in range(len(chosen) // 4)]
    sources = [[int(chosen[f"{slot}_input"]) for slot in pair] for pair in slots]
    depth = [0, 0]
    for pair in sources:
        depth.append(1 + max(depth[j] for j in pair))
    last = max(depth) + 1
    place = {}
    for level in range(last):
        states = [j for j, d in enumerate(depth) if d == level]
        # Levels are shifted against one another, so that an arrow past a level seldom runs through its boxes.
        shift = 0.0 if level == 0 else 0.22 * (-1) ** level
        place |= {j: (level, shift + (len(states) - 1) / 2 - n) for n, j in enumerate(states)}
    used = {j for pair in sources for j in pair}
    labels = sorted({chosen[f"{slot}_op"] for pair in slots for slot in pair})
    color = dict(zip(labels, itertools.cycle(COLORS), strict=False))
    for i, (pair, names) in enumerate(zip(sources, slots, strict=True)):
        for source, name, side in zip(pair, names, (0.17, -0.17), strict=True):
            x, y = place[i + 2]
            arrow = dict(arrowstyle="-|>", color=color[chosen[f"{name}_op"]], linewidth=1.6, shrinkA=12, shrinkB=2)
            axes.annotate("", (x - 0.3, y + side), place[source], arrowprops=arrow, zorder=1)
            axes.text(x, y + side, chosen[f"{name}_op"], ha="center", va="center", fontsize=8, zorder=3,
                      color=color[chosen[f"{name}_op"]])  # fmt: skip
        box = FancyBboxPatch((x - 0.3, y - 0.3), 0.6, 0.6, boxstyle="round,pad=0,rounding_size=0.04", facecolor="white",
                             edgecolor=MUTED, zorder=2)  # fmt: skip
        axes.add_patch(box)
        if whole or i + 2 not in used:
            arrow = dict(arrowstyle="-|>", color=MUTED, linewidth=1, linestyle="--")
            axes.annotate("", (last - 0.12, 0), (x + 0.3, y), arrowprops=arrow, zorder=1)
    for j, name in ((0, "before last"), (1, "last")):
        axes.text(*place[j], name, ha="center", va="center", color="white", fontsize=8, zorder=4,
                  bbox=dict(boxstyle="round,pad=0.4", facecolor=INK, edgecolor="none"))  # fmt: skip
    axes.text(last, 0, "concat", ha="center", va="center", color="white", fontsize=8,
              bbox=dict(boxstyle="round,pad=0.4", facecolor=INK, edgecolor="none"))  # fmt: skip
    heights = [y for _, y in place.values()]
    axes.set_xlim(-0.4, last + 0.3)
    axes.set_ylim(min(heights) - 0.5, max(heights) + 0.5)


def _plain(axes) -> None:
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _figure(*size: float, rows: int = 1, columns: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns)


def _save(figure, path) -> None:
    figure.savefig(path, dpi=140, bbox_inches="tight", facecolor="white")
