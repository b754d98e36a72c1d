"""What a target's compiler makes of a program: seconds, sizes, kernels, collectives, and an estimate."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxnas.execution import lowered
from jaxnas.planning import hlo
from jaxnas.planning.targets import Target

_NEEDED = re.compile(r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) hbm")
_UNTUNED = "Couldn't find output tile sizes"
"""What XLA for GPUs says of some matrix products whose kernels it would choose by trying them on the card."""


def _compiled(program: jax.stages.Lowered) -> jax.stages.Compiled:
    """Without a card nothing is tried, and XLA may have no kernel of its own that is sure to do: then cuBLAS's do."""
    try:
        return program.compile()
    except Exception as error:
        if _UNTUNED not in str(error):
            raise
        return program.compile(compiler_options={"xla_gpu_enable_triton_gemm": False})


def measured(trace: Callable[[], jax.stages.Traced], trips: Mapping[str, float], target: Target) -> dict[str, Any]:
    """Traces a program and compiles it for the target, in a context of `execution` with its devices.

    Args:
      trace: the program, traced with shapes on those devices.
      trips: scope of a loop -> how often it runs, see `planning.hlo`; "epochs" of "steps" each.
      target: that it is compiled for.

    Returns:
      Its figures, as `planning.plan` says; where it does not compile the `error`, with the bytes that it would need
      where the compiler says so.
    """
    begin = time.perf_counter()
    program = lowered(trace())
    trace_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    try:
        compiled = _compiled(program)
    except Exception as error:
        text = str(error)
        need = _NEEDED.search(text)
        scale = {"K": 1e3, "M": 1e6, "G": 1e9}
        line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
        return {
            "error": line[:300],
            "trace_seconds": round(trace_seconds, 2),
            "compile_seconds": round(time.perf_counter() - begin, 2),
            "bytes": float(need[1]) * scale[need[2]] if need else None,
        }
    seconds = time.perf_counter() - begin
    memory = compiled.memory_analysis()
    size = {part: int(getattr(memory, f"{part}_size_in_bytes", 0)) for part in ("argument", "output", "temp", "alias")}
    code = int(memory.generated_code_size_in_bytes)
    program = hlo.read(compiled.as_text())
    cost = hlo.cost_of(program, trips, target.roofline)
    step = hlo.cost_of(program, {**trips, "steps": trips["steps"] + 1}, target.roofline)
    per_step = lambda name: (getattr(step, name) - getattr(cost, name)) / trips["epochs"]
    clock = target.chip.clock if target.chip else 0.0
    of = lambda cycles, seconds: cycles / clock if clock else seconds
    return {
        "trace_seconds": round(trace_seconds, 2),
        "compile_seconds": round(seconds, 2),
        "code_bytes": code,
        "temp_bytes": size["temp"],
        "bytes": size["argument"] + size["output"] + size["temp"] - size["alias"] + code,
        "collectives": {kind: round(n) for kind, n in cost.collectives.items()},
        "collective_bytes": cost.collective_bytes,
        "sent_bytes": cost.collective_bytes + cost.reduced_bytes,
        "kernels": round(cost.kernels),
        "kernels_per_step": round(per_step("kernels")),
        "step_bytes": per_step("bytes"),
        "step_flops": per_step("flops"),
        "step_seconds_estimated": of(per_step("cycles"), per_step("seconds")) if target.chip else None,
        "seconds_estimated": of(cost.cycles, cost.seconds) if target.chip else None,
        "hlo_bytes": cost.bytes,
        "hlo_flops": cost.flops,
    }


def fitted(made: Mapping[str, Mapping[str, Any]], target: Target, devices: int) -> dict[str, Any]:
    """Whether programs fit on a device, of so many: what every plan says first."""
    failed = next((each["error"] for each in made.values() if each.get("error")), None)
    largest = max((each["bytes"] for each in made.values() if each.get("bytes")), default=None)
    return {
        "platform": target.platform,
        "devices": devices,
        "fits": failed is None and largest is not None and largest <= target.memory,
        "bytes": largest,
        "bytes_limit": target.memory,
        "why_not": failed,
        "estimate": target.estimated_by or None,
        "programs": dict(made),
    }
