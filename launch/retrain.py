"""Retrain what a search found, or any architecture, and optionally random ones alike.

    python -m launch.retrain --workdir=runs/NAME                     # the search's own config and result
    python -m launch.retrain --workdir=runs/NAME --random=30         # and is search fitness worth anything?
    python -m launch.retrain --config=configs/NAME.py --architecture='|nor_conv_3x3~0|+…' --workdir=DIR

`--random=N` also scores N random architectures as the search would, retrains them alike, and prints the rank
correlation between search fitness and retrained test loss. Writes retrain.json into the workdir.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags
from scipy import stats

from jaxnas.strategies import random_search
from jaxnas.workdir import write
from launch import report
from launch.wiring import build, parse_flags, use_this_machine


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    use_this_machine()
    workdir = pathlib.Path(_WORKDIR.value)
    try:
        config = _CONFIG.value.to_dict() if _CONFIG.value else _read(workdir / "config.json")
        architecture = _ARCHITECTURE.value or _read(workdir / "result.json")["architecture"]
        overrides = {"seeds": _SEEDS.value, "steps": _STEPS.value}
        config["retrain"] = {**config["retrain"], **{k: v for k, v in overrides.items() if v is not None}}
        run(config, architecture, _RANDOM.value, workdir)
    except ValueError as error:
        sys.exit(f"launch.retrain: {error}")


def _read(path: pathlib.Path) -> dict:
    if not path.is_file():
        raise ValueError(f"workdir: no {path.name} in {path.parent}; finish a search there, or give --config.")
    return json.loads(path.read_text())


def run(config: dict, architecture: str, random: int, workdir: pathlib.Path) -> dict:
    """The whole program; returns what retrain.json holds."""
    parts = build(config)
    architectures = {"found": architecture}
    fitness: list[float | None] = []
    if random:
        genomes, fitness = _scored(parts, config, random)
        architectures |= {f"random {i}": parts.space.to_string(g) for i, g in enumerate(genomes)}
    rows = report.retrained(parts, config, architectures)
    result = {"retrained": rows, **report.environment()}
    print(report.table({"found": rows["found"]}))
    if random:
        result["random"] = _compared(rows, fitness)
        print("\n".join(f"{name}: {value}" for name, value in result["random"].items() if name != "fitness"))
    workdir.mkdir(parents=True, exist_ok=True)
    write(workdir / "retrain.json", json.dumps(result, indent=2))
    print(f"retrain.json is in {report.relative(workdir)}")
    return result


def _scored(parts, config: dict, count: int):
    """`count` random genomes and what the search's evaluator says of each (None for invalid)."""
    P, budget = config["strategy"].get("proposals", 1), config["strategy"].get("budget", 0)
    strategy = random_search(parts.space, proposals=P, budget=budget)
    evaluate = jax.jit(parts.evaluator.evaluate) if parts.evaluator.jittable else parts.evaluator.evaluate
    ask_key, evaluate_key = jax.random.split(jax.random.fold_in(jax.random.key(config["seed"]), 1))
    state, inner = strategy.init(ask_key), parts.evaluator.init(evaluate_key)
    genomes, fitness = [], []
    while len(genomes) < count:
        proposal, state = strategy.ask(jax.random.fold_in(ask_key, len(genomes)), state)
        proposal, inner_key = jax.tree.map(np.asarray, proposal), jax.random.fold_in(evaluate_key, len(genomes))
        feedback, inner = evaluate(inner_key, inner, proposal)
        genomes += list(proposal.genome)
        fitness += [float(f) if v else None for f, v in zip(feedback.fitness, feedback.valid, strict=True)]
    return genomes[:count], fitness[:count]


def _compared(rows: dict, fitness: list[float | None]) -> dict:
    loss = {name: float(np.mean(row["test_loss"])) for name, row in rows.items()}
    random = np.array([loss[f"random {i}"] for i in range(len(fitness))])
    scored = [i for i, f in enumerate(fitness) if f is not None]
    rho = stats.spearmanr([fitness[i] for i in scored], -random[scored]).statistic
    return {
        "architectures": len(random),
        "median_test_loss": float(np.median(random)),
        "found_test_loss": loss["found"],
        "better_than_found": int((random < loss["found"]).sum()),
        "spearman_search_fitness_with_negative_test_loss": float(rho),
        "fitness": fitness,
    }


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration file; by default that of the search.")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Of the search; also takes the output.", required=True)
    _ARCHITECTURE = flags.DEFINE_string("architecture", None, "Architecture string; by default what the search found.")
    _RANDOM = flags.DEFINE_integer("random", 0, "Random architectures to retrain beside it.", lower_bound=0)
    _SEEDS = flags.DEFINE_integer("seeds", None, "Trainings of each; by default the config's.", lower_bound=1)
    _STEPS = flags.DEFINE_integer("steps", None, "Training steps; by default the config's.", lower_bound=1)
    app.run(main, flags_parser=parse_flags)
