"""Is the fitness of a search worth anything? Its rank correlation with training alone, or with a table.

    python -m launch.correlate --workdir=runs/NAME --architectures=30
    python -m launch.correlate --workdir=runs/NAME --architectures=200 --table=TABLE.npz --metric=COLUMN

Draws random architectures and scores them as the finished search does: trained for the same budget, or with the
weights that they inherit from its supernet. The truth beside it is the test accuracy of each, retrained as
`config.retrain` says, or a column of a table. Writes correlate.json and correlate.png into the workdir;
`--config.KEY=VALUE` changes what does not belong to the search (`--config.retrain.steps=600`).
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxnas import plots, statistics
from jaxnas.check import InputError
from jaxnas.machine import configure, environment
from jaxnas.types import propose
from jaxnas.workdir import write
from launch import report
from launch.search import phases, searched
from launch.wiring import (
    Parts,
    build,
    define_workdir_config,
    higher_is_better,
    looked_up,
    parse_flags,
    workdir_of,
)

CHUNK = 10
"""Architectures in one proposal."""


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    configure()
    workdir = workdir_of("launch.correlate", _WORKDIR.value, "")
    try:
        if _CONFIG.value is None or not (workdir / "result.json").is_file():
            raise InputError(f"workdir: no result.json in {workdir}; finish a search there.")
        truth = {"table": _TABLE.value, "metric": _METRIC.value}
        run(_CONFIG.value.to_dict(), workdir, architectures=_ARCHITECTURES.value, **truth)
    except InputError as error:
        sys.exit(f"launch.correlate: {error}")


def run(config: dict, workdir: pathlib.Path, *, architectures: int, table: str = "", metric: str = "") -> dict:
    """The whole program; returns what correlate.json holds."""
    if architectures < 3:
        raise InputError(f"architectures: expected at least 3, got {architectures}.")
    if bool(table) != bool(metric):
        raise InputError("metric: expected a column of --table, and --table a file; give both or neither.")
    parts = build(config, workdir)
    genomes = _distinct(parts, architectures, config["seed"])
    names = [parts.space.to_string(g) for g in np.asarray(genomes)]
    if table:
        truth, higher = (
            looked_up(parts.space, table, metric, genomes, config["space"]["name"]),
            higher_is_better(table, metric),
        )
        label = metric + ("" if higher else " (less is better)")
        fitness = _scores(workdir, genomes)
    else:
        config = {**config, "residual": 0}
        report.check_later(parts, config, needed=True)
        name, higher = report.test_metric(parts.task), True
        label = f"{name.replace('_', ' ')}, retrained"
        fitness = _scores(workdir, genomes)
        rows = report.retrained(parts, config, dict(zip(names, names, strict=True)))
        truth = np.array([np.mean(rows[architecture][name]) for architecture in names])
    known = np.isfinite(fitness) & np.isfinite(truth)
    if known.sum() < 3:
        raise InputError(f"architectures: fitness and truth are both known of {known.sum()} of {architectures} alone.")
    better = truth if higher else -truth  # so that 1 is a fitness that ranks right, whatever the column holds
    correlation = statistics.rank_correlation(fitness[known], better[known], seed=config["seed"])
    result = {
        "architectures": names,
        "fitness": [float(f) if np.isfinite(f) else None for f in fitness],
        "truth": [float(t) if np.isfinite(t) else None for t in truth],
        "truth_is": f"{metric} of {table}" if table else label,
        "truth_higher_is_better": higher,
        "correlation": {name: value._asdict() for name, value in correlation.items()},
        "config": config,
        **environment(),
    }
    said = [f"{n} {v.value:.3f} (95 % interval {v.low:.3f} to {v.high:.3f})" for n, v in correlation.items()]
    print(f"fitness against {label}, {known.sum()} architectures:\n  " + "\n  ".join(said))
    write(workdir / "correlate.json", json.dumps(result, indent=2))
    title = ", ".join(f"{name} {value.value:.2f}" for name, value in correlation.items())
    plots.scatter(fitness[known], truth[known], workdir / "correlate.png", xlabel="fitness", ylabel=label, title=title)
    print(f"correlate.json and correlate.png are in {report.relative(workdir)}")
    return result


def _distinct(parts: Parts, count: int, seed: int):
    """`[count, D]` random genomes, no two of which build the same network."""
    key, seen, kept = jax.random.fold_in(jax.random.key(seed), 2), set(), []
    sample = jax.jit(jax.vmap(lambda k: (lambda g: (g, parts.space.canonical(g)))(parts.space.sample(k))))
    for attempt in range(100):
        genomes, canonical = sample(jax.random.split(jax.random.fold_in(key, attempt), count))
        for genome, same in zip(np.asarray(genomes), np.asarray(canonical), strict=True):
            if same.tobytes() not in seen and len(kept) < count:
                seen.add(same.tobytes())
                kept.append(genome)
        if len(kept) == count:
            return jnp.asarray(np.stack(kept))
    raise InputError(f"architectures: expected at most {len(kept)} (distinct networks found), got {count}.")


def _scores(workdir: pathlib.Path, genomes) -> np.ndarray:
    """`[count]` fitness, as the finished search in the workdir gives it."""
    config = json.loads((workdir / "config.json").read_text())
    config["rounds"] = json.loads((workdir / "result.json").read_text())["rounds"]
    parts = build(config, workdir)
    shared = "shared" in parts.evaluator.gives
    state, budget = parts.evaluator.init(jax.random.key(config["seed"])), config["strategy"].get("budget", 0)
    if shared:  # all rounds are done, so this only reads what is there
        state, budget = searched(parts, phases(parts, config), config, workdir).state.evaluator, 0
    evaluate = jax.jit(parts.evaluator.evaluate) if parts.evaluator.jittable else parts.evaluator.evaluate
    key, count = jax.random.fold_in(jax.random.key(config["seed"]), 3), len(genomes)
    fitness = []
    for first in range(0, count, CHUNK):
        rows = np.minimum(np.arange(first, first + CHUNK), count - 1)
        active = jnp.arange(first, first + CHUNK) < count
        feedback, _ = evaluate(key, state, propose(genomes[rows], jnp.int32(first), budget=budget, active=active))
        fitness.append(np.where(feedback.valid, feedback.fitness, np.nan))
    return np.concatenate(fitness)[:count]


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_workdir_config(sys.argv)
    _WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the finished search.", required=True)
    _ARCHITECTURES = flags.DEFINE_integer("architectures", 30, "Random architectures to score.")
    _TABLE = flags.DEFINE_string("table", "", "A table to take the truth from, instead of retraining.")
    _METRIC = flags.DEFINE_string("metric", "", "Its column.")
    app.run(main, flags_parser=parse_flags)
