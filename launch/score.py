"""Zero-cost proxies of many architectures: their scores, what these cost, and whether they rank as a table does.

    python -m launch.score                                            # configs/score.py, no download
    python -m launch.score --config.proxies=synflow,nwot --config.subset=all --workdir=DIR

All architectures share one initialization and one batch of training examples. Proxies that share their passes are one
XLA program, compiled once for all architectures. The same command resumes what DIR holds; `--config.table` may change
from one call to the next. Writes scores.npz (as it goes), result.json, scores.png and correlations.png.
"""

import datetime
import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import app, flags

from configs import score as default
from jaxnas import check, plots, proxies, statistics
from jaxnas.check import InputError
from jaxnas.evaluators import Recipe
from jaxnas.evaluators._training import fits
from jaxnas.machine import configure, environment
from jaxnas.population import over_population
from jaxnas.types import Space
from jaxnas.workdir import claim, write
from launch import report
from launch.scoring import Scores, programs, score
from launch.wiring import check_keys, define_config, looked_up, make, opened, parse_flags, workdir_of

ENUMERABLE = 1_000_000
"""Larger spaces are not scored whole."""


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --config.KEY=VALUE.")
    configure()
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = workdir_of("launch.score", _WORKDIR.value, f"score-{stamp}")
    try:
        run(_CONFIG.value.to_dict(), workdir)
    except InputError as error:
        sys.exit(f"launch.score: {error}")
    except KeyboardInterrupt:
        sys.exit(report.interrupted("launch.score", workdir))


def run(config: dict, workdir: pathlib.Path, *, save_seconds: float = 10.0) -> dict:
    """The whole program; returns what result.json holds.

    Raises:
      InputError: what cannot be, before anything runs; no score is finite.
    """
    check_keys(config, tuple(default.get_config()))
    begin = time.perf_counter()
    names = proxies.named(config["proxies"])
    check.one_of("config.plan", config["plan"], ("auto", "map", "vmap"))
    plan = over_population(len, plan=config["plan"], chunk=config["chunk"] or None).report()["plan"]
    check.integer("config.members", config["members"], least=1)
    space, task = make("space", config["space"]), make("task", config["task"])
    limit = {"most": task.train.size, "because": "the training examples"}
    check.integer("config.batch_size", config["batch_size"], least=1, **limit)
    network = make("network", config["network"], classes=task.outputs)
    fits(space, network, task, Recipe())
    genomes = _genomes(space, str(config["subset"]), config["seed"])
    truth = _truth(space, config, genomes)
    # The table may change from one call to the next; all else identifies the run.
    identity = {k: v for k, v in config.items() if k != "table"}
    if (workdir / "config.json").exists():
        claim(workdir, identity)
    scores = Scores(workdir / "scores.npz", space, genomes, names, config["deduplicate"], begin)
    if (workdir / "scores.npz").exists():
        scores.resume()
    print(
        f"{report.relative(workdir)}: {', '.join(names)}; {len(genomes):,} of "
        f"{space.size:,} architectures, {scores.distinct:,} distinct; {config['batch_size']} examples of {task.name}"
    )
    if not all(group.done for group in scores.groups.values()):
        options = {name: config[name] for name in ("batch_size", "members", "chunk", "seed")}
        traced = programs(scores, space, network, task, plan=plan, **options)
        claim(workdir, identity)  # now that nothing is refused any more
        score(scores, traced, save_seconds=save_seconds)

    found = scores.by_proxy()
    if not any(np.isfinite(values).any() for values in found.values()):
        raise InputError(f"no score of {len(genomes):,} architectures is a finite number; they are in scores.npz.")
    less = [metric for metric in truth if not opened(config["table"]["path"]).column(metric).higher_is_better]
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
    print(
        f"{len(genomes):,} architectures in {result['wall_seconds']:.0f} s, {seconds:.0f} s of it {compiles} compiles"
        + (f" ({cached} of them read from the cache)" if cached else "")
    )
    print(_table(result, less))
    matrix = np.array([list(row.values()) for row in between.values()], float)
    plots.correlations(names, matrix, workdir / "correlations.png")
    if truth:
        metric, values = next(iter(truth.items()))
        rho = {name: result["spearman"][name][metric]["value"] for name in names}
        plots.proxies(found, values, workdir / "scores.png", spearman=rho, metric=metric.replace("_", " "))
    drawn = "scores.png, " if truth else ""
    print(f"scores.npz, result.json, {drawn}correlations.png are in {report.relative(workdir)}")
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
    table, named = config["table"], config["space"]["name"]
    if not table["path"]:
        return {}
    metrics = [metric.strip() for metric in table["metrics"].split(",") if metric.strip()]
    return {metric: looked_up(space, table["path"], metric, genomes, named) for metric in metrics}


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


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/score.py")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept; by default runs/score-DATE-TIME.")
    app.run(main, flags_parser=parse_flags)
