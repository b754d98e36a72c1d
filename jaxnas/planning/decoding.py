"""In a process of its own: compiles a pretrained decoder for one target, and says what the compiler says of it.

    python -m jaxnas.planning.decoding < request.json

Answers are lines of JSON: `{"program": name, …}` as each is there, at last `{"plan": …}`; see `planning.child`.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnas.execution import execution
from jaxnas.networks import decoder
from jaxnas.planning.bound import Bound, flops_of
from jaxnas.planning.child import say, serve
from jaxnas.planning.measured import fitted, measured
from jaxnas.planning.targets import Target
from jaxnas.pretrained import Pretrained, shardings
from jaxnas.pretrained._abstract import abstract
from jaxnas.pretrained.placement import AXIS, check_divides

_NO_LOOPS = {"steps": 1.0, "epochs": 1.0}
_STEP = {
    "kernels_per_step": "kernels",
    "step_bytes": "hlo_bytes",
    "step_flops": "hlo_flops",
    "step_seconds_estimated": "seconds_estimated",
}
"""Figures of a step, which is a call, and those of a call."""


class Program(NamedTuple):
    """One program of a decoder.

    Attributes:
      run: jitted.
      shapes: of its arguments, on their devices.
      bytes: that a device has to read and write at least.
    """

    run: Callable
    shapes: tuple
    bytes: float


def main() -> None:
    """Reads `{"decoder": settings, "length": T, "batch": B, "dtype": name, "target": name}`."""
    serve(lambda request, target: say({"plan": _planned(request, target)}))


def _planned(request: Mapping[str, Any], target: Target) -> dict[str, Any]:
    devices = target.devices()
    target = _of_dtype(target, request["dtype"])
    model = abstract(request["decoder"], dtype=request["dtype"], length=request["length"])
    check_divides(f"{len(devices)} devices", model.variables, len(devices))
    made: dict[str, dict[str, Any]] = {}
    with execution(devices=devices):
        for name, program in programs(model, Mesh(np.array(devices), (AXIS,)), request["batch"]).items():
            trace = functools.cache(lambda program=program: program.run.trace(*program.shapes))
            made[name] = measured(trace, _NO_LOOPS, target)
            if not made[name].get("error"):
                least = Bound(program.bytes, flops_of(trace().jaxpr.jaxpr) / len(devices))
                made[name] |= {step: made[name][call] for step, call in _STEP.items()}
                made[name]["bound"] = _bound(made[name], least, target, len(devices))
            say({"program": name, **made[name]})
    found = fitted(made, target, len(devices))
    if bound := made["decode"].get("bound"):
        found |= {"ms_per_step_estimated": bound["estimated_ms"], "bound": bound}
    return found


def programs(model: Pretrained, mesh: Mesh, batch: int) -> dict[str, Program]:
    """Logits `[B, T, V]` of whole sequences, and the token `[B]` after one that a cache of T positions precedes.

    Args:
      model: with shapes in the place of variables; T is its network's length.
      mesh: with the axis "model".
      batch: B.
    """
    network, length = model.network, model.network.length
    decode = decoder(network, model.decisions)
    dtype = model.variables["params"]["embedding"]["embedding"].dtype
    state = jax.eval_shape(lambda: decode.state(batch, length, dtype))
    whole = NamedSharding(mesh, PartitionSpec())
    place = lambda tree: jax.tree.map(_placed, tree, shardings(tree, mesh))
    variables, placed_state = place(model.variables), place(state)
    tokens = lambda *shape: _placed(jax.ShapeDtypeStruct(shape, jnp.int32), whole)

    def prefill(variables, tokens):
        return network.apply(variables, model.decisions, tokens, False)

    def step(variables, tokens, state):
        logits, state = decode.step(variables, tokens, state)
        return logits.argmax(-1).astype(jnp.int32), state

    params = variables["params"]
    looked_up = {"embedding"} if "head" in params else set()  # a row of each token alone
    weights = _bytes({name: each for name, each in params.items() if name not in looked_up})
    logits = batch * length * network.vocabulary * 4 / mesh.size
    in_place = jax.jit(step, donate_argnums=2, out_shardings=(whole, shardings(state, mesh)))
    return {
        "prefill": Program(jax.jit(prefill), (variables, tokens(batch, length)), weights + logits),
        "decode": Program(in_place, (variables, tokens(batch), placed_state), weights + _bytes(placed_state)),
    }


def _placed(x, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _bytes(tree: Any) -> float:
    """On one device."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _of_dtype(target: Target, dtype: str) -> Target:
    """With the rate of products in the dtype, which of a GPU is that of TF32 for float32."""
    if target.platform != "gpu" or dtype != "bfloat16":
        return target
    return target._replace(chip=target.chip._replace(flops=2 * target.chip.flops))


def _bound(figures: Mapping[str, Any], least: Bound, target: Target, devices: int) -> dict[str, Any] | None:
    """What bounds a program, how far its estimate is from the least, and what it sends; None of a CPU."""
    if target.chip is None:
        return None
    chip = target.chip
    moved = least.bytes if chip.clock else figures["hlo_bytes"]  # a TPU's text has what moves within the chip too
    seconds = {
        "memory": moved / chip.bandwidth,
        "compute": least.flops / chip.flops,
        "collectives": figures["sent_bytes"] * (devices - 1) / devices / chip.links,
    }
    if target.platform == "gpu":
        seconds["kernel launches"] = figures["kernels"] * target.roofline("", 0, 0)
    step = least.seconds(chip)
    estimated = max(figures["seconds_estimated"], step)
    return {
        "by": max(seconds, key=seconds.get),
        "step_bytes": least.bytes,
        "step_flops": least.flops,
        "step_ms": 1e3 * step,
        "estimated_ms": 1e3 * estimated,
        "times_the_least": estimated / step,
        "collectives_ms": 1e3 * seconds["collectives"],
    }


if __name__ == "__main__":
    main()
