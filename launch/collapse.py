"""How often does a differentiable search collapse? Many seeds of one config, as one program.

    python -m launch.collapse --config=configs/darts.py:small --seeds=8
    python -m launch.collapse --config=configs/nasbench201_supernet.py:darts --seeds=16 \
        --config.table.path=TABLE.npz --config.table.metric=COLUMN

Writes collapse.json (each seed's architecture, skip connections, curvature, and what the table says of it) and
collapse.png. The seeds run side by side on an accelerator (`--chunk` of them at a time), one after another on each core
of a CPU. Nothing is saved before the end.
"""

import datetime
import json
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags
from scipy import stats

from jaxnas import plots
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.machine import configure, environment
from jaxnas.search import search_many
from jaxnas.spaces import skip_connections
from jaxnas.workdir import write
from launch import report
from launch.wiring import (
    LATER_KEYS,
    PART_KEYS,
    SEARCH_KEYS,
    build,
    check_keys,
    define_config,
    known_of,
    parse_flags,
    workdir_of,
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --NAME=VALUE.")
    configure()
    workdir = workdir_of("launch.collapse", _WORKDIR.value, f"collapse-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    try:
        run(_CONFIG.value.to_dict(), workdir, seeds=_SEEDS.value, chunk=_CHUNK.value)
    except InputError as error:
        sys.exit(f"launch.collapse: {error}")


def run(config: dict, workdir: pathlib.Path, *, seeds: int, chunk: int = 0) -> dict:
    """The whole program; returns what collapse.json holds."""
    check_keys(config, SEARCH_KEYS, (*PART_KEYS, *LATER_KEYS))
    parts = build(config)
    if "gradient" not in parts.strategy.needs or parts.warm_up:
        raise InputError(
            f"config.strategy: expected a differentiable one without warm-up, got {parts.strategy.name!r}."
        )
    if not skip_connections(parts.space)[0]:
        raise InputError(f"config.space: {parts.space.name!r} has no skip connections to collapse to.")
    chunk = chunk or (1 if current().platform == "cpu" else seeds)
    keep = lambda record: {"loss": record.feedback.metrics["loss"][0], "curvature": record.feedback.curvature}
    run_all = jax.jit(search_many(parts.strategy, parts.evaluator, config["rounds"], seeds, record=keep, chunk=chunk))
    states, records = run_all(jax.random.key(config["seed"]))
    genomes = np.asarray(jax.vmap(parts.strategy.recommend)(states.strategy))
    curvature = None if records["curvature"] is None else np.asarray(records["curvature"])[:, :, 0]
    rows = []
    for i, genome in enumerate(genomes):
        losses = np.asarray(records["loss"])[i]
        losses = losses[np.isfinite(losses)]  # none once a search has stopped early
        measured = [] if curvature is None else curvature[i][np.isfinite(curvature[i])].tolist()
        rows.append(
            {
                "architecture": parts.space.to_string(genome),
                **report.collapse(parts.space, genome),
                "curvature": measured,
                "loss": float(losses[-20:].mean()) if len(losses) else None,
                **known_of(parts.space, config, genome),
            }
        )
    count = sum(row["collapsed"] for row in rows)
    low, high = stats.binomtest(count, seeds).proportion_ci(method="wilson")
    result = {
        "collapsed": count,
        "seeds": seeds,
        "rate": {"value": count / seeds, "low": float(low), "high": float(high)},
        "searches": rows,
        "config": config,
        **environment(),
    }
    print(f"{count} of {seeds} searches collapsed ({100 * low:.0f} to {100 * high:.0f} %, 95 % interval)")
    for row in rows:
        known = "".join(f", {name} {value:.2f}" for name, value in row.get("table", {}).items())
        print(f"  {row['architecture']}{known}{' COLLAPSED' if row['collapsed'] else ''}")
    workdir.mkdir(parents=True, exist_ok=True)
    write(workdir / "collapse.json", json.dumps(result, indent=2))
    if curvature is not None:
        plots.curvatures([(row["curvature"], row["collapsed"]) for row in rows], workdir / "collapse.png")
    print(f"results are in {report.relative(workdir)}")
    return result


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/darts.py:small")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the results go; by default runs/collapse-DATE-TIME.")
    _SEEDS = flags.DEFINE_integer("seeds", 8, "Searches.", lower_bound=1)
    _CHUNK = flags.DEFINE_integer("chunk", 0, "Searches side by side on a device; by default all, on a CPU one.")
    app.run(main, flags_parser=parse_flags)
