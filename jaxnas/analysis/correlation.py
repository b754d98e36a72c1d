"""Is the fitness of a search worth anything? Its rank correlation with training alone, or with a table."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, plots, statistics
from jaxnas.analysis import retraining
from jaxnas.analysis.baselines import full_budget, phases, searched
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config.lookup import higher_is_better, lookup_metric
from jaxnas.config.variables import variables_of
from jaxnas.config.wiring import Parts, build
from jaxnas.machine import environment
from jaxnas.types import propose
from jaxnas.workdir import write, writing

CHUNK = 10
"""Architectures in one proposal."""


def correlate(
    workdir: str | pathlib.Path,
    config: Mapping[str, Any] | None = None,
    *,
    architectures: int = 30,
    table: str = "",
    metric: str = "",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Rank correlation of a finished search's fitness with the truth, over random architectures.

    Fitness is as the search gives it: of a training with the same budget, or with the weights inherited from its
    supernet. The truth is the test metric of each, retrained as `config.retrain` says, or a column of a table.

    Args:
      workdir: folder of the finished search; gets correlate.json and correlate.png.
      config: of the search, changed where that does not belong to it (`retrain`); by default as it was.
      architectures: how many.
      table: to take the truth from, instead of retraining: a file, or an embedded table's name.
      metric: its column.
      say: is told what comes out.

    Returns:
      What correlate.json holds: `correlation`: measure -> `value`, `low`, `high`.

    Raises:
      InputError: no finished search; what cannot be retrained or looked up; too few known.
    """
    workdir = check.local_path("workdir", workdir)
    retraining.found_in(workdir)
    config = retraining.searched_config(workdir) if config is None else dict(config)
    if architectures < 3:
        raise InputError(f"architectures: expected at least 3, got {architectures}.")
    if bool(table) != bool(metric):
        raise InputError("metric: expected a column of --table, and --table a file; give both or neither.")
    parts = build(config, workdir=workdir)
    genomes = _distinct(parts, architectures, config["seed"])
    names = [parts.space.to_string(g) for g in np.asarray(genomes)]
    checkpoints = None if table else retraining.checkpoint_dir(workdir, "correlate.json")
    if table:
        truth, higher = (
            lookup_metric(parts.space, table, metric, genomes, config["space"]["name"]),
            higher_is_better(table, metric),
        )
        label = metric + ("" if higher else " (less is better)")
        fitness = _scores(workdir, genomes)
    else:
        config = {**config, "yardstick": None}
        retraining.check_retraining(parts, config, needed=True)
        name, higher = f"test_{parts.task.metric.name}", parts.task.metric.higher_is_better
        label = f"{name.replace('_', ' ')}, retrained"
        fitness = _scores(workdir, genomes)
        weights = variables_of(workdir) if (config.get("retrain") or {}).get("inherit") else None
        rows = retraining.retrained(
            parts, config, dict(zip(names, names, strict=True)), weights, checkpoints=checkpoints
        )
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
    say(f"fitness against {label}, {known.sum()} architectures:\n  " + "\n  ".join(said))
    with writing(workdir):
        write(workdir / "correlate.json", json.dumps(result, indent=2))
    retraining.remove_checkpoints(checkpoints)
    title = ", ".join(f"{name} {value.value:.2f}" for name, value in correlation.items())
    plots.scatter(fitness[known], truth[known], workdir / "correlate.png", xlabel="fitness", ylabel=label, title=title)
    say(f"correlate.json and correlate.png are in {relative(workdir)}")
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
    parts = build(config, workdir=workdir)
    shared = "shared" in parts.evaluator.gives
    found = searched(parts, phases(parts, config), config, workdir)  # all rounds are done: reads what is there
    budget = 0 if shared else full_budget(config, found.history)
    state = found.state.evaluator if shared else parts.evaluator.init(jax.random.key(config["seed"]))
    evaluate = jax.jit(parts.evaluator.evaluate) if parts.evaluator.jittable else parts.evaluator.evaluate
    key, count = jax.random.fold_in(jax.random.key(config["seed"]), 3), len(genomes)
    fitness = []
    for first in range(0, count, CHUNK):
        rows = np.minimum(np.arange(first, first + CHUNK), count - 1)
        active = jnp.arange(first, first + CHUNK) < count
        feedback, _ = evaluate(key, state, propose(genomes[rows], jnp.int32(first), budget=budget, active=active))
        fitness.append(np.where(feedback.valid, feedback.fitness, np.nan))
    return np.concatenate(fitness)[:count]
