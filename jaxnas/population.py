"""Run one function over a population of different architectures, in bounded memory.

How a population runs best depends on the platform, so the plan is a choice:

- "map": one program, members one after another on each device; a traced genome stays a real conditional, so each
  member pays for its own operations only. The default on the CPU, where cores are devices (see `machine.configure`),
  and on accelerators for networks that fill one by themselves.
- "vmap": one program, members side by side; every option is computed for every member and the genome selects. The
  default elsewhere, as small kernels leave an accelerator idle; `chunk` bounds how many are in memory at once.
- "bucket": one program for each distinct genome, which is then static; repays its compile only in long trainings.

"map" and "vmap" are jittable and split the population over devices, along a mesh of one axis, "population". P need not
be a multiple of their number. What they wait for each other for, and all that they tell each other, is one gather of
the P results at the end, and not even that where P is a multiple and all are of one process. XLA:CPU ends a process in
which one waits for over a minute, unless `--xla_cpu_collective_call_terminate_timeout_seconds` in `XLA_FLAGS` allows it
(programs do).
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.execution import all_devices, current, execution, platform_of

PLANS = ("auto", "map", "vmap", "bucket")
ACTIVE = "active"
"""Scope of conditionals that ask whether a member is active, by which `jaxnas.planning` knows them."""


FILLS = {"tpu": (2**14, 1e9), "gpu": (2**17, 1e10)}
"""By platform the positions (examples x pixels), and the multiplications of a forward pass, from which on a network
fills a device by itself."""


class Work(NamedTuple):
    """What a member computes at a time.

    Attributes:
      positions: examples x pixels, or tokens.
      multiplications: `() -> number` of a forward pass, which may take a second to say.
    """

    positions: int = 0
    multiplications: Callable[[], float] = lambda: 0.0

    def fills(self, platform: str) -> bool:
        """Whether it fills a device by itself: on the CPU all do."""
        if platform not in FILLS:
            return platform == "cpu"
        positions, multiplications = FILLS[platform]
        return self.positions >= positions or self.multiplications() >= multiplications


LITTLE = Work()


def planned(plan: str, work: Work = LITTLE) -> str:
    """The plan, one of `PLANS`, or what "auto" stands for on the platform that programs are traced for."""
    return plan if plan != "auto" else "map" if work.fills(current().platform) else "vmap"


class Population(NamedTuple):
    """A function over populations.

    Attributes:
      run: `(genomes, active [P], *args, held=(), shared=()) -> outputs`, each with leading axis P but the tuple
        `shared`, which every member is handed as a whole. Of the tuple `held` each device reads its own members' only,
        where P is a multiple of their number. Inactive members give zeros.
      jittable: whether `run` can be traced.
      report: `() -> dict`, plan, platform, devices and chunk of what was traced last (before, of what would be), and
        for "bucket" what its compiles took.
      group: members that are computed at a time, where inactive ones take no time (see `Evaluator.group`); else 0.
    """

    run: Callable
    jittable: bool
    report: Callable[[], dict]
    group: int


def over_population(
    fn: Callable,
    *,
    plan: str = "auto",
    devices: Sequence[Any] | None = None,
    chunk: int | None = None,
    work: Work = LITTLE,
    gather: bool = True,
) -> Population:
    """Extends `fn(genome, *args, *held, *shared) -> outputs` of one member to a population.

    `fn` is traced for the platform of `devices`, else for the one that is said (`jaxnas.execution`), and is told where
    its networks run side by side.

    Args:
      fn: traceable; with plan "bucket" its genome is NumPy, so that networks compile for it alone.
      plan: "map", "vmap", "bucket", or "auto" to pick by platform and size.
      devices: to split the population over, of all processes; all of them by default.
      chunk: with "vmap", members side by side on a device; all by default.
      work: what a member computes at a time, nothing much by default.
      gather: whether all processes, where there are several, have all outputs; else each device keeps its members',
        where P is a multiple of their number, to be handed back as `held`.

    Raises:
      InputError: an unknown plan, a chunk where none applies, or devices of some processes only.
    """
    check.one_of("plan", plan, PLANS)
    platform = None if devices is None else platform_of(check.sequence("devices", devices, of=jax.Device))
    with execution(platform=platform):
        chosen, where = planned(plan, work), current().platform
    if chunk is not None:
        check.integer("chunk", chunk, least=1)
        if chosen != "vmap":
            raise InputError(f"chunk: only plan 'vmap' runs members side by side, and the plan is {chosen!r}.")
    if plan == "bucket":
        return _bucketed(fn)
    devices = all_devices() if devices is None else devices
    several = of_all_processes(devices) and gather
    traced = {"plan": chosen, "platform": where}

    def run(genomes, active, *args, held=(), shared=()):
        with execution(platform=platform):
            traced.update(plan=planned(plan, work), platform=current().platform)
            beside = traced["plan"] == "vmap" or None  # None: as around this population, whose networks may be
            with execution(side_by_side=beside):
                share = partial(_share, fn, traced["plan"], chunk)
                return _spread(share, devices, several, (active, genomes, *args), held, shared)

    report = lambda: {**traced, "devices": len(devices), "chunk": chunk}
    return Population(run, True, report, group=len(devices) if chosen == "map" else 0)


def _share(fn: Callable, plan: str, chunk: int | None, args: tuple, shared: tuple):
    """One device's members: `args` are `(active, genomes, ...)`."""
    one = jax.jit(lambda *args: fn(*args, *shared), inline=True)  # traced once

    def member(args):
        active, *args = args
        outputs = jax.eval_shape(one, *args)
        skip = lambda *_: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), outputs)
        with jax.named_scope(ACTIVE):
            return jax.lax.cond(active, one, skip, *args)

    if plan == "map":
        return jax.lax.map(member, args)
    if chunk is None:
        return jax.vmap(one)(*args[1:])
    return jax.lax.map(lambda a: one(*a), args[1:], batch_size=chunk)


