"""A space's operations measured on this device: a latency table, and how far to trust what it predicts."""

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas import check, costs, plots
from jaxnas.analysis.text import listed, relative
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.costs.measure import ESTIMATED_LATENCY
from jaxnas.costs.on_device import FILE
from jaxnas.execution import all_devices
from jaxnas.machine import environment
from jaxnas.workdir import write, writing

NOISY = 0.04
"""Noise floor above which a run says nothing."""


def profile(
    workdir: str | pathlib.Path,
    *,
    space: Mapping[str, Any],
    network: Mapping[str, Any],
    batch: int = 64,
    image: Sequence[int] = (32, 32, 3),
    dtype: str = "float32",
    held_out: int = 60,
    calibration: int = 16,
    rounds: int = 4,
    limit: float = 335.0,
    seed: int = 0,
    meter: costs.Meter | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measures a latency table, and what it predicts of networks that calibrated nothing.

    Args:
      workdir: gets latency_table.json (for `config.cost.path`), result.json and latency.png.
      space: a dict with a name, as is the next.
      network: whose operations are timed.
      batch: inputs at once.
      image: shape of one input.
      dtype: of the inputs.
      held_out: random networks to validate on.
      calibration: chosen networks to calibrate on.
      rounds: in which each network and operation is timed, side by side; all are run.
      limit: seconds, from the start, within which rounds are added where they scatter; see `costs.interleaved`.
      seed: of all randomness.
      meter: what tells how long programs take; a clock on this device by default, see `planning.profile`.
      say: is told what comes out.

    Returns:
      What result.json holds: `cost`, its name; `of`, the device and versions; `calibration`,
      `heldout: {spearman, mape, within_5, within_10, …}`, `timing` (see `costs.Profile`), `valid`.

    Raises:
      InputError: a workdir that holds a table, a number out of its range.
    """
    config = {key: value for key, value in locals().items() if key not in ("workdir", "meter", "say")}
    workdir = check.local_path("workdir", workdir)
    check.seed("config.seed", seed)
    check.integer("config.batch", batch, least=1)
    check.real("config.limit", limit, least=0.0)
    if (workdir / FILE).exists():
        raise InputError(f"workdir: {workdir} holds a latency table already; give another.")
    begin = time.perf_counter()
    made, module = registry.make("space", space), registry.make("network", network)
    x = jax.ShapeDtypeStruct((batch, *image), jnp.dtype(dtype))
    say(f"{made.name} ({made.size:,} genomes) on {all_devices()[0].device_kind}, images {list(x.shape)}")
    options = {key: config[key] for key in ("held_out", "calibration", "rounds", "limit", "seed")}
    found = costs.profile(made, module, x, meter=meter, say=lambda text: say(f"  {text}"), **options)
    with writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    found.table.save(workdir / FILE)
    result = {"calibration": dict(found.table.calibration), "timing": found.timing, "valid": True}
    result |= {"cost": found.table.cost, "of": dict(found.table.environment), "config": config, **environment()}
    files = [FILE, "result.json"]
    if found.held_out is not None:
        result["heldout"] = found.held_out.summary()
        say(_table(result["heldout"]))
        whole = "estimated as a whole" if found.table.cost == ESTIMATED_LATENCY else "measured"
        plots.latency(found.held_out, workdir / "latency.png", whole=whole)
        files.append("latency.png")
    floor = max(found.table.calibration["noise_floor"], result.get("heldout", {}).get("noise_floor_mape", 0.0))
    if floor > NOISY:
        result |= {"valid": False, "why_invalid": f"the noise floor is {floor:.1%}, above {NOISY:.0%}; measure again."}
    result["wall_seconds"] = time.perf_counter() - begin
    write(workdir / "result.json", json.dumps(result, indent=2))
    say(f"{listed(files)} are in {relative(workdir)} ({result['wall_seconds']:.0f} s)")
    return result


def _table(summary: dict) -> str:
    names = {"": "predicted", "uncalibrated_": "sum of operations alone", "flops_": "FLOPs"}
    lines = [f"{summary['n']} other networks {'Spearman':>19}{'error':>9}{'within 5 %':>13}{'10 %':>8}"]
    for prefix, name in names.items():
        row = {key: summary[prefix + key] for key in ("spearman", "mape", "within_5", "within_10")}
        lines.append(
            f"  {name:24}{row['spearman']:>11.4f}{row['mape']:>9.1%}{row['within_5']:>13.0%}{row['within_10']:>8.0%}"
        )
    twice = [f"  {'measured twice':35}{summary['noise_floor_mape']:>9.1%}"] if summary["noise_floor_mape"] else []
    return "\n".join([*lines, *twice])
