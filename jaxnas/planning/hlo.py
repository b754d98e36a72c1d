"""A compiled program's text (HLO), read for what it costs: kernels, bytes, FLOPs, cycles and collectives.

Loops count as often as they run: as the compiler says, else as their condition's constant does, else as the scope that
they were traced in (`jax.named_scope`) is said to. A conditional counts as the mean of its branches, or as its dearest
one where it only asks whether a member is active (scope `active`).
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jaxnas.population import ACTIVE

BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128}
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "partition-id", "replica-id", "after-all"),
    *("while", "conditional", "call", "opt-barrier", "async-done", "async-update", "iota", "domain", "add-dependency"),
}
_BUFFERS = ("ConcatBitcast", "AllocateBuffer")
"""Custom calls that move nothing."""
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|called_computations)=\{?%([\w.\-]+)")
_BRANCHES = re.compile(
    r"(?:branch_computations=\{([^}]*)\}|true_computation=(%[\w.\-]+), false_computation=(%[\w.\-]+))"
)


class Instruction(NamedTuple):
    """One line: `shape` and what follows the operands (`rest`) are text."""

    name: str
    shape: str
    kind: str
    operands: tuple[str, ...]
    rest: str


_NONE: Counter = Counter()


class Cost(NamedTuple):
    """What a run costs on one device.

    Attributes:
      kernels: launched.
      seconds: that the kernels take one after another, by the roofline that `cost_of` was given; 0 without.
      bytes: read and written by kernels, each operand once.
      flops: of products and convolutions.
      cycles: by the compiler's own estimate (TPU), else 0.
      collectives: kind -> how often.
      collective_bytes: that they give.
      reduced_bytes: of these, those of all-reduces, which devices send twice.
    """

    kernels: float = 0.0
    seconds: float = 0.0
    bytes: float = 0.0
    flops: float = 0.0
    cycles: float = 0.0
    collectives: Counter = _NONE
    collective_bytes: float = 0.0
    reduced_bytes: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, n: float) -> "Cost":
        counted = Counter({kind: count * n for kind, count in self.collectives.items()})
        return Cost(*(v * n for v in self[:5]), counted, self.collective_bytes * n, self.reduced_bytes * n)


class Program(NamedTuple):
    """Computations by name, and the name of the first."""

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str


def read(text: str) -> Program:
    """The text of a compiled module."""
    computations: dict[str, dict[str, Instruction]] = {}
    inside, entry = None, ""
    for line in text.splitlines():
        if inside is None:
            if head := _COMPUTATION.match(line):
                inside = computations.setdefault(head[2], {})
                entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            inside = None
        elif found := _INSTRUCTION.match(line):
            made = _instruction(found[1], line[found.end() :])
            inside[made.name] = made
    return Program(computations, entry)


def _instruction(name: str, text: str) -> Instruction:
    end = _closing(text) if text.startswith("(") else text.index(" ")
    shape, text = text[:end], text[end:].lstrip()
    kind, _, text = text.partition("(")
    end = _closing("(" + text) - 1
    operands = tuple(_NAME.findall(text[: end - 1])) if kind not in ("constant", "parameter") else (text[: end - 1],)
    return Instruction(name, shape, kind, operands, text[end:])


def _closing(text: str) -> int:
    """Where the bracket that the text begins with is closed."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return at + 1
    raise ValueError(f"no end of {text[:80]!r}")


def size(shape: str) -> float:
    """Bytes of an array or a tuple."""
    return sum(
        math.prod(map(int, filter(None, dims.split(",")))) * _bits(kind) / 8 for kind, dims in _ARRAY.findall(shape)
    )


def _bits(kind: str) -> int:
    return BITS.get(kind) or int(re.sub(r"\D.*", "", kind.lstrip("suf")) or 0)


