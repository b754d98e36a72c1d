"""In a process of its own: a latency table by the estimates of a target's compiler.

    python -m jaxnas.planning.estimating < request.json

Answers are lines of JSON: `{"said": text}`, at last `{"profile": …}`; see `planning.child`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxnas import costs
from jaxnas.config import registry
from jaxnas.execution import execution
from jaxnas.planning import hlo
from jaxnas.planning.child import say, serve
from jaxnas.planning.targets import Target


def main() -> None:
    """Reads `{"config": …, "workdir": path, "target": name}`."""
    serve(_profiled)


def seconds(target: Target) -> Callable[[jax.stages.Compiled], float]:
    """What the target's compiler estimates of a program without loops of unknown length."""

    def of(program: jax.stages.Compiled) -> float:
        cost = hlo.cost_of(hlo.read(program.as_text()), {}, target.roofline)
        return cost.cycles / target.chip.clock if target.chip.clock else cost.seconds

    return of


def _profiled(request: Mapping[str, Any], target: Target) -> None:
    meter = costs.estimates(seconds(target), target.estimated_by)
    offered = {"workdir": request["workdir"], "say": lambda text: say({"said": text}), "meter": meter}
    with execution(devices=target.devices()):
        say({"profile": registry.run_program("profile", request["config"], offered)})


if __name__ == "__main__":
    main()
