"""Train every distinct architecture of a space, and write what they reach as a table.

    python -m launch.tabulate --workdir=DIR                                # configs/tabulate_digits.py
    python -m launch.tabulate --config=configs/NAME.py --workdir=DIR       # any enumerable space, any task

The same command resumes what DIR holds. DIR gets history.jsonl, checkpoints/ and, at the end, NAME.npz for
`launch.compare`, with its provenance and noise (rank correlation between seeds) beside it as NAME.json.
"""

import itertools
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy import stats

from configs import tabulate_digits as default
from jaxnas import check, tables
from jaxnas.check import InputError
from jaxnas.machine import configure, environment
from jaxnas.search import Phase, search
from jaxnas.strategies import exhaustive
from jaxnas.strategies._exhaustive import distinct_genomes
from jaxnas.types import Space
from jaxnas.workdir import write
from launch import report
from launch.wiring import check_keys, define_config, make, parse_flags, workdir_of

# Column -> the metric of `evaluators.training`.
COLUMNS = {
    "validation_loss": "loss",
    "validation_accuracy": "accuracy",
    "test_loss": "test_loss",
    "test_accuracy": "test_accuracy",
}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --config.KEY=VALUE.")
    configure()
    workdir = workdir_of("launch.tabulate", _WORKDIR.value, "")
    try:
        run(_CONFIG.value.to_dict(), workdir)
    except InputError as error:
        sys.exit(f"launch.tabulate: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; nothing is lost. The same command resumes.")


def run(config: dict, workdir: pathlib.Path) -> tables.Table:
    """The whole program; returns the table that it writes."""
    check_keys(config, tuple(default.get_config()))
    check.integer("config.seeds", config["seeds"], least=1)
    for budget in config["budgets"]:
        check.integer("config.budgets", budget, least=1)
    space, task = make("space", config["space"]), make("task", config["task"])
    network = make("network", config["network"], classes=task.outputs)
    evaluator = make("evaluator", {**config["evaluator"], "test": True}, space=space, network=network, task=task)
    genomes = distinct_genomes(space)
    rounds = -(-len(genomes) // config["proposals"])
    # Seeds outermost: a table of the first seed is whole when half of two are done.
    trainings = list(itertools.product(range(config["seeds"]), sorted(config["budgets"])))
    phases = [
        Phase(exhaustive(space, distinct=True, proposals=config["proposals"], budget=budget), rounds)
        for _, budget in trainings
    ]
    print(f"{len(genomes):,} distinct of {space.size:,} genomes, {len(trainings)} trainings each, in {workdir}")
    done = search(space, phases, evaluator, seed=config["seed"], workdir=str(workdir), config=config)

    table = _table(config, space, genomes, done.history, trainings)
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
    print(f"Spearman between seeds: {noise}\n{config['name']}.npz and .json are in {report.relative(workdir)}")
    return table


def _table(config: dict, space: Space, genomes: np.ndarray, history: list[dict], trainings: list) -> tables.Table:
    place = {tuple(genome): row for row, genome in enumerate(genomes.tolist())}
    budgets, seeds = tuple(sorted(config["budgets"])), tuple(range(config["seeds"]))
    shape = (len(genomes), len(seeds), len(budgets))
    values = {name: np.full(shape, np.nan, np.float32) for name in (*COLUMNS, "seconds")}
    for line in history:
        seed, budget = trainings[line["phase"]]
        at = (place[tuple(line["genome"])], seed, budgets.index(budget))
        values["seconds"][at] = line["seconds"]
        if line["valid"]:
            for name, metric in COLUMNS.items():
                values[name][at] = line[metric]
    # One machine, other work beside it: the median over seeds is what a training of this size takes.
    seconds = np.median(values.pop("seconds"), 1, keepdims=True)
    columns = {}
    for name in COLUMNS:
        split, quantity = name.split("_")
        columns[name] = tables.Column(
            # Half precision is finer than one image of a test set, and keeps an embedded table small.
            values[name].astype(np.float32 if quantity == "loss" else np.float16),
            f"{quantity} on the {split} split, trained on the train split",
            budgets=budgets,
            seeds=seeds,
            seconds="seconds",
            higher_is_better=quantity != "loss",
        )
    columns["seconds"] = tables.Column(seconds, "wall seconds of a training", "seconds", budgets, ("median",))
    canonical = jax.jit(jax.vmap(lambda row: space.canonical(space.from_index(row))))(jnp.arange(space.size))
    rows = np.array([place[tuple(genome)] for genome in np.asarray(canonical).tolist()], np.int16)
    return tables.Table(config["name"], config["space"], rows, columns, unit="steps")


def _noise(table: tables.Table) -> dict[str, dict[int, float]]:
    """Mean Spearman correlation between pairs of seeds, for each column and budget."""
    noise: dict[str, dict[int, float]] = {}
    for name in COLUMNS:
        values = table.columns[name].values
        pairs = list(itertools.combinations(range(values.shape[1]), 2))
        for b, budget in enumerate(table.columns[name].budgets):
            rho = [stats.spearmanr(values[:, i, b], values[:, j, b], nan_policy="omit").statistic for i, j in pairs]
            noise.setdefault(name, {})[budget] = float(np.mean(rho)) if rho else None
    return noise


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/tabulate_digits.py")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept.", required=True)
    app.run(main, flags_parser=parse_flags)
