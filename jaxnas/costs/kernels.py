"""Where a compiled program spends its time: a profiler's kernels, attributed to the architecture's operations.

    path = record_trace(lambda: compiled(variables, x), directory, runs=20)
    found = attribute(read_trace(path), compiled.as_text(), operations, runs=20)

A kernel is named after the HLO instruction that it runs, and the instruction's metadata say in which `jax.named_scope`
it was traced; Flax opens one for each module. XLA fuses across operations, and a fusion counts for the operation that
its result belongs to: the sum is exact, and the border between two operations is where XLA put it.
"""

import difflib
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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


class Attribution(NamedTuple):
    """Time in ms per run.

    Attributes:
      operations: by operation, 0 for what has no kernel of its own; see `attribute`.
      rest: by the metadata's `op_name` of what belongs to none of them, or the kernel's name for want of one.
      busy: during which any kernel ran: the sum of the two above.
      wall: from the first kernel's start to the last one's end, pauses within and between runs included.
    """

    operations: dict[str, float]
    rest: dict[str, float]
    busy: float
    wall: float

    @property
    def share(self) -> float:
        """The part of `wall` that belongs to operations."""
        return sum(self.operations.values()) / self.wall


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


def attribute(kernels: Iterable[Kernel], hlo: str, operations: Sequence[str], *, runs: int = 1) -> Attribution:
    """Sums the time of a program's kernels by operation.

    Of kernels that run at the same time each gets an equal part of it, whatever its share of the threads, so that
    nothing counts twice; a loop, call or branch gets only what is not its body's. Kernels of other modules are left
    out, those of unknown ones are rest. The profiler itself costs time: set the sum against that of a run without.

    Args:
      kernels: from `read_trace`.
      hlo: `compiled.as_text()` of the program.
      operations: names of scopes, joined by "/" where one lies in another: `stage_0_cell_0/0->1/nor_conv_3x3`. They
        may start at any depth. An instruction belongs to the longest that it lies in, at any depth.
      runs: how many were recorded.

    Raises:
      InputError: kernels of other modules only, or operations of which the program has none.
    """
    check.integer("runs", runs, least=1)
    program = _Program(hlo, operations)
    kernels = list(kernels)
    own = [k for k in kernels if k.module in ("", program.module)]
    if not any(k.module and k.duration > 0 for k in own):
        seen = sorted({k.module for k in kernels if k.module})
        raise InputError(f"kernels: expected those of HLO module {program.module!r}, got {', '.join(seen) or 'none'}.")
    found, rest = dict.fromkeys(operations, 0.0), defaultdict(float)
    times, busy = _exclusive(own, program.callers)
    for name, ns in times.items():
        operation, op_name = program.scope(name)
        if operation is None:
            rest[op_name or name] += ns / 1e6 / runs
        else:
            found[operation] += ns / 1e6 / runs
    wall = max(k.start + k.duration for k in own) - min(k.start for k in own)
    return Attribution(found, dict(rest), busy / 1e6 / runs, wall / 1e6 / runs)


