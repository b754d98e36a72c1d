"""Times of networks, and of the operations in them, on the device available."""

import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from flax.core import unfreeze

from jaxnas.costs.operations import Operation
from jaxnas.costs.timing import Timing, interleaved, repeated
from jaxnas.execution import absent, all_devices, current, execution, lowered, said, traced
from jaxnas.spaces import needed
from jaxnas.types import Genome, Space
from jaxnas.version import __version__

IRRELEVANT_FLAGS = ("xla_cpu_collective", "xla_force_host_platform_device_count", "xla_dump")
SHORT = 1e-3
"""Seconds of a call below which an operation is repeated within one program."""
TIMES = 8


class Network(NamedTuple):
    """A stand-alone network, compiled to infer.

    Attributes:
      program: compiled.
      arguments: that it is called with, variables and a batch; their shapes alone where its device is not there.
      costs: "flops", "parameters", "peak_bytes" (arguments, outputs, temporaries) and "bytes_accessed", as the compiler
        counts them.
      reads: whether the outputs depend on the images; else XLA removes nearly all of the network.
    """

    program: jax.stages.Compiled
    arguments: tuple
    costs: dict[str, float]
    reads: bool

    def call(self) -> Any:
        """The outputs of one batch."""
        return self.program(*self.arguments)


def compile_networks(
    space: Space, network: nn.Module, genomes: Sequence[Genome], x: jax.ShapeDtypeStruct, *, seed: int = 0
) -> list[Network]:
    """Compiles each genome's network for inference (`Execution.inference`), on all cores.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      genomes: as they are; for what a prediction is of, `space.pruned` first.
      x: shape and dtype of a batch.
      seed: of weights and images.

    Raises:
      InputError: a space without decisions.
    """
    needed.functions("compile_networks", space, "unpack")
    images = _images(x, seed)

    def compiled(genome):
        decisions = space.unpack(np.asarray(genome))
        run = lambda variables, x: network.apply(variables, decisions, x, False)
        with execution(inference=True):
            shapes = jax.eval_shape(lambda key: network.init(key, decisions, images, False), jax.random.key(0))
            form = traced(run, shapes, x)
            uncompiled = lowered(form)
            program = uncompiled.compile()
            if absent():  # whose own FLOPs no client counts
                uncompiled = jax.jit(run).trace(shapes, x).lower(lowering_platforms=("cpu",))
        arguments = (shapes, x) if absent() else (_variables(shapes, seed), images)
        return Network(program, arguments, _counted(uncompiled, program, shapes), _reads_last(form.jaxpr.jaxpr))

    return in_parallel(compiled, genomes)


def _counted(uncompiled, program, variables) -> dict[str, float]:
    memory = program.memory_analysis()
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return {
        # Before XLA replaces operations by calls of libraries, whose work it does not count.
        "flops": float((uncompiled.cost_analysis() or {}).get("flops", np.nan)),
        "parameters": float(sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))),
        "peak_bytes": float(peak - memory.alias_size_in_bytes),
        "bytes_accessed": float((program.cost_analysis() or {}).get("bytes accessed", np.nan)),
    }


def _reads_last(jaxpr) -> bool:
    """Whether outputs depend on the last input."""
    reached = {jaxpr.invars[-1]}
    for eqn in jaxpr.eqns:
        if any(isinstance(v, jax.extend.core.Var) and v in reached for v in eqn.invars):
            reached |= set(eqn.outvars)
    return any(isinstance(v, jax.extend.core.Var) and v in reached for v in jaxpr.outvars)


def _variables(shapes, seed: int):
    """On the device: kernels that keep the size of their input, the rest around 1 (variances must be positive)."""
    rng = np.random.default_rng(seed)

    def draw(s):
        kernel = len(s.shape) > 1
        value = (
            rng.standard_normal(s.shape) / np.sqrt(np.prod(s.shape[:-1])) if kernel else rng.uniform(0.5, 1, s.shape)
        )
        return jnp.asarray(value, s.dtype)

    return jax.tree.map(draw, unfreeze(shapes))


def _images(shapes, seed: int):
    rng = np.random.default_rng(seed)
    whole = lambda s: jnp.issubdtype(s.dtype, jnp.integer)
    draw = lambda s: rng.integers(0, 2, s.shape) if whole(s) else rng.standard_normal(s.shape)  # any vocabulary has two
    return jax.tree.map(lambda s: jnp.asarray(draw(s), s.dtype), shapes)


