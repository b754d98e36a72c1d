"""Every distinct architecture of a space trained, and what they reach as a table."""

import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxnas import check, tables
from jaxnas.analysis.text import relative
from jaxnas.config import registry
from jaxnas.loop.history import History
from jaxnas.machine import environment
from jaxnas.search import Phase, search
from jaxnas.strategies import exhaustive
from jaxnas.strategies._exhaustive import distinct_genomes
from jaxnas.tasks import Metric
from jaxnas.types import Space
from jaxnas.workdir import write


def _columns(metric: Metric) -> dict[str, tuple[str, str, str, bool]]:
    """Column -> the metric of `evaluators.training`, the split, the quantity, and whether higher is better."""
    quantities = {"loss": False, metric.name: metric.higher_is_better}
    return {
        f"{split}_{name}": (name if split == "validation" else f"test_{name}", split, name, higher)
        for split in ("validation", "test")
        for name, higher in quantities.items()
    }


def tabulate(
    workdir: str | pathlib.Path,
    *,
    name: str,
    space: Mapping[str, Any],
    network: Mapping[str, Any],
    task: Mapping[str, Any],
    evaluator: Mapping[str, Any],
    budgets: Sequence[int],
    seeds: int = 1,
    proposals: int = 1,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> tables.Table:
    """Trains every distinct architecture of a space; the same call resumes what the workdir holds.

    Args:
      workdir: gets history, checkpoints and, at the end, NAME.npz for `compare`, with its provenance and noise (rank
        correlation between seeds) beside it as NAME.json.
      name: of the table.
      space: enumerable; a dict with a name, as are the next three.
      network: what is trained,
      task: on what,
      evaluator: and how ("training").
      budgets: steps, each a training of its own with the whole schedule.
      seeds: trainings of each architecture and budget.
      proposals: architectures trained in one call of the program.
      seed: of all randomness.
      say: is told what comes out.

    Returns:
      The table.

    Raises:
      InputError: a space that cannot be enumerated, a number out of its range, a workdir of another config.
    """
    config = {key: value for key, value in locals().items() if key not in ("workdir", "say")}
    workdir = check.local_path("workdir", workdir)
    check.seed("config.seed", seed)
    check.integer("config.seeds", seeds, least=1)
    for budget in check.sequence("config.budgets", budgets):
        check.integer("config.budgets", budget, least=1)
    enumerated, data = registry.make("space", space), registry.make("task", task)
    offered = {"space": enumerated, "task": data}
    offered["network"] = registry.make("network", network, {"classes": data.outputs})
    trained = registry.make("evaluator", {**evaluator, "test": True}, offered)
    genomes = distinct_genomes(enumerated)
    rounds = -(-len(genomes) // config["proposals"])
    # Seeds outermost: a table of the first seed is whole when half of two are done.
    trainings = list(itertools.product(range(config["seeds"]), sorted(config["budgets"])))
    phases = [
        Phase(exhaustive(enumerated, distinct=True, proposals=config["proposals"], budget=budget), rounds)
        for _, budget in trainings
    ]
    say(f"{len(genomes):,} distinct of {enumerated.size:,} genomes, {len(trainings)} trainings each, in {workdir}")
    done = search(enumerated, phases, trained, seed=config["seed"], workdir=str(workdir), config=config)

    table = _table(config, data.metric, enumerated, genomes, done.history, trainings)
    noise = _noise(table)
    provenance = {
        "config": config,
        "trainings": done.evaluations,
        "diverged": done.invalid,
        "wall_seconds": done.wall_seconds,
        "spearman_between_seeds": noise,
        **environment(),
    }
    table = table._replace(source=provenance)
    tables.save(table, workdir / f"{config['name']}.npz")
    write(workdir / f"{config['name']}.json", json.dumps(provenance, indent=2))
    say(f"Spearman between seeds: {noise}\n{config['name']}.npz and .json are in {relative(workdir)}")
    return table


def _table(
    config: dict, metric: Metric, space: Space, genomes: np.ndarray, history: History, trainings: list
) -> tables.Table:
    found = _columns(metric)
    place = {tuple(genome): row for row, genome in enumerate(genomes.tolist())}
    budgets, seeds = tuple(sorted(config["budgets"])), tuple(range(config["seeds"]))
    shape = (len(genomes), len(seeds), len(budgets))
    values = {name: np.full(shape, np.nan, np.float32) for name in (*found, "seconds")}
    for line in history:
        seed, budget = trainings[line["phase"]]
        at = (place[tuple(line["genome"])], seed, budgets.index(budget))
        values["seconds"][at] = line["seconds"]
        if line["valid"]:
            for name, (field, *_) in found.items():
                values[name][at] = line[field]
    # One machine, other work beside it: the median over seeds is what a training of this size takes.
    seconds = np.median(values.pop("seconds"), 1, keepdims=True)
    columns = {}
    for name, (_, split, quantity, higher) in found.items():
        columns[name] = tables.Column(
            # Half precision is finer than one image of a test set, and keeps an embedded table small.
            values[name].astype(np.float16 if metric.unit == "fraction" and quantity != "loss" else np.float32),
            f"{quantity} on the {split} split, trained on the train split",
            budgets=budgets,
            seeds=seeds,
            seconds="seconds",
            higher_is_better=higher,
        )
    columns["seconds"] = tables.Column(seconds, "wall seconds of a training", "seconds", budgets, ("median",))
    canonical = jax.jit(jax.vmap(lambda row: space.canonical(space.from_index(row))))(jnp.arange(space.size))
    rows = np.array([place[tuple(genome)] for genome in np.asarray(canonical).tolist()], np.int16)
    return tables.Table(config["name"], config["space"], rows, columns, unit="steps")


def _noise(table: tables.Table) -> dict[str, dict[int, float]]:
    """Mean Spearman correlation between pairs of seeds, for each column and budget."""
    noise: dict[str, dict[int, float]] = {}
    for name, column in table.columns.items():
        if name == "seconds":
            continue
        values = column.values
        pairs = list(itertools.combinations(range(values.shape[1]), 2))
        for b, budget in enumerate(column.budgets):
            rho = [stats.spearmanr(values[:, i, b], values[:, j, b], nan_policy="omit").statistic for i, j in pairs]
            noise.setdefault(name, {})[budget] = float(np.mean(rho)) if rho else None
    return noise