def cost_of(program: Program, trips: Mapping[str, float], roofline=None) -> Cost:
    """What one call costs; `trips` says how often loops run that were traced in these scopes.

    Args:
      program: as read.
      trips: scope -> times.
      roofline: `(kind, bytes, FLOPs) -> seconds` of a kernel; None to leave seconds at 0.
    """

    @functools.cache
    def of(name: str) -> Cost:
        body = program.computations[name]
        return sum((one(body, instruction) for instruction in body.values()), Cost())

    def one(body, instruction) -> Cost:
        kind = instruction.kind
        if kind == "while":
            inner = re.search(r"body=%([\w.\-]+)", instruction.rest)[1]
            return of(inner).times(_trips(program, body, instruction, trips))
        if kind == "conditional":
            first, *others = _BRANCHES.search(instruction.rest).groups()
            branches = [of(name) for name in _NAME.findall(first or ",".join(others))]
            if _scope(instruction, "cond") == ACTIVE:
                return max(branches, key=lambda cost: (cost.cycles, cost.seconds, cost.bytes))
            return sum(branches, Cost()).times(1 / len(branches))
        if kind in ("call", "async-start") and (called := _CALLED.search(instruction.rest)):
            return of(called[1])
        collective = next((c for c in COLLECTIVES if kind in (c, f"{c}-start")), None)
        if collective:
            moved = _moved(instruction.shape, kind)
            reduced = moved if collective == "all-reduce" else 0.0
            return Cost(collectives=Counter({collective: 1}), collective_bytes=moved, reduced_bytes=reduced)
        cycles = re.search(r'"estimated_cycles":"(\d+)"', instruction.rest)
        cycles = float(cycles[1]) if cycles else 0.0
        scalar = not any(dims for _, dims in _ARRAY.findall(instruction.shape))
        if (
            kind in _FREE
            or kind.endswith("-done")
            or (kind == "custom-call" and any(f'"{name}"' in instruction.rest for name in _BUFFERS))
            or (scalar and kind not in ("fusion", "reduce", "custom-call", "dot"))
        ):
            return Cost(cycles=cycles)
        bytes_, flops = _bytes(program, body, instruction), _flops(program, body, instruction)
        seconds = roofline(kind, bytes_, flops) if roofline else 0.0
        return Cost(1, seconds, bytes_, flops, cycles)

    return of(program.entry)


def _moved(shape: str, kind: str) -> float:
    """A collective that starts gives its operand and its result."""
    parts = [size(f"{t}[{d}]") for t, d in _ARRAY.findall(shape)]
    return max(parts, default=0.0) if kind.endswith("-start") else sum(parts)


def _scope(instruction: Instruction, last: str) -> str:
    """The innermost scope that a loop or conditional was traced in."""
    found = re.search(r'op_name="([^"]*)"', instruction.rest)
    parts = [re.sub(r"^.*\(|\)+$", "", part) for part in found[1].split("/")] if found else []
    return parts[-2] if len(parts) > 1 and parts[-1].startswith(last) else ""


def _trips(program: Program, body, instruction: Instruction, trips: Mapping[str, float]) -> float:
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', instruction.rest):
        return int(known[1])
    if (scope := _scope(instruction, "while")) in trips:
        return trips[scope]
    condition = program.computations[re.search(r"condition=%([\w.\-]+)", instruction.rest)[1]]
    inner = [program.computations[name] for each in condition.values() for name in _CALLED.findall(each.rest)]
    if bounds := [n for part in (condition, *inner) for n in _integers(part.values())]:
        return max(bounds)
    start = body.get(instruction.operands[0])
    if start is not None and start.kind == "tuple":  # the bound came in with what is carried
        read_ = [int(m[1]) for each in condition.values() if (m := re.search(r"index=(\d+)", each.rest))]
        carried = [body[start.operands[k]] for k in read_ if start.operands[k] in body]
        if bounds := _integers(carried):
            return max(bounds)
    return 1.0


def _integers(instructions: Iterable[Instruction]) -> list[int]:
    """The whole numbers among the constants."""
    constants = (each.operands[0] for each in instructions if each.kind == "constant")
    return [int(text) for text in constants if re.fullmatch(r"-?\d+", text)]