def _newest(path: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(path)
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


def _exclusive(kernels: Sequence[Kernel], callers: Callable[[str], set[str]]) -> tuple[dict[str, float], float]:
    """ns of each name, kernels at the same time sharing it, callers out while what they call runs; and ns of all."""
    kernels = [kernel for kernel in kernels if kernel.duration > 0]
    starts = [(kernel.start, True, i) for i, kernel in enumerate(kernels)]
    ends = [(kernel.start + kernel.duration, False, i) for i, kernel in enumerate(kernels)]
    times, busy, active, before = defaultdict(float), 0.0, set(), 0.0
    for now, begins, i in sorted(starts + ends):
        if active and now > before:
            names = [kernels[j].name for j in active]
            waiting = set().union(*(callers(name) for name in names))
            running = [name for name in names if name not in waiting] or names
            for name in running:
                times[name] += (now - before) / len(running)
            busy += now - before
        (active.add if begins else active.discard)(i)
        before = now
    return times, busy


class _Instruction(NamedTuple):
    opcode: str
    op_name: str
    references: list[str]
    computation: str


class _Program:
    """The text of an HLO module: which instruction lies in which operation, and what calls it."""

    def __init__(self, hlo: str, operations: Sequence[str]):
        head = re.match(r"HloModule ([^\s,]+)", hlo)
        if head is None:
            raise InputError(f"hlo: expected the text of a compiled module, 'HloModule …', got {hlo[:40]!r}.")
        self.module = head[1]
        self.instructions, self.roots, self.users = {}, {}, defaultdict(list)
        computation = ""
        for line in hlo.splitlines():
            if line.endswith("{") and (header := re.match(r"(?:ENTRY )?%([\w.\-]+) ", line)):
                computation = header[1]
            elif instruction := re.match(r"\s+(ROOT )?%([\w.\-]+) = (.*)", line):
                root, name, text = instruction.groups()
                opcode = re.search(r"(?:^|\s)([a-z][\w\-]*)\(", text)
                op_name = re.search(r'op_name="((?:[^"\\]|\\.)*)"', text)
                references = re.findall(r"%([\w.\-]+)", text.split("metadata={")[0])
                self.instructions[name] = _Instruction(
                    opcode[1] if opcode else "", op_name[1] if op_name else "", references, computation
                )
                if root:
                    self.roots[computation] = name
        called = defaultdict(set)
        for name, instruction in self.instructions.items():
            for reference in instruction.references:
                (called[reference].add if reference in self.roots else self.users[reference].append)(name)
        self._called, self._callers, self._scopes = called, {}, {}
        self._operations = {tuple(operation.split("/")): operation for operation in operations}
        self._lengths = sorted({len(parts) for parts in self._operations}, reverse=True)
        names = {instruction.op_name for instruction in self.instructions.values()}
        if not any(self._operation(name) for name in names):
            near = difflib.get_close_matches(str(next(iter(operations), "")), names, n=1, cutoff=0)
            raise InputError(
                f"operations: expected scopes of the program, such as in {near[0] if near else ''!r}, and none of "
                f"{', '.join(map(repr, list(operations)[:3])) or '[]'}{', …' * (len(operations) > 3)} is one."
            )

    def callers(self, name: str) -> set[str]:
        """Every instruction within whose execution this one's lies."""
        if name not in self._callers:
            self._callers[name] = set()
            direct = self._called[self.instructions[name].computation] if name in self.instructions else set()
            self._callers[name] = direct.union(*(self.callers(caller) for caller in direct))
        return self._callers[name]

    def scope(self, name: str) -> tuple[str | None, str]:
        """Operation and `op_name` of an instruction.

        Those that XLA made have no metadata of their own: a fusion's are those of its root, a copy's those of what it
        copies or else of what it is copied for.
        """
        if name not in self._scopes:
            names = self._op_names(name, set())
            found = [(operation, op_name) for op_name in names if (operation := self._operation(op_name))]
            self._scopes[name] = (found or [(None, names[0] if names else "")])[0]
        return self._scopes[name]

    def _op_names(self, name: str, seen: set[str]) -> list[str]:
        instruction = self.instructions.get(name)
        if instruction is None or name in seen or instruction.opcode in ("constant", "parameter"):
            return []
        seen.add(name)
        if instruction.op_name:
            return [instruction.op_name]
        if instruction.opcode in ("call", "while", "conditional"):  # of many operations, perhaps
            return []
        roots = [self.roots[reference] for reference in instruction.references if reference in self.roots]
        beside = [*instruction.references, *self.users[name]]
        return [n for other in roots for n in self._op_names(other, seen)] or [
            n for other in beside for n in self._op_names(other, seen)
        ]

    def _operation(self, op_name: str) -> str | None:
        parts = [_plain(part) for part in re.sub(r"\[\\?'(.*?)\\?'\]", r"/\1", op_name).split("/")]
        for length in self._lengths:
            for i in range(len(parts) - length, -1, -1):
                if operation := self._operations.get(tuple(parts[i : i + length])):
                    return operation
        return None


def _plain(part: str) -> str:
    """A scope's name without the transformations it went through: `transpose(jvp(NasBench201))`."""
    while wrapped := re.fullmatch(r"(?!p?jit\()\w+\((.*)\)", part):
        part = wrapped[1]
    return part
