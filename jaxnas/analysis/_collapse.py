"""How often does a differentiable search collapse? Many seeds of one config, as one program."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from scipy import stats

from jaxnas import check, plots
from jaxnas.analysis.skips import skips
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config.files import get_config
from jaxnas.config.keys import LATER, PARTS, SEARCH, check_keys
from jaxnas.config.lookup import table_metrics
from jaxnas.config.wiring import build
from jaxnas.execution import current
from jaxnas.machine import environment
from jaxnas.search import search_many
from jaxnas.spaces import skip_connections
from jaxnas.workdir import write, writing


def collapse(
    config: Mapping[str, Any] | str,
    workdir: str | pathlib.Path | None = None,
    *,
    seeds: int = 8,
    chunk: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Searches with many seeds as one program and counts those that end in cells of skip connections.

    Args:
      config: of a differentiable search without warm-up, or its name.
      workdir: gets collapse.json and collapse.png; nothing is saved before the end.
      seeds: searches.
      chunk: searches side by side on a device; 0 for all of them, on a CPU for one.
      say: is told what comes out.

    Returns:
      What collapse.json holds: `collapsed`, `rate` with its interval, and `searches`: each seed's architecture, skip
      connections, curvature, and what `config.table` says of it.

    Raises:
      InputError: another kind of strategy, or a space without skip connections.
    """
    config = get_config(config) if isinstance(config, str) else dict(config)
    check.integer("seeds", seeds, least=1)
    check.integer("chunk", chunk, least=0)
    check_keys(config, SEARCH, (*PARTS, *LATER))
    parts = build(config)
    if "gradient" not in parts.strategy.needs or parts.warm_up:
        raise InputError(
            f"config.strategy: expected a differentiable one without warm-up, got {parts.strategy.name!r}."
        )
    if not skip_connections(parts.space)[0]:
        raise InputError(f"config.space: {parts.space.name!r} has no skip connections to collapse to.")
    table_metrics(parts.space, config, parts.space.sample(jax.random.key(0)))  # refuses a table that does not fit
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
                **skips(parts.space, genome),
                "curvature": measured,
                "loss": float(losses[-20:].mean()) if len(losses) else None,
                **table_metrics(parts.space, config, genome),
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
    say(f"{count} of {seeds} searches collapsed ({100 * low:.0f} to {100 * high:.0f} %, 95 % interval)")
    for row in rows:
        known = "".join(f", {name} {value:.2f}" for name, value in row.get("table", {}).items())
        say(f"  {row['architecture']}{known}{' COLLAPSED' if row['collapsed'] else ''}")
    if workdir is not None:
        folder = check.local_path("workdir", workdir)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / "collapse.json", json.dumps(result, indent=2))
            if curvature is not None:
                plots.curvatures([(row["curvature"], row["collapsed"]) for row in rows], folder / "collapse.png")
        say(f"results are in {relative(folder)}")
    return result
