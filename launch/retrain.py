"""Retrain what a search found, scaled up or on another task if asked, and random architectures beside it.

    python -m launch.retrain --workdir=runs/NAME                                  # the search's own config and result
    python -m launch.retrain --workdir=runs/NAME --random=30 --correlate          # is search fitness worth anything?
    python -m launch.retrain --workdir=runs/NAME --random=1 --output=large.json \
        --config.network.cells=6 --config.network.filters=32 --config.task="{'name': 'npz', 'path': 'cifar10.npz'}"
    python -m launch.retrain --config=configs/NAME.py --architecture='|nor_conv_3x3~0|+…' --workdir=DIR

Anything of the search's config can be changed: `--config.KEY=VALUE`, a whole part by a dictionary. `--correlate` also
scores the random architectures as the search would, and prints the rank correlation between that fitness and the
retrained test loss. Writes retrain.json, or `--output`, into the workdir.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags
from ml_collections import ConfigDict, config_flags
from scipy import stats

from jaxnas.search import search
from jaxnas.strategies import random_search
from jaxnas.workdir import write
from launch import report
from launch.wiring import Parts, build, parse_flags, use_this_machine


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    use_this_machine()
    workdir = pathlib.Path(_WORKDIR.value)
    try:
        if _CONFIG.value is None:
            raise ValueError(f"workdir: no config.json in {workdir}; finish a search there, or give --config.")
        architecture = _ARCHITECTURE.value or _found(workdir)
        run(
            _CONFIG.value.to_dict(),
            architecture,
            workdir / _OUTPUT.value,
            random=_RANDOM.value,
            correlate=_CORRELATE.value,
        )
    except ValueError as error:
        sys.exit(f"launch.retrain: {error}")


def _found(workdir: pathlib.Path) -> str:
    path = workdir / "result.json"
    if not path.is_file():
        raise ValueError(f"workdir: no result.json in {workdir}; finish a search there, or give --architecture.")
    return json.loads(path.read_text())["architecture"]


def run(config: dict, architecture: str, output: pathlib.Path, *, random: int = 0, correlate: bool = False) -> dict:
    """The whole program; returns what the output file holds."""
    if correlate and random < 3:
        raise ValueError(f"random: expected at least 3 architectures to correlate, got {random}.")
    if output.exists() and json.loads(output.read_text()).get("config") != json.loads(json.dumps(config)):
        raise ValueError(f"output: {output} holds results of another config; give another --output.")
    parts = build(config)
    architectures = {"found": architecture}
    if correlate:
        scored = _scored(parts, config, random)
        architectures |= {f"random {i}": line["architecture"] for i, line in enumerate(scored)}
    else:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(config["seed"]), 1), random)
        architectures |= {f"random {i}": parts.space.to_string(parts.space.sample(k)) for i, k in enumerate(keys)}
    rows = report.retrained(parts, config, architectures)
    result = {"retrained": rows, "config": config, **report.environment()}
    print(report.table(rows if random <= 5 else {k: v for k, v in rows.items() if not k.startswith("random ")}))
    if correlate:
        result["random"] = _compared(rows, [line["fitness"] for line in scored])
        print("\n".join(f"{name}: {value}" for name, value in result["random"].items() if name != "fitness"))
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, json.dumps(result, indent=2))
    print(f"results are in {report.relative(output)}")
    return result


def _scored(parts: Parts, config: dict, count: int) -> list[dict]:
    """History of `count` random architectures, each evaluated as the search does it."""
    P, budget = config["strategy"].get("proposals", 1), config["strategy"].get("budget", 0)
    strategy = random_search(parts.space, proposals=min(P, count), budget=budget)
    rounds = -(-count // min(P, count))
    return search(parts.space, strategy, parts.evaluator, rounds=rounds, seed=config["seed"] + 1).history[:count]


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


def _define_config(argv: list[str]):
    """The flag `--config`: a file where one is given, else what the workdir's search ran with."""
    about = "Configuration file; by default the config of the search in the workdir."
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)  # absl's flags are not parsed yet
    early.add_argument("--workdir", "-workdir", default=".")
    early.add_argument("--config", "-config")
    given = early.parse_known_args(argv[1:])[0]
    path = pathlib.Path(given.workdir) / "config.json"
    if given.config or not path.is_file():
        return config_flags.DEFINE_config_file("config", None, about, lock_config=True)
    return config_flags.DEFINE_config_dict("config", ConfigDict(json.loads(path.read_text())), about, lock_config=True)


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = _define_config(sys.argv)
    _WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the search; also takes the output.", required=True)
    _ARCHITECTURE = flags.DEFINE_string("architecture", None, "Architecture string; by default what the search found.")
    _RANDOM = flags.DEFINE_integer("random", 0, "Random architectures to retrain beside it.", lower_bound=0)
    _CORRELATE = flags.DEFINE_bool("correlate", False, "Also score the random ones as the search would.")
    _OUTPUT = flags.DEFINE_string("output", "retrain.json", "File for the results, in the workdir.")
    app.run(main, flags_parser=parse_flags)
