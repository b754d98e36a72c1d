"""Retrain what a search found, scaled up or on another task if asked, and random architectures beside it.

    python -m launch.retrain --workdir=runs/NAME                                  # the search's own config and result
    python -m launch.retrain --workdir=runs/NAME --random=30
    python -m launch.retrain --workdir=runs/NAME --random=1 --output=large.json \
        --config.network.cells=6 --config.network.filters=32 --config.task="{'name': 'npz', 'path': 'cifar10.npz'}"
    python -m launch.retrain --config=configs/NAME.py --architecture='|nor_conv_3x3~0|+…' --workdir=DIR

Anything of the search's config can be changed: `--config.KEY=VALUE`, a whole part by a dictionary. Writes retrain.json,
or `--output`, into the workdir.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags

from jaxnas.check import InputError
from jaxnas.machine import configure, environment
from jaxnas.workdir import write
from launch import report
from launch.wiring import build, define_workdir_config, parse_flags, workdir_of


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    configure()
    workdir = workdir_of("launch.retrain", _WORKDIR.value, "")
    try:
        if _CONFIG.value is None:
            raise InputError(f"workdir: no config.json in {workdir}; finish a search there, or give --config.")
        architecture = _ARCHITECTURE.value or _found(workdir)
        run(_CONFIG.value.to_dict(), architecture, workdir / _OUTPUT.value, random=_RANDOM.value)
    except InputError as error:
        sys.exit(f"launch.retrain: {error}")


def _found(workdir: pathlib.Path) -> str:
    path = workdir / "result.json"
    if not path.is_file():
        raise InputError(f"workdir: no result.json in {workdir}; finish a search there, or give --architecture.")
    return json.loads(path.read_text())["architecture"]


def run(config: dict, architecture: str, output: pathlib.Path, *, random: int = 0) -> dict:
    """The whole program; returns what the output file holds."""
    if output.exists() and json.loads(output.read_text()).get("config") != json.loads(json.dumps(config)):
        raise InputError(f"output: {output} holds results of another config; give another --output.")
    # What the search was after does not matter here.
    parts = build({**config, "cost": {}, "objective": {}, "strategy": {"name": "random_search"}})
    report.check_later(parts, config, needed=True)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config["seed"]), 1), random)
    drawn = {f"random {i}": parts.space.to_string(parts.space.sample(k)) for i, k in enumerate(keys)}
    rows = report.retrained(parts, config, {"found": architecture, **drawn})
    result = {"retrained": rows, "config": config, **environment()}
    print(report.table(rows if random <= 5 else {k: v for k, v in rows.items() if not k.startswith("random ")}))
    if random:
        result["random"] = _compared(rows, random)
        print("\n".join(f"{name}: {value}" for name, value in result["random"].items()))
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, json.dumps(result, indent=2))
    print(f"results are in {report.relative(output)}")
    return result


def _compared(rows: dict, count: int) -> dict:
    """Where the one found stands among the random ones."""
    loss = {name: float(np.mean(row["test_loss"])) for name, row in rows.items()}
    random = np.array([loss[f"random {i}"] for i in range(count)])
    return {
        "median_test_loss": float(np.median(random)),
        "found_test_loss": loss["found"],
        "better_than_found": int((random < loss["found"]).sum()),
    }


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_workdir_config(sys.argv)
    _WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the search; also takes the output.", required=True)
    _ARCHITECTURE = flags.DEFINE_string("architecture", None, "Architecture string; by default what the search found.")
    _RANDOM = flags.DEFINE_integer("random", 0, "Random architectures to retrain beside it.", lower_bound=0)
    _OUTPUT = flags.DEFINE_string("output", "retrain.json", "File for the results, in the workdir.")
    app.run(main, flags_parser=parse_flags)
