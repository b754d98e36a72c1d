"""A search planned for devices that are not there."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxnas import check
from jaxnas.config.files import get_config
from jaxnas.config.keys import KEYS, SEARCH, check_keys
from jaxnas.machine import environment
from jaxnas.planning import child
from jaxnas.planning.targets import Target, targets
from jaxnas.workdir import write

FILE = "plan.json"


def plan(
    config: Mapping[str, Any] | str,
    target: str,
    workdir: str | pathlib.Path | None = None,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compiles a search's own programs for each target, none of which needs to be there, and says what they need.

    Each target has a process of its own, so that a plugin which compiles for absent devices changes nothing here.

    Args:
      config: a search's, or the name of one (see `get_config`).
      target: names, "v5e:4x4,h100,cpu".
      workdir: where `plan.json` goes, as each target is there; nowhere by default.
      say: is told what comes out, line by line.

    Returns:
      `targets: {name: {fits, bytes, bytes_limit, largest_population, ms_per_step_estimated, hours_estimated,
      chip_hours_estimated, bound, programs: {name: {trace_seconds, compile_seconds, code_bytes, temp_bytes,
      collectives, kernels_per_step, …}}}}`. TPU: estimates are the compiler's cycles. GPU: a roofline, the sum over
      kernels of max(bytes / bandwidth, FLOPs / rate, a launch). CPU: none.

    Raises:
      InputError: an unknown target, an extra that is not installed, a search that runs on the host or does not compile
        there.
    """
    config = get_config(config) if isinstance(config, str) else config
    check_keys(config, list(SEARCH), list(KEYS))
    request = {"config": config}
    return planned("jaxnas.planning.compiling", request, targets(target), workdir, summary, say)


def planned(
    module: str,
    request: Mapping[str, Any],
    wanted: Sequence[Target],
    workdir: str | pathlib.Path | None,
    summary: Callable[[Mapping[str, Any]], list[str]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What the module, in a process of its own for each target, plans as it is asked; written as each is there."""
    folder = None if workdir is None else check.local_path("workdir", workdir)
    result: dict[str, Any] = {**request, **environment(), "targets": {}}
    for each in wanted:
        chips = f"{each.count} device{'s' if each.count > 1 else ''}"
        say(f"{each.name}: {each.platform}, {chips}, {each.memory / 1e9:.0f} GB each")
        result["targets"][each.name] = found = _found(module, request, each, say)
        for line in summary(found):
            say(f"  {line}")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / FILE, json.dumps(result, indent=2))
    return result


def _found(module: str, request: Mapping[str, Any], target: Target, say: Callable[[str], None]) -> dict[str, Any]:
    """What a process of its own found for one target."""
    found: dict[str, Any] = {}
    for answer in child.answers(module, request, target):
        if "program" in answer:
            say(f"  {program(answer)}")
        found = answer.get("plan", found)
    return found


def program(found: Mapping[str, Any]) -> str:
    """One program in a line."""
    seconds = (
        f"{found['program']}: traced in {found['trace_seconds']:.1f} s, compiled in {found['compile_seconds']:.1f}"
    )
    if found.get("error"):
        return f"{seconds}, does not compile: {found['error']}"
    sizes = f"code {found['code_bytes'] / 1e6:.1f} MB, temporaries {found['temp_bytes'] / 1e6:,.1f} MB"
    talk = ", ".join(f"{n} {kind}" for kind, n in found["collectives"].items())
    return f"{seconds}; {sizes}; {found['kernels']:,} kernels a call; {talk or 'no collectives'}"


def fits(found: Mapping[str, Any]) -> str:
    """Whether what compiles fits."""
    return (
        f"{'fits' if found['fits'] else 'DOES NOT FIT'}: {found['bytes'] / 1e9:.2f} GB of "
        f"{found['bytes_limit'] / 1e9:.0f} GB a device"
    )


def summary(found: Mapping[str, Any]) -> list[str]:
    """One target in a few lines."""
    if found["bytes"] is None:
        return [f"does not compile: {found['why_not']}"]
    lines = [fits(found)]
    if found.get("largest_population"):
        chunk = found["execution"].get("chunk")
        lines[0] += f"; a {'chunk' if chunk else 'population'} of {found['largest_population']:,} would"
    if found.get("ms_per_step_estimated"):
        lines.append(
            f"a step: {found['ms_per_step_estimated']:.3g} ms for {found['members_per_device']} a device, "
            f"{found['ms_per_step_and_member_estimated']:.3g} ms each ({found['estimate']})"
        )
    if found.get("hours_estimated") is not None:
        lines.append(
            f"a round: {found['seconds_per_round_estimated']:.3g} s; the search: {found['hours_estimated']:.3g} h, "
            f"{found['chip_hours_estimated']:.3g} device hours"
        )
    bound = found.get("bound") or {}
    if bound:
        least = f"; {bound['times_the_least']:.1f} times the least a step could take" if "step_ms" in bound else ""
        lines.append(f"bound by {bound['by']}{least}")
    return lines
