"""Where a compiled program spends its time: a profiler's kernels, attributed to the architecture's operations.

A kernel is named after the HLO instruction that it runs, and the instruction's metadata say in which `jax.named_scope`
it was traced; Flax opens one for each module. XLA fuses across operations, and a fusion counts for the operation that
its result belongs to: the sum is exact, and the border between two operations is where XLA put it.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.kernels import Kernel


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
