"""Latency on this device as a cost of a search."""

import pathlib
from collections.abc import Sequence

import flax.linen as nn
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs._profile import profile
from jaxnas.costs.cost import Cost
from jaxnas.costs.from_networks import table_from_networks
from jaxnas.costs.latency import LatencyModel, latency_model
from jaxnas.costs.measure import compile_networks, measure_networks
from jaxnas.costs.tables import LatencyTable, load_latency_table
from jaxnas.tasks.task import Task
from jaxnas.types import Genome, Space

LATENCY = "latency_ms"
"""Name of the cost."""
LIMIT = 60.0
"""Seconds of measuring for a search's own table, where rounds scatter."""
FILE = "latency_table.json"
"""Of the table, in a run's folder."""


def latency(
    space: Space,
    network: nn.Module | None,
    task: Task | None,
    workdir: pathlib.Path | None = None,
    *,
    path: str = "",
    batch: int = 1,
    by: str = "operations",
    networks: int = 16,
    allow_device_mismatch: bool = False,
) -> Cost:
    """Latency in ms of a stand-alone network in inference, by a table of what was measured on this device.

    Args:
      space, network: whose networks.
      task: whose inputs.
      workdir: a run's folder; the table that it holds is taken where there is no path.
      path: of a table that `costs.profile` made; without one it is measured now.
      batch: inputs at once.
      by: what a new table is made of: "operations", each timed alone (see `costs.profile`), or "networks", random ones,
        to which a time of each option is fitted (see `costs.table_from_networks`): less exact, and there in seconds.
      networks: whole networks measured for a new table.
      allow_device_mismatch: take a table that was measured on another device or version.

    Raises:
      InputError: no network or task; a table of another device, space or network.
    """
    check.integer("config.cost.batch", batch, least=1)
    check.one_of("config.cost.by", by, ("operations", "networks"))
    if network is None or not isinstance(task, Task):
        raise InputError("config.cost: latency is that of a network on a task's inputs; give both, or no cost.")
    x = task.batch_of(batch)
    kept = None if workdir is None else pathlib.Path(workdir) / FILE
    measured: dict[str, LatencyTable | LatencyModel] = {}

    def use(table: LatencyTable) -> None:
        measured.update(table=table, model=latency_model(space, network, table))

    def prepare() -> None:
        if not measured:
            use(_table(space, network, x, by, networks))

    if path or (kept is not None and kept.is_file()):
        use(load_latency_table(path or kept, batch=x, allow_device_mismatch=allow_device_mismatch))
    return Cost(
        (LATENCY,),
        lambda genome: measured["model"].latency(genome),
        lambda probabilities: measured["model"].expected_latency(probabilities),
        prepare=prepare,
        measure=lambda genomes: _measured(space, network, **measured, genomes=genomes),
        save=lambda folder: measured["table"].save(folder / FILE),
    )


def _table(space: Space, network: nn.Module, x: jax.ShapeDtypeStruct, by: str, networks: int) -> LatencyTable:
    """A new table, made now."""
    print(f"measuring latencies on {jax.devices()[0].device_kind}, {x.shape[0]} inputs a batch ...")
    say = lambda text: print(f"  {text}")
    if by == "operations":
        table = profile(space, network, x, calibration=networks, limit=LIMIT, say=say).table
    else:
        table = table_from_networks(space, network, x, networks=networks, limit=LIMIT, say=say)
    floor, error = (f"{table.calibration[name]:.1%}" for name in ("noise_floor", "mape"))
    print(f"  measured twice, networks differ by {floor}; predictions are off by {error}")
    return table


def _measured(
    space: Space, network: nn.Module, table: LatencyTable, model: LatencyModel, genomes: Sequence[Genome]
) -> list[dict]:
    """Predicted and measured latency of each genome's network."""
    pruned = [np.asarray(space.pruned(genome)) for genome in genomes]
    timings = measure_networks(compile_networks(space, network, pruned, table.batch))
    return [
        {
            "architecture": space.to_string(genome),
            "predicted_ms": float(model.latency(genome)),
            "measured_ms": 1e3 * timing.median,
            "noise": timing.noise,
        }
        for genome, timing in zip(genomes, timings, strict=True)
    ]
