"""In a process of its own: compiles a search's programs for one target, and says what the compiler says of them.

    python -m jaxnas.planning.compiling < request.json

Answers are lines of JSON: `{"program": name, …}` as each is there, at last `{"plan": …}`; see `planning.child`.
"""

from typing import Any

import jax.numpy as jnp

from jaxnas.analysis.baselines import phases
from jaxnas.check import InputError
from jaxnas.config.wiring import Parts, build
from jaxnas.costs.cost import Cost
from jaxnas.execution import execution, traced
from jaxnas.planning.bound import step_bound
from jaxnas.planning.child import say, serve
from jaxnas.planning.measured import fitted, measured
from jaxnas.planning.programs import programs
from jaxnas.planning.targets import Target


def main() -> None:
    """Reads `{"config": …, "target": name}`."""
    serve(lambda request, target: say({"plan": _planned(request["config"], target)}))


def _planned(config: dict, target: Target) -> dict[str, Any]:
    devices = target.devices()
    with execution(devices=devices):
        parts = _built(config)
        used = devices[:1] if "shared" in parts.evaluator.gives else devices
        made: dict[str, dict] = {}
        totals = {"seconds": 0.0}
        for position, phase in enumerate(run := phases(parts, config)):
            prefix = "warm_up " if position < len(run) - 1 else ""
            for each in programs(phase, parts.evaluator, config.get("rounds_per_call")):
                if prefix and each.name == "init":
                    continue
                name = prefix + each.name
                trace = lambda each=each: traced(each.run, *each.shapes, devices=used)
                made[name] = measured(trace, each.trips, target)
                say({"program": name, **made[name]})
                if made[name].get("error"):
                    break
                calls = 1 if not each.rounds else phase.rounds / each.rounds
                totals["seconds"] += calls * (made[name]["seconds_estimated"] or 0.0)
                main = made[name] if each.name in ("evaluate", "call") and not prefix else None
                if main is not None:
                    totals |= {"main": name, "each": each}
    return _summary(config, parts, target, used, made, totals)


def _built(config: dict) -> Parts:
    """The search's parts; a cost that would first be measured is 0, which takes as long."""
    parts = build(config, prepare=False)
    if parts.cost is None or parts.cost.prepare is None:
        return parts
    K = len(parts.cost.names)
    blank = Cost(parts.cost.names, lambda genome: jnp.zeros(K), lambda probabilities: jnp.zeros(K))
    return build(config, {"cost": blank}, prepare=False)


def _summary(config, parts: Parts, target: Target, devices, made: dict, totals: dict) -> dict[str, Any]:
    found = fitted(made, target, len(devices))
    found["execution"] = parts.evaluator.report() if parts.evaluator.report else {}
    if found["why_not"] or "main" not in totals:
        return found
    each, main = totals["each"], made[totals["main"]]
    hours = totals["seconds"] / 3600 if target.chip else None
    rounds = max(each.rounds, 1)
    share = -(-each.members // len(devices))
    found |= {
        "members": each.members,
        "members_per_device": share,
        "largest_population": _largest(found, main, each.members, len(devices), target),
        "steps": each.steps,
        "hours_estimated": hours,
        "chip_hours_estimated": hours * len(devices) if hours is not None else None,
        "seconds_per_round_estimated": main["seconds_estimated"] / rounds if target.chip else None,
    }
    if main["step_seconds_estimated"]:
        found["ms_per_step_estimated"] = 1e3 * main["step_seconds_estimated"]
        found["ms_per_step_and_member_estimated"] = 1e3 * main["step_seconds_estimated"] / share
    if target.chip is not None:
        found["bound"] = _bound(config, parts, target, main, share)
    return found


def _largest(found: dict, main: dict, members: int, devices: int, target: Target) -> int | None:
    """The population (or chunk) of which temporaries, as large as they are for each member now, fit; None where members
    run one after another, so that any does."""
    if found["execution"].get("plan") != "vmap":
        return None
    beside = min(found["execution"].get("chunk") or members, -(-members // devices))
    fixed = main["bytes"] - main["temp_bytes"]
    return int(beside * (target.memory - fixed) / max(main["temp_bytes"], 1)) * (
        1 if found["execution"].get("chunk") else devices
    )


def _bound(config: dict, parts: Parts, target: Target, main: dict, share: int) -> dict[str, Any]:
    """What bounds a step, and how far it is from the least (see `planning.bound`)."""
    chip = target.chip
    bytes_, flops = main["step_bytes"] or main["hlo_bytes"], main["step_flops"] or main["hlo_flops"]
    kernels = main["kernels_per_step"] or main["kernels"]
    parts_of = {"memory": bytes_ / chip.bandwidth, "compute": flops / chip.flops}
    if target.platform == "gpu":
        parts_of["kernel launches"] = kernels * target.roofline("", 0, 0)
    said: dict[str, Any] = {"by": max(parts_of, key=parts_of.get)}
    batch = (config.get("evaluator") or {}).get("batch_size", 64)
    shared = "shared" in parts.evaluator.gives  # a supernet's step runs more than one architecture
    if not main["step_seconds_estimated"] or shared or parts.space.mask is None or parts.network is None:
        return said
    try:
        least = step_bound(parts.space, parts.network, parts.task.batch_of(batch))
    except (InputError, TypeError):
        return said  # of a network whose operations cannot be told apart
    said |= {"step_bytes": least.bytes, "step_flops": least.flops, "step_ms": 1e3 * least.seconds(chip)}
    return said | {"times_the_least": main["step_seconds_estimated"] / share / least.seconds(chip)}


if __name__ == "__main__":
    main()
