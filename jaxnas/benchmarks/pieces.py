"""What the device benchmark measures: its pieces, most telling first, each by a benchmark of this package."""

import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas import analysis, costs, networks, spaces
from jaxnas.benchmarks import neat, plan, proxies, side_by_side, supernet, training
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.population import planned

SCALES = ("full", "small")
NB201, DARTS = "torch_nb201.py", "torch_darts.py"
"""The programs that a peer can be, by the names of their files."""

TARGETS = {
    **{"NVIDIA A100-SXM4-80GB": "a100", "NVIDIA H100 80GB HBM3": "h100", "NVIDIA H200": "h200"},
    **{"TPU v5 lite": "v5e:1x1", "TPU v6 lite": "v6e:1x1", "cpu": "cpu"},
}
"""Kind of a device -> its target for `jaxnas.planning`."""

Commands = Mapping[str, Sequence[str]]


class Piece(NamedTuple):
    """One measurement.

    Attributes:
      name: in files of figures.
      seconds: by scale, what it is expected to take: "full" on a recent GPU, most of it compiling; "small" on two CPU
        cores.
      measure: `(peers, **options) -> figures`, where peers are commands by program, see `commands`.
      options: by scale.
    """

    name: str
    seconds: Mapping[str, float]
    measure: Callable[..., dict[str, Any]]
    options: Mapping[str, Mapping[str, Any]]


def commands(given: Sequence[str]) -> dict[str, list[str]]:
    """program -> the words that start it.

    Args:
      given: folders with programs, which this Python then runs, or commands that have a program's file as a word.

    Raises:
      InputError: neither.
    """
    found: dict[str, list[str]] = {}
    for item in given:
        folder, words = pathlib.Path(item).expanduser(), shlex.split(item)
        if folder.is_dir():
            there = {name: [sys.executable, str(folder / name)] for name in (NB201, DARTS) if (folder / name).exists()}
        else:
            there = {name: words for name in (NB201, DARTS) if name in {pathlib.Path(word).name for word in words}}
        if not there:
            raise InputError(
                f"peers: expected a folder with {NB201} or {DARTS}, or a command with either; got {item!r}."
            )
        found |= there
    return found


def _beside(figures: dict, unit: str, peers: Commands, program: str, keys: Sequence[str], options: dict) -> dict:
    """The figures, with what a peer's program says under `keys`, in the same unit, and how many times faster ours is.

    It runs once, and by itself: where there is none, or it fails, `peer` says why and the figures stay.
    """
    if program not in peers:
        return {**figures, "peer": {"absent": f"no {program} was given"}}
    device = {"gpu": "cuda"}.get(current().platform, "cpu")
    options = {"device": device, "threads": len(os.sched_getaffinity(0)), **options}
    command = shlex.join([*peers[program], *(f"--{name}={value}" for name, value in options.items())])
    try:
        theirs = float(side_by_side.peer_program(command)(*keys))
    except (InputError, ValueError, TypeError) as error:
        return {**figures, "peer": {"absent": str(error).splitlines()[0]}}
    peer = {unit: theirs, "command": command}
    return {**figures, "peer": peer, "times_faster": theirs / figures[unit]["median"]}


def _training(peers: Commands, *, peer_architectures: int, **options) -> dict:
    found = training.measure(**options, single=0)
    steps = options["steps"]
    sizes = {name: options[name] for name in ("image", "channels", "cells", "batch", "steps")}
    asked = {"what": "train", "archs": peer_architectures, **sizes}
    # A peer says milliseconds of all steps, of which ours are as many.
    found["ms_per_architecture"] = {"median": found["ms_per_step"]["median"] * steps}
    return _beside(found, "ms_per_architecture", peers, NB201, ("ms_per_architecture", "train"), asked)


def _proxy(peers: Commands, *, proxy: str, peer_architectures: int, chunk: int | None = None, **options) -> dict:
    chunk = chunk if planned("auto") == "vmap" else None  # one after another, there is nothing to divide
    whole = proxies.measure(proxies=proxy, chunk=chunk, **options)
    found = {**whole["proxies"][proxy], "distinct": whole["distinct"], "plan": whole["plan"]}
    count, ms = options["architectures"], found["ms_per_architecture"]["median"]
    found["seconds_of_all"] = {
        "architectures": count,
        "without_compile": ms * count / 1e3,
        "with_compile": ms * count / 1e3 + found["seconds_to_compile"],
    }
    called = proxies.ALIAS.get(proxy, proxy)
    sizes = {name: options[name] for name in ("image", "channels", "cells", "batch")}
    asked = {"what": called, "archs": peer_architectures, **sizes}
    return _beside(found, "ms_per_architecture", peers, NB201, ("ms_per_architecture", called), asked)


def _darts(peers: Commands, **options) -> dict:
    found = supernet.measure(**options)
    sizes = {name: options[name] for name in ("channels", "cells", "batch", "image", "steps")}
    asked = {"order": 1 if options["order"] == "first" else 2, **sizes}
    return _beside(found, "ms_per_search_step", peers, DARTS, ("ms_per_search_step_median",), asked)


def _table(peers: Commands, **options) -> dict:
    strategy = "regularized_evolution"
    found = analysis.compare(strategies=strategy, say=lambda text: None, **options)["strategies"][strategy]
    names = ("evaluations_per_second", "seconds", "compile_seconds", "seeds", "evaluations", "hit_rate")
    return {name: found[name] for name in names}


def _neat(peers: Commands, **options) -> dict:
    return neat.measure(problems=["xor"], peers=[], **options)["problems"]["xor"]["ours"]