def _spread(share: Callable, devices: Sequence[Any], several: bool, args: tuple, held: tuple, shared: tuple):
    """All members, each device with its share of them; `args` are `(active, genomes, ...)`."""
    active, n = args[0], len(devices)
    P = active.shape[0]
    size = -(-P // n)
    extra = size * n - P
    gather = several or extra > 0  # else outputs stay where they are, for the host to read
    if extra:
        args, held = (*args, *held), ()

    def own(args, held, shared):
        # Each device takes its share of what all have: left to XLA, padding and splitting talk to the others.
        pad = lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[:1], extra, 0)]) if extra else leaf
        active, *rest = jax.tree.map(pad, args)
        args = (active & (jnp.arange(P + extra) < P), *rest)  # what was padded is not active
        first = jax.lax.axis_index("population") * size
        args = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size), args)
        outputs = share((*args, *held), shared)
        if not gather:
            return outputs
        return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, "population", tiled=True), outputs)

    axis, whole = PartitionSpec("population"), PartitionSpec()
    mesh = Mesh(np.array(devices), ("population",))
    specs = {"in_specs": (whole, axis, whole), "out_specs": whole if gather else axis, "check_vma": False}
    outputs = share((*args, *held), shared) if n == 1 else jax.shard_map(own, mesh=mesh, **specs)(args, held, shared)
    outputs = jax.tree.map(lambda leaf: leaf[:P], outputs)
    keep = lambda leaf: jnp.where(active.reshape(P, *[1] * (leaf.ndim - 1)), leaf, jnp.zeros_like(leaf))
    return jax.tree.map(keep, outputs)


def of_all_processes(devices: Sequence[Any]) -> bool:
    """Whether there are several processes, each of which has some of the devices.

    Raises:
      InputError: a process has none, so that it could not take part.
    """
    missing = set(range(jax.process_count())) - {device.process_index for device in devices}
    if missing:
        raise InputError(
            f"devices: expected some of each of the {jax.process_count()} processes, got {len(devices)} devices, none "
            f"of process {', '.join(map(str, sorted(missing)))}."
        )
    return len({device.process_index for device in devices}) > 1


def _bucketed(fn: Callable) -> Population:
    programs: dict[tuple, Callable] = {}
    paid = {"compiles": 0, "compile_seconds": 0.0}
    report = lambda: {"plan": "bucket", "platform": current().platform, "devices": 1, "chunk": None, **paid}

    def run(genomes, active, *args, held=(), shared=()):
        args = (*args, *held)
        if len(jax.tree.leaves(genomes)) != 1:
            raise InputError(
                "plan 'bucket' compiles for genomes that are single arrays, and these have "
                f"{len(jax.tree.leaves(genomes))}; take plan 'map' or 'vmap'."
            )
        genomes = np.asarray(genomes)
        P, at, outputs = len(genomes), np.flatnonzero(active), []
        for i in at:
            member = partial(_alone, fn, genomes[i])
            given = jnp.int32(i), args, shared
            signature = current(), P, genomes[i].tobytes()
            if signature not in programs:
                meter = CompileMeter()
                programs[signature] = jax.jit(member).lower(*given).compile()
                paid["compiles"] += meter.compiles
                paid["compile_seconds"] += meter.seconds
            outputs.append(programs[signature](*given))
        if P == len(at) == 1:
            return outputs[0]
        if not outputs:
            shapes = jax.eval_shape(partial(_alone, fn, genomes[0]), jnp.int32(0), args, shared)
            return jax.tree.map(lambda leaf: jnp.zeros((P, *leaf.shape[1:]), leaf.dtype), shapes)
        place = lambda *leaves: (
            jnp.zeros((P, *leaves[0].shape[1:]), leaves[0].dtype).at[at].set(jnp.concatenate(leaves))
        )
        return jax.tree.map(place, *outputs)

    return Population(run, False, report, group=1)


