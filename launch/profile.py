"""Measure a space's operations on this device: a latency table, and how far to trust what it predicts.

    python -m launch.profile                                                # configs/profile.py: NAS-Bench-201
    python -m launch.profile --config=configs/profile.py:mobilenet --config.batch=1 --workdir=DIR

Writes latency_table.json (for `config.cost.path`), result.json and latency.png into the workdir. Networks that
calibrated nothing are measured beside what the table predicts, what the sum of operations alone would, and FLOPs.
"""

import datetime
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
from absl import app, flags

from configs import profile as default
from jaxnas import costs, plots
from jaxnas.check import InputError
from jaxnas.machine import configure, environment
from jaxnas.workdir import write
from launch import report
from launch.wiring import check_keys, define_config, make, parse_flags, workdir_of

NOISY = 0.04
"""Noise floor above which a run says nothing."""


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --config.KEY=VALUE.")
    configure()
    config = _CONFIG.value.to_dict()
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = workdir_of("launch.profile", _WORKDIR.value, f"profile-{stamp}")
    try:
        result = run(config, workdir)
    except InputError as error:
        sys.exit(f"launch.profile: {error}")
    if not result["valid"]:
        sys.exit(f"launch.profile: {result['why_invalid']}")


def run(config: dict, workdir: pathlib.Path) -> dict:
    """The whole program; returns what result.json holds."""
    check_keys(config, tuple(default.get_config()))
    if (workdir / "latency_table.json").exists():
        raise InputError(f"workdir: {workdir} holds a latency table already; give another.")
    begin = time.perf_counter()
    space = make("space", config["space"])
    network = make("network", config["network"])
    x = jax.ShapeDtypeStruct((config["batch"], *config["image"]), jnp.dtype(config["dtype"]))
    print(f"{space.name} ({space.size:,} genomes) on {jax.devices()[0].device_kind}, images {list(x.shape)}")
    options = {key: config[key] for key in ("held_out", "calibration", "rounds", "seed")}
    found = costs.profile(space, network, x, say=lambda text: print(f"  {text}"), **options)
    workdir.mkdir(parents=True, exist_ok=True)
    found.table.save(workdir / "latency_table.json")
    result = {"calibration": dict(found.table.calibration), "valid": True, "config": config, **environment()}
    files = ["latency_table.json", "result.json"]
    if found.held_out is not None:
        result["heldout"] = found.held_out.summary()
        print(_table(result["heldout"]))
        plots.latency(found.held_out, workdir / "latency.png")
        files.append("latency.png")
    floor = max(found.table.calibration["noise_floor"], result.get("heldout", {}).get("noise_floor_mape", 0.0))
    if floor > NOISY:
        result |= {"valid": False, "why_invalid": f"the noise floor is {floor:.1%}, above {NOISY:.0%}; measure again."}
    result["wall_seconds"] = time.perf_counter() - begin
    write(workdir / "result.json", json.dumps(result, indent=2))
    print(f"{', '.join(files[:-1])} and {files[-1]} are in {report.relative(workdir)} ({result['wall_seconds']:.0f} s)")
    return result


def _table(summary: dict) -> str:
    names = {"": "predicted", "uncalibrated_": "sum of operations alone", "flops_": "FLOPs"}
    lines = [f"{summary['n']} other networks {'Spearman':>19}{'error':>9}{'within 5 %':>13}{'10 %':>8}"]
    for prefix, name in names.items():
        row = {key: summary[prefix + key] for key in ("spearman", "mape", "within_5", "within_10")}
        lines.append(
            f"  {name:24}{row['spearman']:>11.4f}{row['mape']:>9.1%}{row['within_5']:>13.0%}{row['within_10']:>8.0%}"
        )
    return "\n".join([*lines, f"  {'measured twice':35}{summary['noise_floor_mape']:>9.1%}"])


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/profile.py")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the table goes; by default runs/profile-DATE-TIME.")
    app.run(main, flags_parser=parse_flags)