def _latency(peers: Commands, *, image: int, batch: int, chain: dict, network: dict, **options) -> dict:
    space, network = spaces.mobilenet(stages=len(network["channels"]), **chain), networks.MobileNet(**chain, **network)
    x = jax.ShapeDtypeStruct((batch, image, image, 3), jnp.float32)
    found = costs.profile(space, network, x, **options)
    return {"calibration": dict(found.table.calibration), "held_out": found.held_out.summary()}


def _plan(peers: Commands, *, programs: Sequence[str]) -> dict:
    """What `jaxnas.planning` expects of this very device, to be read beside what the other pieces measured."""
    kind = jax.devices()[0].device_kind
    if kind not in TARGETS:
        raise InputError(f"no target of jaxnas.planning describes {kind!r}; there are {', '.join(TARGETS)}.")
    return plan.measure(programs=programs, target=TARGETS[kind])


_DIGITS = {"image": 8, "channels": 8, "cells": 1, "batch": 64}
_FULL = {"image": 32, "channels": 16, "cells": 5, "batch": 64}
_SMALL = {"image": 8, "channels": 4, "cells": 1, "batch": 8}
_SUPERNET = {"channels": 16, "cells": 8, "batch": 64, "image": 32, "steps": 3, "rounds": 1}
_SMALL_SUPERNET = {"channels": 2, "cells": 3, "batch": 4, "image": 8, "steps": 3, "rounds": 1}
_UNTUNED = {"autotune": 0}  # tuned, its kernels alone may take longer to compile than all other pieces together


def _proxy_piece(proxy: str, full: float, small: float) -> Piece:
    few = {"proxy": proxy, "peer_architectures": 2, **_SMALL, "architectures": 6, "rounds": 3}
    many = {"proxy": proxy, "peer_architectures": 16, **_FULL, "architectures": 96, "rounds": 3}
    return Piece(proxy, {"full": full, "small": small}, _proxy, {"full": many, "small": few})


PIECES = (
    Piece(
        "training_digits",
        {"full": 90, "small": 40},
        _training,
        {
            "full": {**_DIGITS, "steps": 50, "architectures": 256, "rounds": 2, "peer_architectures": 8},
            "small": {**_SMALL, "steps": 5, "architectures": 8, "rounds": 2, "peer_architectures": 2},
        },
    ),
    Piece(
        "synflow_of_all",
        {"full": 60, "small": 15},
        _proxy,
        {
            # The last of unequal chunks would be a second program to compile.
            "full": {
                **{"proxy": "synflow", "peer_architectures": 16, **_FULL},
                **{"architectures": 15625, "rounds": 1, "chunk": 125},
            },
            "small": {
                **{"proxy": "synflow", "peer_architectures": 2, **_SMALL},
                **{"architectures": 50, "rounds": 1, "chunk": 25},
            },
        },
    ),
    Piece(
        "table_search",
        {"full": 30, "small": 10},
        _table,
        {"full": {"seeds": 100_000, "evaluations": 300}, "small": {"seeds": 100, "evaluations": 100}},
    ),
    _proxy_piece("grad_norm", 75, 20),
    Piece(
        "darts_first_order",
        {"full": 120, "small": 60},
        _darts,
        {
            "full": {**_SUPERNET, "order": "first", **_UNTUNED},
            "small": {**_SMALL_SUPERNET, "order": "first", **_UNTUNED},
        },
    ),
    Piece(
        "neat",
        {"full": 40, "small": 10},
        _neat,
        {
            "full": {"population": 100_000, "generations": 10, "blocks": 2},
            "small": {"population": 100, "generations": 4, "blocks": 2},
        },
    ),
    Piece(
        "training_full_size",
        {"full": 120, "small": 40},
        _training,
        {
            "full": {**_FULL, "steps": 10, "architectures": 64, "rounds": 2, "peer_architectures": 4},
            "small": {**_SMALL, "cells": 2, "steps": 5, "architectures": 4, "rounds": 2, "peer_architectures": 2},
        },
    ),
    Piece(
        "plan",
        {"full": 60, "small": 60},
        _plan,
        {
            "full": {"programs": ("training_digits_128", "training_full_64")},
            "small": {"programs": ("training_digits_64",)},
        },
    ),
    Piece(
        "latency_table",  # of NAS-Bench-201, finding what its networks run takes minutes of tracing
        {"full": 90, "small": 40},
        _latency,
        {
            "full": {
                **{"image": 32, "batch": 64, "held_out": 24, "calibration": 16, "rounds": 3},
                "chain": {"kernels": (3, 7), "depths": (2, 3), "widths": (1.0,)},
                "network": {"channels": (24, 32, 64, 96, 160), "strides": (1, 2, 2, 1, 2)},
            },
            "small": {
                **{"image": 8, "batch": 8, "held_out": 6, "calibration": 6, "rounds": 2},
                "chain": {"kernels": (3, 5), "depths": (1, 2), "widths": (1.0,)},
                "network": {"channels": (8, 16), "strides": (1, 2), "stem": 8, "features": 64},
            },
        },
    ),
    Piece(
        "darts_second_order",  # by finite differences, as the peer's
        {"full": 150, "small": 70},
        _darts,
        {
            "full": {**_SUPERNET, "order": "finite_difference", **_UNTUNED},
            "small": {**_SMALL_SUPERNET, "order": "finite_difference", **_UNTUNED},
        },
    ),
    _proxy_piece("nwot", 45, 20),
    _proxy_piece("snip", 75, 20),
    _proxy_piece("jacov", 75, 20),
)
"""In the order in which they are measured."""
