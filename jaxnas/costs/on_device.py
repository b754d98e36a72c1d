"""Costs of a search that come from compiled networks: latency here, latency by estimate, peak memory."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, processes
from jaxnas.check import InputError
from jaxnas.costs._profile import profile
from jaxnas.costs.cost import Cost
from jaxnas.costs.from_networks import DECODE, PEAK, PREFILL, peak_mb, table_from_networks
from jaxnas.costs.measure import ESTIMATED_LATENCY, LATENCY, compile_networks, measure_networks, stopwatch
from jaxnas.costs.model import CostModel, cost_model
from jaxnas.costs.sizes import of_tokens
from jaxnas.costs.tables import CostTable, load_cost_table, table_of
from jaxnas.execution import all_devices
from jaxnas.networks.decoding import DecodeStep
from jaxnas.tasks.task import Task
from jaxnas.types import Genome, Space

LIMIT = 60.0
"""Seconds of measuring for a search's own table, where rounds scatter."""
FILE, PEAK_FILE = "latency_table.json", "peak_memory_table.json"
"""Of tables, in a run's folder."""


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
      InputError: no network or task; a table of another device, space or network, or of estimates.
    """
    x = _batch(LATENCY, network, task, batch)
    return _timed(LATENCY, space, network, x, workdir, path, by, networks, allow_device_mismatch)


def estimated_latency(
    space: Space,
    network: nn.Module | None,
    task: Task | None,
    *,
    path: str,
    batch: int = 1,
    allow_device_mismatch: bool = False,
) -> Cost:
    """Latency in ms by a compiler's estimates, for a device that is not here.

    Args:
      space, network: whose networks.
      task: whose inputs.
      path: of the table that `jaxnas profile --target=TARGET` made.
      batch: inputs at once.
      allow_device_mismatch: take a table of another version of JAX or of this library.

    Raises:
      InputError: no network or task; a table of another space or network, or one that was measured.
    """
    x = _batch(ESTIMATED_LATENCY, network, task, batch)
    return _by_table(*(ESTIMATED_LATENCY, space, network, x, path, None), allow_device_mismatch=allow_device_mismatch)


def peak_memory(
    space: Space,
    network: nn.Module | None,
    task: Task | None,
    workdir: pathlib.Path | None = None,
    *,
    path: str = "",
    batch: int = 1,
    networks: int = 48,
    allow_device_mismatch: bool = False,
) -> Cost:
    """Megabytes that a stand-alone network takes on this device in inference, as its compiler says: parameters, inputs,
    outputs and temporaries. A cost of each option is fitted to random networks (see `costs.table_from_networks`).

    Args:
      space, network: whose networks.
      task: whose inputs.
      workdir: a run's folder; the table that it holds is taken where there is no path.
      path: of another run's peak_memory_table.json; without one networks are compiled now.
      batch: inputs at once.
      networks: how many are compiled for a new table.
      allow_device_mismatch: take a table that was made on another device or version.

    Raises:
      InputError: no network or task; a table of another device, space or network.
    """
    x = _batch(PEAK, network, task, batch)

    def measure(table: CostTable, model: CostModel, genomes: Sequence[Genome]) -> list[dict]:
        compiled = _compiled(space, network, table, genomes)
        return [
            {"predicted": float(model.cost(genome)), "measured": peak_mb(each)}
            for genome, each in zip(genomes, compiled, strict=True)
        ]

    return _by_table(
        *(PEAK, space, network, x, path, None if workdir is None else pathlib.Path(workdir) / PEAK_FILE),
        make=lambda say: table_from_networks(space, network, x, cost=PEAK, networks=networks, say=say),
        measure=measure,
        allow_device_mismatch=allow_device_mismatch,
    )


def prefill_latency(
    space: Space,
    network: nn.Module | None,
    task: Task | None,
    workdir: pathlib.Path | None = None,
    *,
    length: int = 1024,
    batch: int = 1,
    by: str = "operations",
    networks: int = 16,
    path: str = "",
    allow_device_mismatch: bool = False,
) -> Cost:
    """Milliseconds for a prompt of `length` tokens on this device, by a table of what was measured.

    Args:
      space: `spaces.transformer`.
      network: `networks.Transformer`, of tokens.
      task: is not asked.
      workdir: a run's folder; the table that it holds is taken where there is no path.
      length: tokens.
      batch: sequences at once.
      by, networks: see `latency`.
      path: of another run's prefill_ms_table.json.
      allow_device_mismatch: take a table that was made on another device or version.

    Raises:
      InputError: another network; a table of another device, space or network.
    """
    x = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    network = of_tokens("prefill_latency", network, length)
    return _timed(PREFILL, space, network, x, workdir, path, by, networks, allow_device_mismatch)


def decode_latency(
    space: Space,
    network: nn.Module | None,
    task: Task | None,
    workdir: pathlib.Path | None = None,
    *,
    length: int = 1024,
    batch: int = 1,
    by: str = "operations",
    networks: int = 16,
    path: str = "",
    allow_device_mismatch: bool = False,
) -> Cost:
    """Milliseconds for the next token after `length` on this device, by a table of what was measured.

    Args:
      space: `spaces.transformer`.
      network: `networks.Transformer`, of tokens.
      task: is not asked.
      workdir: a run's folder; the table that it holds is taken where there is no path.
      length: tokens that the cache holds.
      batch: sequences at once.
      by, networks: see `latency`.
      path: of another run's decode_ms_table.json.
      allow_device_mismatch: take a table that was made on another device or version.

    Raises:
      InputError: another network; a table of another device, space or network.
    """
    step = DecodeStep(of_tokens("decode_latency", network, length), length)
    x = jax.ShapeDtypeStruct((batch, 1), jnp.int32)
    return _timed(DECODE, space, step, x, workdir, path, by, networks, allow_device_mismatch)


def _timed(name, space, network, x, workdir, path, by, networks, allow_device_mismatch) -> Cost:
    """What networks take on `x` in ms."""
    check.one_of("config.cost.by", by, ("operations", "networks"))

    def make(say: Callable[[str], None]) -> CostTable:
        if by == "operations":
            meter = stopwatch()._replace(cost=name)
            return profile(space, network, x, calibration=networks, limit=LIMIT, meter=meter, say=say).table
        return table_from_networks(space, network, x, cost=name, networks=networks, limit=LIMIT, say=say)

    def measure(table: CostTable, model: CostModel, genomes: Sequence[Genome]) -> list[dict]:
        timings = measure_networks(_compiled(space, network, table, genomes))
        return [
            {"predicted": float(model.cost(genome)), "measured": 1e3 * timing.median, "noise": timing.noise}
            for genome, timing in zip(genomes, timings, strict=True)
        ]

    file = FILE if name == LATENCY else f"{name}_table.json"
    return _by_table(
        *(name, space, network, x, path, None if workdir is None else pathlib.Path(workdir) / file),
        make=make,
        measure=measure,
        allow_device_mismatch=allow_device_mismatch,
    )


def _batch(name: str, network: nn.Module | None, task: Task | None, batch: int) -> Any:
    check.integer("config.cost.batch", batch, least=1)
    if network is None or not isinstance(task, Task):
        raise InputError(f"config.cost: {name} is that of a network on a task's inputs; give both, or no cost.")
    return task.batch_of(batch)


def _by_table(
    name: str,
    space: Space,
    network: nn.Module,
    x: jax.ShapeDtypeStruct,
    path: str,
    kept: pathlib.Path | None,
    *,
    make: Callable[[Callable], CostTable] | None = None,
    measure: Callable | None = None,
    allow_device_mismatch: bool = False,
) -> Cost:
    """What a table predicts: the one at `path`, else the one that the run has `kept`, else a new one."""
    found: dict[str, CostTable | CostModel] = {}

    def use(table: CostTable) -> None:
        found.update(table=table, model=cost_model(space, network, table))

    def prepare() -> None:
        if not found:
            B = jax.tree.leaves(x)[0].shape[0]
            print(f"{name} of networks on {all_devices()[0].device_kind}, {B} inputs a batch ...")
            # As it is kept, so that a resumed search has the same to the bit; and all processes have the first's.
            fields = processes.from_first(lambda: make(lambda text: print(f"  {text}")).fields())
            use(table := table_of(fields))
            floor, error = (table.calibration[each] for each in ("noise_floor", "mape"))
            twice = f"measured twice, networks differ by {floor:.1%}; " if floor else ""
            print(f"  {twice}predictions are off by {error:.1%}")

    if path or (kept is not None and kept.is_file()):
        use(load_cost_table(path or kept, cost=name, batch=x, allow_device_mismatch=allow_device_mismatch))

    def measured(genomes: Sequence[Genome]) -> list[dict]:
        lines = measure(**found, genomes=genomes)
        return [{"architecture": space.to_string(g), name: line} for g, line in zip(genomes, lines, strict=True)]

    def expected_cost(probabilities):
        if not found and not isinstance(probabilities, jax.core.Tracer):
            return jnp.float32(
                0
            )  # to a strategy that is made before anything is measured, and asks whether it is known
        return found["model"].expected_cost(probabilities)

    return Cost(
        (name,),
        lambda genome: found["model"].cost(genome),
        expected_cost,
        prepare=prepare,
        measure=None if measure is None else measured,
        save=None if kept is None else lambda folder: found["table"].save(folder / kept.name),
    )


def _compiled(space: Space, network: nn.Module, table: CostTable, genomes: Sequence[Genome]) -> list:
    return compile_networks(space, network, [np.asarray(space.pruned(genome)) for genome in genomes], table.batch)
