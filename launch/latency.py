"""Latency on this device as a cost of a search: `config.cost`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnas import check, costs, tasks
from jaxnas.check import InputError
from jaxnas.types import Space

COST = "latency_ms"
"""Of the cost."""
FILE = "latency_table.json"
"""Of the table, in a search's workdir."""
DEFAULTS = {"name": "latency", "path": "", "batch": 1, "allow_device_mismatch": False}


class Latency(NamedTuple):
    """A latency table and its predictions."""

    table: costs.LatencyTable
    model: costs.LatencyModel


def latency_of(
    config: Mapping[str, Any], space: Space, network: nn.Module, task: tasks.Task, workdir: pathlib.Path | None
) -> Latency | None:
    """What `config.cost` asks for, None without a name: by the table in its `path`, the workdir's, or a new one.

    Raises:
      InputError: an unknown argument; a table of another device, space or network; a limit that nobody meets.
    """
    given = config.get("cost") or {}
    if not given.get("name"):
        return None
    check.one_of("config.cost.name", given["name"], ("latency",))
    for argument in given:
        check.one_of("config.cost, argument of 'latency'", argument, DEFAULTS)
    options = {**DEFAULTS, **given}
    check.integer("config.cost.batch", options["batch"], least=1)
    if network is None or task is None:
        raise InputError("config.cost: latency is that of a network on a task's images; give both, or no cost.")
    x = task.batch_of(options["batch"])
    kept = None if workdir is None else workdir / FILE
    if options["path"] or (kept is not None and kept.is_file()):
        table = costs.load_latency_table(
            options["path"] or kept, batch=x, allow_device_mismatch=options["allow_device_mismatch"]
        )
    else:
        print(f"measuring latencies on {jax.devices()[0].device_kind}, {options['batch']} images a batch ...")
        table = costs.profile(space, network, x, say=lambda text: print(f"  {text}")).table
        print(f"  measured twice, networks differ by {table.calibration['noise_floor']:.1%}")
    found = Latency(table, costs.latency_model(space, network, table))
    _attainable(config, space, found.model)
    return found


def _attainable(config: Mapping[str, Any], space: Space, model: costs.LatencyModel) -> None:
    objective, limits = config.get("objective") or {}, config["strategy"].get("limits") or {}
    asked = {"config.strategy.limits": limits.get(COST)}
    if objective.get("name") and objective.get("cost") == COST:
        asked["config.objective.target"] = objective.get("target")
    for argument, limit in asked.items():
        if limit is None:
            continue
        genome, least = costs.fastest(space, model.latency)
        if least > limit:
            raise InputError(
                f"{argument}: no architecture was found with {COST} of at most {limit:g}; the fastest, "
                f"{space.to_string(genome)}, takes {least:.4g}."
            )


def remeasured(latency: Latency, space: Space, network: nn.Module, genomes: Sequence[np.ndarray]) -> list[dict]:
    """Predicted and measured latency of each genome's network, as lines of a result."""
    pruned = [np.asarray(space.pruned(genome)) for genome in genomes]
    timings = costs.measure_networks(costs.compile_networks(space, network, pruned, latency.table.batch))
    return [
        {
            "architecture": space.to_string(genome),
            "predicted_ms": float(latency.model.latency(genome)),
            "measured_ms": 1e3 * timing.median,
            "noise": timing.noise,
        }
        for genome, timing in zip(genomes, timings, strict=True)
    ]
