"""Every distinct architecture of a space trained, and what they reach as a table."""

import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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


class _Measured(NamedTuple):
    """What a column holds: a field of a line of the history, one number, or with `curve` one for each of its steps."""

    field: str
    about: str
    quantity: str
    higher_is_better: bool
    curve: bool = False


def _columns(metric: Metric, curve: Sequence[int], longest: int) -> dict[str, _Measured]:
    """Name of a column -> what it holds."""
    found = {}
    quantities = {"loss": False, metric.name: metric.higher_is_better}
    for split, prefix in {"validation": "", "test": "test_"}.items():
        for name, higher in quantities.items():
            about = f"{name} on the {split} split, trained on the train split"
            found[f"{split}_{name}"] = _Measured(f"{prefix}{name}", about, name, higher)
    for name, higher in quantities.items() if curve else ():
        about = f"{name} on the validation split after so many steps of a training of {longest}"
        found[f"validation_{name}_curve"] = _Measured(f"{name}_curve", about, name, higher, True)
    return found


def tabulate(
    workdir: str | pathlib.Path,
    *,
    name: str,
    space: Mapping[str, Any],
    network: Mapping[str, Any],
    task: Mapping[str, Any],
    evaluator: Mapping[str, Any],
    budgets: Sequence[int],
    curve: Sequence[int] = (),
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
      curve: steps of the longest of them after which its validation is scored besides: its learning curve, in columns
        `validation_loss_curve` and the like; none by default.
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
    check.integer("config.proposals", proposals, least=1)
    check.increasing("config.budgets", budgets, least=1)
    check.increasing("config.curve", curve, least=1, most=max(budgets), because="the largest budget")
    enumerated, data = registry.make("space", space), registry.make("task", task)
    offered = {"space": enumerated, "task": data}
    offered["network"] = registry.make("network", network, {"classes": data.outputs})
    trained = registry.make("evaluator", {**evaluator, "test": True, "curve": curve}, offered)
    genomes = distinct_genomes(enumerated)
    rounds = -(-len(genomes) // config["proposals"])
    # Seeds outermost: a table of the first seed is whole when half of two are done.
    trainings = list(itertools.product(range(config["seeds"]), config["budgets"]))
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
    budgets, curve, seeds = tuple(config["budgets"]), tuple(config["curve"]), tuple(range(config["seeds"]))
    found = _columns(metric, curve, budgets[-1])
    place = {tuple(genome): row for row, genome in enumerate(genomes.tolist())}
    blank = lambda several: np.full((len(genomes), len(seeds), len(several)), np.nan, np.float32)
    values = {name: blank(curve if of.curve else budgets) for name, of in found.items()}
    seconds = blank(budgets)
    for line in history:
        seed, budget = trainings[line["phase"]]
        at = (place[tuple(line["genome"])], seed)
        b = budgets.index(budget)
        seconds[(*at, b)] = line["seconds"]
        for name, of in found.items():
            if of.curve and budget == budgets[-1]:
                values[name][at] = np.array(line[of.field], np.float32)
            elif not of.curve and line["valid"]:
                values[name][(*at, b)] = line[of.field]
    columns = {}
    for name, of in found.items():
        columns[name] = tables.Column(
            # Half precision is finer than one image of a test set, and keeps an embedded table small.
            values[name].astype(np.float16 if metric.unit == "fraction" and of.quantity != "loss" else np.float32),
            of.about,
            budgets=curve if of.curve else budgets,
            seeds=seeds,
            seconds=None if of.curve else "seconds",
            higher_is_better=of.higher_is_better,
        )
    # One machine, other work beside it: the median over seeds is what a training of this size takes.
    seconds = np.median(seconds, 1, keepdims=True)
    columns["seconds"] = tables.Column(seconds, "wall seconds of a training", "seconds", budgets, ("median",))
    canonical = jax.jit(jax.vmap(lambda row: space.canonical(space.from_index(row))))(jnp.arange(space.size))
    rows = [place[tuple(genome)] for genome in np.asarray(canonical).tolist()]
    rows = np.array(rows, np.int16 if len(genomes) < 2**15 else np.int32)
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