def _bytes(program: Program, body, instruction: Instruction) -> float:
    """Read and written; of an operand that is only sliced, the slices."""
    called = _CALLED.search(instruction.rest) if instruction.kind == "fusion" else None
    inner = program.computations[called[1]] if called else None
    total = size(instruction.shape)
    if inner is not None:
        return _written(inner, total) + sum(
            _read(inner, k, size(body[o].shape)) for k, o in enumerate(instruction.operands) if o in body
        )
    if instruction.kind.endswith("-start"):  # gives operand and result, the smaller of which is moved
        return 2 * min((n for n in (size(f"{t}[{d}]") for t, d in _ARRAY.findall(instruction.shape) if d)), default=0)
    if instruction.kind in ("dynamic-slice", "gather", "slice"):
        return 2 * total
    if instruction.kind in ("dynamic-update-slice", "scatter"):
        update = body.get(instruction.operands[1 if instruction.kind == "dynamic-update-slice" else -1])
        return 2 * size(update.shape) if update is not None else total
    return total + sum(size(body[name].shape) for name in instruction.operands if name in body)


def _read(inner, position: int, whole: float) -> float:
    parameter = next((i for i in inner.values() if i.kind == "parameter" and i.operands[0] == str(position)), None)
    if parameter is None:
        return whole
    users = _users(inner, parameter.name)
    sliced = 0.0
    for user in users:
        if user.kind in ("dynamic-slice", "gather", "slice"):
            sliced += size(user.shape)
        elif user.kind == "dynamic-update-slice" and user.operands[0] == parameter.name:
            sliced += 0.0  # written in place
        else:
            return whole
    return min(whole, sliced) if users else 0.0


def _users(inner, name: str) -> list[Instruction]:
    found = []
    for each in inner.values():
        if name in each.operands and each.kind != "parameter":
            found += _users(inner, each.name) if each.kind == "bitcast" else [each]
    return found


def _written(inner, whole: float) -> float:
    updates = [each for each in inner.values() if each.kind == "dynamic-update-slice"]
    for update in updates:
        if update.operands[1] in inner:
            whole += size(inner[update.operands[1]].shape) - size(update.shape)
    return max(whole, 0.0)


def _flops(program: Program, body, instruction: Instruction) -> float:
    """2 x multiplications of products and convolutions, inside fusions too."""
    if instruction.kind in ("fusion", "call") and (called := _CALLED.search(instruction.rest)):
        inner = program.computations[called[1]]
        return sum(_flops(program, inner, each) for each in inner.values())
    target = re.search(r'custom_call_target="([^"]*)"', instruction.rest)
    kind = instruction.kind
    if target and re.search("conv", target[1], re.IGNORECASE):
        kind = "convolution"
    elif target and re.search("gemm|matmul|cublas", target[1], re.IGNORECASE):
        kind = "dot"
    if kind not in ("dot", "convolution"):
        return 0.0
    out = _ARRAY.search(instruction.shape)
    operands = [body[name].shape for name in instruction.operands if name in body]
    if out is None or len(operands) < 2:
        return 0.0
    sizes = [_dims(out[2]), *(_dims(_ARRAY.search(o)[2]) for o in operands[:2])]
    result, left, right = (math.prod(dims) for dims in sizes)
    if kind == "dot":
        contracted = re.search(r'lhs_contracting_dim(?:ension)?s"?[=:][\[{]([\d,"]*)', instruction.rest)
        dims = [int(d) for d in re.findall(r"\d+", contracted[1])] if contracted else [-1]
        return 2.0 * result * math.prod(sizes[1][d] for d in dims)
    # Of a convolution in any of its three roles: the third's size follows from two, so the product is symmetrical.
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.rest)
    if not labels:
        return 0.0
    kernel = labels[2]
    taps = math.prod(n for n, label in zip(sizes[2], kernel, strict=False) if label not in "o")
    if "Backward" in (target[1] if target else ""):
        return 2.0 * min(left, result) * taps
    return 2.0 * result * taps


def _dims(text: str) -> list[int]:
    return [int(d) for d in text.split(",") if d]
