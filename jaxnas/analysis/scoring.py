"""Zero-cost proxies of many architectures: their scores, what these cost, and whether they rank as a table does."""

import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxnas import check, plots, statistics
from jaxnas.analysis.scores import Scores, programs, score_groups
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.lookup import load_table, lookup_metric
from jaxnas.evaluators.work import work
from jaxnas.machine import environment
from jaxnas.population import over_population
from jaxnas.proxies import named as proxies_named
from jaxnas.training import Recipe, fits
from jaxnas.types import Space
from jaxnas.workdir import claim, write

ENUMERABLE = 1_000_000
"""Larger spaces are not scored whole."""


def score(
    workdir: str | pathlib.Path,
    *,
    space: Mapping[str, Any],
    network: Mapping[str, Any],
    task: Mapping[str, Any],
    proxies: str = "all",
    subset: str | int = 1000,
    batch_size: int = 64,
    deduplicate: bool = True,
    members: int = 64,
    plan: str = "auto",
    chunk: int = 0,
    table: Mapping[str, str] | None = None,
    seed: int = 0,
    save_seconds: float = 10.0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Scores many architectures by zero-cost proxies; the same call resumes what the workdir holds.

    All share one initialization and one batch of training examples. Proxies that share their passes are one XLA
    program, compiled once for all architectures.

    Args:
      workdir: gets scores.npz (as it goes), result.json, scores.png and correlations.png.
      space: a dict with a name, as are the next two.
      network: whose score at initialization is computed.
      task: whose training examples are the batch, as they are (not augmented).
      proxies: names separated by commas, `package.module:proxy` for own ones, or "all".
      subset: architectures at random, or "all" of the space.
      batch_size: training examples, drawn once.
      deduplicate: architectures of one canonical form share those scores that depend on the function computed alone.
      members: architectures in one call of a program.
      plan: "auto", "map" or "vmap", see `jaxnas.population`.
      chunk: with "vmap", side by side on a device; 0 for as many as fit into its memory.
      table: what scores are correlated with: `path` of a file or an embedded table's name, and `metrics`, columns
        separated by commas, of which the first is plotted. It may change from one call to the next.
      seed: of all randomness.
      save_seconds: between writes of scores.npz.
      say: is told what comes out.

    Returns:
      What result.json holds: `ms_per_architecture`, `xla_compiles`, `spearman`, and more.

    Raises:
      InputError: what cannot be, before anything runs; no score is finite.
    """
    own = ("workdir", "say", "save_seconds")
    config = {name: value for name, value in locals().items() if name not in own}
    check.seed("config.seed", seed)
    workdir = check.local_path("workdir", workdir)
    begin = time.perf_counter()
    names = proxies_named(proxies)
    check.one_of("config.plan", config["plan"], ("auto", "map", "vmap"))
    check.integer("config.members", config["members"], least=1)
    made = registry.make("space", space)
    data = registry.make("task", task)
    limit = {"most": data.train.size, "because": "the training examples"}
    check.integer("config.batch_size", config["batch_size"], least=1, **limit)
    module = registry.make("network", network, {"classes": data.outputs})
    fits(made, module, data, Recipe())
    of = work(made, module, data, batch_size)
    plan = over_population(len, plan=plan, chunk=chunk or None, work=of).report()["plan"]
    genomes = _genomes(made, str(subset), seed)
    truth = _truth(made, config, genomes)
    # The table may change from one call to the next; all else identifies the run.
    identity = {k: v for k, v in config.items() if k != "table"}
    if (workdir / "config.json").exists():
        claim(workdir, identity)
    scores = Scores(workdir / "scores.npz", made, genomes, names, config["deduplicate"], begin)
    if (workdir / "scores.npz").exists():
        scores.resume()
    say(
        f"{relative(workdir)}: {', '.join(names)}; {len(genomes):,} of "
        f"{made.size:,} architectures, {scores.distinct:,} distinct; {config['batch_size']} examples of {data.name}"
    )
    if not all(group.done for group in scores.groups.values()):
        options = {name: config[name] for name in ("batch_size", "members", "chunk", "seed")}
        traced = programs(scores, made, module, data, plan=plan, **options)
        claim(workdir, identity)  # now that nothing is refused any more
        score_groups(scores, traced, save_seconds=save_seconds)

    found = scores.by_proxy()
    if not any(np.isfinite(values).any() for values in found.values()):
        raise InputError(f"no score of {len(genomes):,} architectures is a finite number; they are in scores.npz.")
    less = [metric for metric in truth if not load_table(table["path"]).column(metric).higher_is_better]
    better = {metric: -values if metric in less else values for metric, values in truth.items()}  # 1 ranks right
    between = {a: {b: _spearman(found[a], found[b], resamples=0)["value"] for b in names} for a in names}
    result = {
        "architectures": len(genomes),
        "distinct": scores.distinct,
        **_costs(scores, len(genomes)),
        "non_finite": {name: int((~np.isfinite(values)).sum()) for name, values in found.items()},
        "spearman": {n: {m: _spearman(found[n], t, seed=config["seed"]) for m, t in better.items()} for n in names},
        "spearman_between_proxies": between,
        "setup_seconds": scores.setup_seconds,
        "wall_seconds": scores.wall_seconds,
        "config": config,
        **environment(),
    }
    write(workdir / "result.json", json.dumps(result, indent=2))
    paid = [group.paid for group in scores.groups.values()]
    compiles, cached, seconds = (sum(p[name] for p in paid) for name in ("compiles", "cached", "compile_seconds"))
    say(
        f"{len(genomes):,} architectures in {result['wall_seconds']:.0f} s, {seconds:.0f} s of it {compiles} compiles"
        + (f" ({cached} of them read from the cache)" if cached else "")
    )
    say(_table(result, less))
    matrix = np.array([list(row.values()) for row in between.values()], float)
    plots.correlations(names, matrix, workdir / "correlations.png")
    if truth:
        metric, values = next(iter(truth.items()))
        rho = {name: result["spearman"][name][metric]["value"] for name in names}
        plots.proxies(found, values, workdir / "scores.png", spearman=rho, metric=metric.replace("_", " "))
    drawn = "scores.png, " if truth else ""
    say(f"scores.npz, result.json, {drawn}correlations.png are in {relative(workdir)}")
    return result


def _genomes(space: Space, subset: str, seed: int) -> np.ndarray:
    """`[n, D]` all genomes of the space, or so many at random, no two alike."""
    if subset == "all":
        if space.from_index is None or space.size > ENUMERABLE:
            raise InputError(
                f"config.subset: 'all' is for spaces that can be enumerated, of up to {ENUMERABLE:,} genomes; space "
                f"{space.name!r} has {space.size:,}. Give subset=N for N of them at random."
            )
        return np.asarray(jax.jit(jax.vmap(space.from_index))(np.arange(space.size)))
    if not subset.isdecimal():
        raise InputError(f"config.subset: expected a number of architectures, or 'all', got {subset!r}.")
    n = int(subset)
    check.integer("config.subset", n, least=1, most=space.size, because=f"the genomes of space {space.name!r}")
    if space.from_index is not None:
        rows = np.sort(np.random.default_rng(seed).choice(space.size, n, replace=False))
        return np.asarray(jax.jit(jax.vmap(space.from_index))(rows))
    key, kept, sample = jax.random.fold_in(jax.random.key(seed), 3), {}, jax.jit(jax.vmap(space.sample))
    for attempt in range(100):
        for genome in np.asarray(sample(jax.random.split(jax.random.fold_in(key, attempt), n))):
            kept.setdefault(genome.tobytes(), genome)
        if len(kept) >= n:
            return np.stack(list(kept.values())[:n])
    raise InputError(f"config.subset: expected at most {len(kept)} (different genomes found), got {n}.")


def _truth(space: Space, config: Mapping[str, Any], genomes: np.ndarray) -> dict[str, np.ndarray]:
    """metric -> `[n]` what the table says; empty without a table."""
    table, name = config["table"] or {}, config["space"].get("name", "")
    for key in table:
        check.one_of("config.table", key, ("path", "metrics"))
    if not table.get("path"):
        return {}
    metrics = [metric.strip() for metric in table["metrics"].split(",") if metric.strip()]
    return {metric: lookup_metric(space, table["path"], metric, genomes, name) for metric in metrics}


def _costs(scores: Scores, count: int) -> dict[str, dict[str, Any]]:
    """What each proxy took; of proxies that share their passes, what all of them took together."""
    of = {name: group for group in scores.groups.values() for name in group.scores}
    paid = {
        "ms_per_architecture": lambda group: group.paid["seconds"] / count * 1e3,
        "ms_per_architecture_distinct": lambda group: group.paid["seconds"] / len(group.genomes) * 1e3,
        "scored": lambda group: len(group.genomes),
        "xla_compiles": lambda group: group.paid["compiles"],
        "xla_compiles_cached": lambda group: group.paid["cached"],
        "compile_seconds": lambda group: group.paid["compile_seconds"],
        "megabytes": lambda group: group.paid["megabytes"],
        "chunk": lambda group: group.paid["chunk"],
    }
    figures = {figure: {name: value(group) for name, group in of.items()} for figure, value in paid.items()}
    return {"groups": {key: list(group.scores) for key, group in scores.groups.items()}, **figures}


def _spearman(a: np.ndarray, b: np.ndarray, **options) -> dict[str, float | int | None]:
    """Over the architectures where both are finite; None where it is not defined."""
    known = np.isfinite(a) & np.isfinite(b)
    value = low = high = np.nan
    if known.sum() >= 3:
        value, low, high = statistics.rank_correlation(a[known], b[known], measures=["spearman"], **options)["spearman"]
    number = lambda x: float(x) if np.isfinite(x) else None
    return {"value": number(value), "low": number(low), "high": number(high), "n": int(known.sum())}


def _table(result: Mapping[str, Any], less: list[str]) -> str:
    """A line for each proxy; `less` are the metrics of which less is better."""
    spearman = result["spearman"]
    heads = [m + (" (less is better)" if m in less else "") for m in next(iter(spearman.values()))]
    wide = [max(len(head), 25) for head in heads]
    lines = [" " * 53 + "Spearman (95 % interval) with"] if heads else []
    columns = "".join(f"  {head:<{width}}" for head, width in zip(heads, wide, strict=True))
    lines.append(f"{'proxy':12}{'ms/architecture':>16}{'compile s':>11}{'non-finite':>12}{columns}".rstrip())
    for name, by_metric in spearman.items():
        figures = f"{result['ms_per_architecture'][name]:>16.2f}{result['compile_seconds'][name]:>11.1f}"
        line = f"{name:12}{figures}{result['non_finite'][name]:>12,}"
        for found, width in zip(by_metric.values(), wide, strict=True):
            said = "-"
            if found["value"] is not None:
                said = f"{found['value']:6.3f} ({found['low']:.3f} to {found['high']:.3f})"
            line += f"  {said:<{width}}"
        lines.append(line.rstrip())
    return "\n".join(lines)
