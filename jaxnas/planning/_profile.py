"""A latency table for a device that is not there, from what its compiler estimates."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.planning import child
from jaxnas.planning.targets import targets


def profile(
    config: Mapping[str, Any],
    target: str,
    workdir: str | pathlib.Path,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """`analysis.profile` for a device that need not be there: nothing runs, and what would be timed is estimated.

    Args:
      config: arguments of `analysis.profile`.
      target: one device, "v5e:1x1" or "h100". TPU: the compiler's cycles. GPU: a roofline, see `planning.plan`.
      workdir: gets latency_table.json, for the cost `estimated_latency`, and the rest.
      say: is told what comes out.

    Raises:
      InputError: an unknown target, one of several devices, one without estimates, an extra that is not installed, and
        what `analysis.profile` refuses.
    """
    (one, *others) = targets(target)
    if one.chip is None:
        raise InputError("target: nothing is published of the CPU to estimate by; without a target it is measured.")
    if others or one.count > 1:
        raise InputError(f"target: expected one device, v5e:1x1 or h100, got {target!r}.")
    found: dict[str, Any] = {}
    request = {"config": dict(config), "workdir": str(check.local_path("workdir", workdir).absolute())}
    for answer in child.answers("jaxnas.planning.estimating", request, one):
        if "said" in answer:
            say(answer["said"])
        found = answer.get("profile", found)
    return found