def _alone(fn: Callable, genome: np.ndarray, i: chex.Array, args: tuple, shared: tuple):
    """Outputs `[1, ...]` of member i of `args`; taken out of them in here, where that need not be a copy."""
    outputs = fn(genome, *jax.tree.map(lambda leaf: leaf[i], args), *shared)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], outputs)


def within_memory(
    lowered: Callable[[int | None], Any], chunk: int | None, limit: int, *, say: Callable[[str], None] = print
) -> tuple[Any, int | None, int]:
    """A program that fits on a device: `chunk` is halved until its program does.

    Args:
      lowered: `chunk -> ` traced program (`jax.stages.Lowered`).
      chunk: members side by side to begin with; None where none are, so that nothing can be halved.
      limit: bytes, see `device_memory`.
      say: is told of each halving.

    Returns:
      `(compiled program, chunk, bytes that it takes)`.

    Raises:
      InputError: not even one member at a time fits.
    """
    while True:
        program = lowered(chunk).compile()
        size = program.memory_analysis()  # None where the backend cannot say
        parts = ("argument", "output", "temp")
        need = sum(getattr(size, f"{p}_size_in_bytes") for p in parts) - size.alias_size_in_bytes if size else 0
        if need <= limit:
            return program, chunk, need
        takes = f"takes {need / 1e6:,.1f} MB, and the device has {limit / 1e6:,.1f} MB"
        if chunk is None or chunk == 1:
            raise InputError(f"memory: one member at a time {takes}; a smaller network or batch takes less.")
        say(f"a chunk of {chunk} members {takes}; trying {chunk // 2}")
        chunk //= 2


def device_memory(device: Any) -> int:
    """Bytes that programs on the device may take. CPU devices share the physical memory."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


class CompileMeter:
    """Counts the XLA compiles of this process from its construction on.

    Attributes:
      compiles: programs compiled or read from the compilation cache.
      seconds: what that took.
      cached: how many of them were read from the cache.
      compiling: name of the program that is traced, lowered or compiled just now, or None.
      building: seconds that all three took.
    """

    def __init__(self):
        _listen()
        self._before = _totals.copy()

    @property
    def compiles(self) -> int:
        return _totals["compiles"] - self._before["compiles"]

    @property
    def seconds(self) -> float:
        return _totals["seconds"] - self._before["seconds"]

    @property
    def cached(self) -> int:
        return _totals["cached"] - self._before["cached"]

    @property
    def compiling(self) -> str | None:
        return _building[0] if _building else None

    @property
    def building(self) -> float:
        return _totals["building"] - self._before["building"]

    def resume(self, compiles: int, seconds: float) -> None:
        """Adds what an earlier process had paid."""
        self._before["compiles"] -= compiles
        self._before["seconds"] -= seconds


_totals = {"compiles": 0, "seconds": 0.0, "cached": 0, "building": 0.0}
_COMPILE = "/jax/core/compile/backend_compile_duration"
_BUILD = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration", _COMPILE)
_building: list[str] = []  # names of what is under way, the outermost first
_listening = []


def _listen() -> None:
    if _listening:
        return

    def on_begin(event: str, _: float, *, fun_name: str = "", **__) -> None:
        if event in _BUILD:
            _building.append(fun_name.removeprefix("jit(").removesuffix(")"))

    def on_duration(event: str, seconds: float, **_) -> None:
        if event == _COMPILE:
            _totals["compiles"] += 1
            _totals["seconds"] += seconds
        if event in _BUILD and _building:
            _building.pop()
            _totals["building"] += 0.0 if _building else seconds

    def on_event(event: str, **_) -> None:
        _totals["cached"] += event == "/jax/compilation_cache/cache_hits"

    jax.monitoring.register_scalar_listener(on_begin)
    jax.monitoring.register_event_duration_secs_listener(on_duration)
    jax.monitoring.register_event_listener(on_event)
    _listening.append(on_duration)
