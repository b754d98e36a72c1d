"""What a device ran, and when: a profiler's trace, read as kernels.

    path = record_trace(lambda: compiled(variables, x), directory, runs=20)
    found = attribute(read_trace(path), compiled.as_text(), operations, runs=20)

`attribution` says whose time it was.
"""

import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from jaxnas import check
from jaxnas.check import InputError


class Kernel(NamedTuple):
    """One execution of one instruction.

    Attributes:
      name: of the HLO instruction, or what the profiler calls a kernel that is of none.
      module: the HLO module, "" if unknown.
      start: ns, from any origin that all kernels of a trace share.
      duration: ns.
    """

    name: str
    module: str
    start: float
    duration: float


def record_trace(
    call: Callable[[], Any], directory: str | pathlib.Path, *, runs: int = 10, warmup: int = 2
) -> pathlib.Path:
    """Runs `call` under the profiler, each run after the one before has ended; returns the trace's file.

    On GPUs, set `XLA_FLAGS=--xla_gpu_enable_command_buffer=` before JAX starts: CUDA graphs hide their kernels' names.

    Args:
      call: of a compiled program, best of nothing else; returns its outputs.
      directory: where the profiler makes a folder for the trace.
      runs: recorded.
      warmup: runs before, which are not.

    Raises:
      InputError: no runs, or a negative number of warm-ups.
    """
    check.integer("runs", runs, least=1)
    check.integer("warmup", warmup, least=0)
    for _ in range(warmup):
        jax.block_until_ready(call())
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every Python call otherwise, which outnumber the kernels by far
    options.host_tracer_level = 2
    with jax.profiler.trace(str(directory), profiler_options=options):
        for _ in range(runs):
            jax.block_until_ready(call())
    return _newest(directory)


def read_trace(path: str | pathlib.Path, *, device: int = 0) -> list[Kernel]:
    """The kernels of one device in a trace, by start; an accelerator's if there is one, else the CPU's.

    Args:
      path: an `.xplane.pb` file, or a folder of which the newest is meant.
      device: which of several.

    Raises:
      InputError: no such file, or one without kernels of the device.
    """
    check.integer("device", device, least=0)
    path = _newest(path)
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    counts = {plane.name: sum(len(list(line.events)) for line in plane.lines) for plane in planes}
    kind = next((k for k in ("gpu", "tpu") if any(counts[p] for p in counts if p.startswith(_PLANES[k]))), "cpu")
    name = _PLANES[kind] + ("" if kind == "cpu" else str(device))
    kernels = [kernel for plane in planes if plane.name == name for kernel in _PARSERS[kind](plane, device)]
    if not any(kernel.module for kernel in kernels):
        listed = ", ".join(f"{name} ({count} events)" for name, count in counts.items()) or "none"
        raise InputError(
            f"path: expected kernels of device {device} in plane {name} of {path}, got none that names its HLO module. "
            f"Planes: {listed}. Was the program run, and waited for, while the profiler was on? On a GPU, CUDA graphs "
            "hide their kernels unless XLA_FLAGS has --xla_gpu_enable_command_buffer= (nothing after the sign)."
        )
    return sorted(kernels, key=lambda kernel: kernel.start)


def _newest(path: str | pathlib.Path) -> pathlib.Path:
    path = check.local_path("path", path)
    files = [path] if path.is_file() else list(path.rglob("*.xplane.pb"))
    if not files:
        raise InputError(f"path: expected a trace, an .xplane.pb file or a folder with one, got {str(path)!r}.")
    return max(files, key=lambda file: file.stat().st_mtime)


def _cpu(plane, device: int) -> Iterable[Kernel]:
    """A kernel that works in other threads is over for its own at once, so a second event, `end: <name>`, is what tells
    when it is done: its consumer id is the kernel's producer id."""
    kernels, ends = [], {}
    for event in (event for line in plane.lines for event in line.events):
        stats = dict(event.stats)
        if event.name.startswith("end: "):
            ends[stats.get("_c")] = event.start_ns
        elif "hlo_op" in stats and stats.get("device_ordinal", device) == device:
            kernels.append((stats.get("_p"), stats["hlo_op"], stats.get("hlo_module", ""), event))
    for key, name, module, event in kernels:
        over = ends.get(key, 0) - event.start_ns
        yield Kernel(name, module, event.start_ns, max(event.duration_ns, over))


def _gpu(plane, device: int) -> Iterable[Kernel]:
    """The streams' lines are what ran; others, if any, are made from them."""
    for event in (event for line in plane.lines if line.name.startswith("Stream") for event in line.events):
        stats = dict(event.stats)
        yield Kernel(stats.get("hlo_op", event.name), stats.get("hlo_module", ""), event.start_ns, event.duration_ns)


def _tpu(plane, device: int) -> Iterable[Kernel]:
    """An event is named by the text of its instruction, and its module is that which ran at the time."""
    lines = {line.name: list(line.events) for line in plane.lines}
    modules = [(e.start_ns, e.start_ns + e.duration_ns, e.name.split("(")[0]) for e in lines.get("XLA Modules", [])]
    for event in lines.get("XLA Ops", []):
        module = next((name for start, end, name in modules if start <= event.start_ns < end), "")
        yield Kernel(event.name.split(" ")[0].removeprefix("%"), module, event.start_ns, event.duration_ns)


_PLANES = {"gpu": "/device:GPU:", "tpu": "/device:TPU:", "cpu": "/host:CPU"}

_PARSERS = {"gpu": _gpu, "tpu": _tpu, "cpu": _cpu}