def in_parallel(fun: Callable, over: Sequence) -> list:
    """`fun` of each, in threads, as many as there are cores, for which what `execution` says here holds too."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(execution(**said())(fun), over))


def measure_networks(
    networks: Sequence[Network],
    *,
    rounds: int = 6,
    calls_per_round: int | None = None,
    limit: float = 0.0,
    seed: int = 0,
) -> list[Timing]:
    """Times networks side by side.

    Args:
      networks: see `compile_networks`.
      rounds: see `interleaved`.
      calls_per_round: by default as many as a twentieth of a second takes, at most 50 and at least 2.
      limit: seconds, see `interleaved`.
      seed: of the order.
    """
    calls = {str(i): network.call for i, network in enumerate(networks)}
    return list(_timed(calls, rounds, calls_per_round, limit, seed).values())


def _timed(calls, rounds: int, calls_per_round: int | None, limit: float, seed: int) -> dict[str, Timing]:
    if calls_per_round is None:
        few = {name: calls[name] for name in list(calls)[:8]}
        seconds = np.median([t.least for t in interleaved(few, rounds=2, calls_per_round=1).values()])
        calls_per_round = int(np.clip(0.05 / seconds, 2, 50))
    return interleaved(calls, rounds=rounds, calls_per_round=calls_per_round, limit=limit, seed=seed)


def measure_operations(
    operations: Mapping[str, Operation], *, rounds: int = 6, limit: float = 0.0, seed: int = 0
) -> dict[str, Timing]:
    """Times each operation alone: seconds of one; 0 for what returns its input or constants.

    What takes less than a millisecond runs eight times within one program, so that dispatch does not count.

    Args:
      operations: key -> operation, see `all_operations`.
      rounds: see `interleaved`.
      limit: seconds, see `interleaved`; without those that compiling takes.
      seed: of weights, images and order.
    """

    def prepared(operation: Operation):
        run, values = _alone(operation, seed)
        if run is None:
            return {}
        lower = lambda times: jax.jit(repeated(run, times)).lower(*values)
        with execution(inference=True):
            one = lower(1).compile()
        call = lambda: jax.block_until_ready(one(*values))
        call()
        if min(_seconds(call) for _ in range(3)) > SHORT:
            return {1: lambda: one(*values)}
        with execution(inference=True):
            many = lower(TIMES).compile()
        return {1: lambda: one(*values), TIMES: lambda: many(*values)}

    programs = dict(zip(operations, in_parallel(prepared, list(operations.values())), strict=True))
    calls = {f"{key} {times}": call for key, program in programs.items() for times, call in program.items()}
    taken = _timed(calls, rounds, None, limit, seed) if calls else {}

    def timing(key: str, program: Mapping[int, Callable]) -> Timing:
        if not program:
            return Timing(np.zeros((rounds, 1)))
        one = taken[f"{key} 1"]
        if TIMES not in program:
            return one
        many = taken[f"{key} {TIMES}"]
        return many._replace(seconds=np.maximum(many.seconds - one.median, 0) / (TIMES - 1))

    return {key: timing(key, program) for key, program in programs.items()}


def _seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _alone(operation: Operation, seed: int):
    """`(x, variables, other arrays) -> outputs` and values for it; `(None, None)` where nothing would be computed."""
    arrays, called = operation.arguments()

    def run(x, variables, rest):
        args, kwargs = called([x, *rest])
        return operation.module.apply(variables, *args, **kwargs)

    first, *rest = _images(arrays, seed)
    values = first, _variables(operation.variables(), seed), rest
    jaxpr = jax.make_jaxpr(run)(*values).jaxpr
    reads = {v for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, jax.extend.core.Var)}
    return (run, values) if reads & set(jaxpr.invars) else (None, None)


class Meter(NamedTuple):
    """What tells how long programs take.

    Attributes:
      cost: name of its figures.
      operations: `(key -> operation, limit) -> {key: Timing}`, of each alone.
      networks: `([Network], limit) -> [Timing]`; limits are seconds, see `interleaved`.
      estimated_by: what estimates them where nothing runs, "cycles of the compiler" say; "" for a clock.
    """

    cost: str
    operations: Callable[[Mapping[str, Operation], float], dict[str, Timing]]
    networks: Callable[[Sequence[Network], float], list[Timing]]
    estimated_by: str = ""


LATENCY, ESTIMATED_LATENCY = "latency_ms", "estimated_latency_ms"
"""Names of what is measured, and of what a compiler estimates, which are never mixed."""


def stopwatch(*, rounds: int = 6, seed: int = 0) -> Meter:
    """Times on the device that is there; see `measure_operations` and `measure_networks`."""
    return Meter(
        LATENCY,
        lambda operations, limit: measure_operations(operations, rounds=rounds, limit=limit, seed=seed),
        lambda networks, limit: measure_networks(networks, rounds=rounds, limit=limit, seed=seed),
    )


def estimates(seconds: Callable[[jax.stages.Compiled], float], by: str) -> Meter:
    """What a compiler's figures say of programs for a device that need not be there.

    An operation runs several times within one program, so that what is done to its inputs and outputs alone, to change
    their layout say, does not count.

    Args:
      seconds: of a compiled program.
      by: what says so, for the table.
    """

    def alone(operation: Operation) -> Timing:
        run, values = _alone(operation, 0)
        if run is None:
            return _known(0.0)
        with execution(inference=True):
            one, many = (seconds(lowered(traced(repeated(run, n), *values)).compile()) for n in (1, TIMES))
        return _known(max(many - one, 0.0) / (TIMES - 1))

    def operations(each: Mapping[str, Operation], limit: float) -> dict[str, Timing]:
        return dict(zip(each, in_parallel(alone, list(each.values())), strict=True))

    return Meter(
        ESTIMATED_LATENCY, operations, lambda networks, limit: [_known(seconds(n.program)) for n in networks], by
    )


def _known(seconds: float) -> Timing:
    return Timing(np.full((2, 1), seconds))


def environment(x: Any) -> dict[str, Any]:
    """What the latency of a network on the batch `x` depends on besides: device, versions, flags."""
    device = all_devices()[0]
    flags = os.environ.get("XLA_FLAGS", "").split()
    found = {
        "platform": current().platform,
        "device": device.device_kind,
        "jax": jax.__version__,
        "jaxnas": __version__,
        "xla_flags": sorted(f for f in flags if not f.lstrip("-").startswith(IRRELEVANT_FLAGS)),
        "shape": jax.tree.map(lambda leaf: list(leaf.shape), x),
        "dtype": jax.tree.map(lambda leaf: jnp.dtype(leaf.dtype).name, x),
    }
    if device.platform == "cpu":
        found |= {"processor": _processor(), "threads": len(os.sched_getaffinity(0))}
    return found


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
