"""Devices that programs are planned for, none of which needs to be there.

XLA compiles for a slice of TPUs through libtpu (extra `plan-tpu`), and for a GPU through the CUDA plugin and a
description of the card (extra `plan-gpu`, files beside this one). Rates are the makers' published ones.
"""

import importlib.util
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError

FOLDER = pathlib.Path(__file__).parent / "gpus"
KERNEL_SECONDS = 2e-6
"""What a kernel takes on a GPU however small it is: of a launch within a stream, about."""


class Chip(NamedTuple):
    """One device.

    Attributes:
      memory: bytes.
      bandwidth: bytes a second, of its memory.
      flops: a second, of float32 products as XLA runs them by default (TPU: in bfloat16; GPU: in TF32).
      clock: cycles a second of the compiler's estimates, from the published FLOPs and the size of the matrix units; 0
        where it makes none.
      accelerator: prefix of TPU_ACCELERATOR_TYPE.
      links: bytes a second that it can send to the others of a slice or a host, over all its links.
    """

    memory: float
    bandwidth: float
    flops: float
    clock: float = 0.0
    accelerator: str = ""
    links: float = 0.0


TPUS = {
    "v5e": Chip(16e9, 819e9, 197e12, 1.5e9, "v5litepod", 200e9),
    "v5p": Chip(95e9, 2.765e12, 459e12, 1.75e9, "v5p", 600e9),
    "v6e": Chip(32e9, 1.64e12, 918e12, 1.75e9, "v6e", 400e9),
}
GPUS = {
    "a100": Chip(80e9, 2.039e12, 156e12, links=300e9),
    "h100": Chip(80e9, 3.352e12, 494e12, links=450e9),
    "h200": Chip(141e9, 4.8e12, 494e12, links=450e9),
}
TOPOLOGIES = {
    "v5e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "v6e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "v5p": ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
}


class Target(NamedTuple):
    """What to compile for.

    Attributes:
      name: as given, "v5e:4x4", "h100", "cpu".
      platform: "tpu", "gpu" or "cpu".
      chip: one of its devices; None for the CPU, of which nothing is published.
      count: how many devices.
    """

    name: str
    platform: str
    chip: Chip | None
    count: int

    @property
    def memory(self) -> float:
        """Bytes that programs on one device may take."""
        if self.chip is None:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / self.count
        return self.chip.memory

    @property
    def estimated_by(self) -> str:
        """What estimates are by; "" where there are none."""
        return {"tpu": "cycles of the compiler", "gpu": "roofline of bytes and FLOPs"}.get(self.platform, "")

    def environment(self) -> dict[str, str]:
        """What a process that compiles for it needs; nothing of this machine's devices is touched."""
        given = {"JAX_PLATFORMS": "cpu", "JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS": "true"}
        if self.platform == "tpu":
            return given | {
                "TPU_SKIP_MDS_QUERY": "1",
                "TPU_ACCELERATOR_TYPE": f"{self.chip.accelerator}-4",
                "TPU_WORKER_HOSTNAMES": "localhost",
                "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
                "TPU_STDERR_LOG_LEVEL": "3",
                "TPU_MIN_LOG_LEVEL": "3",
            }
        return given | ({"JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"} if self.platform == "gpu" else {})

    def devices(self) -> list[Any]:
        """Compile-only devices, in a process that has this `environment`.

        Raises:
          InputError: the extra is not installed, or the compiler knows no such topology.
        """
        from jax.experimental import topologies

        if self.platform == "cpu":
            return jax.devices()
        kind, _, shape = self.name.partition(":")
        try:
            if self.platform == "tpu":
                found = topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{_topology(kind, shape)}")
                return list(found.devices)[: self.count]
            described = (FOLDER / f"{kind}.txtpb").read_text()
            one = topologies.get_topology_desc(
                platform="cuda", topology_name=kind, target_config=described, topology=f"1x1x{self.count}"
            )
            return list(one.devices)
        except Exception as error:
            raise InputError(f"target {self.name}: the compiler refuses it ({_first(error)}).") from error

    def roofline(self, kind: str, bytes_: float, flops: float) -> float:
        """Seconds of a kernel that moves so many bytes and computes so many FLOPs."""
        least = KERNEL_SECONDS if self.platform == "gpu" else 0.0
        return 0.0 if self.chip is None else max(bytes_ / self.chip.bandwidth, flops / self.chip.flops, least)


def targets(names: str) -> list[Target]:
    """Those of a list, "v5e:4x4,h100,cpu".

    Raises:
      InputError: an unknown kind or topology (the known ones are listed), or an extra that is not installed.
    """
    found = [_target(name.strip()) for name in names.split(",") if name.strip()]
    if not found:
        raise InputError(f"target: expected some of {_known()}, got none.")
    return found


def _target(name: str) -> Target:
    kind, colon, shape = name.partition(":")
    if kind == "cpu":
        if colon:
            raise InputError(f"target: the CPU has no topology; expected 'cpu', got {name!r}.")
        return Target(name, "cpu", None, jax.local_device_count())
    if kind in GPUS:
        count = 1
        if colon:
            if not re.fullmatch(r"[1-9]\d*", shape):
                raise InputError(f"target: expected {kind}, or {kind}:8 for so many of one host, got {name!r}.")
            count = int(shape)
        _needs(name, "jax_plugins.xla_cuda12", "plan-gpu")
        return Target(name, "gpu", GPUS[kind], count)
    if kind not in TPUS:
        check.one_of("target", kind, (*TPUS, *GPUS, "cpu"))
    if not colon:
        raise InputError(f"target: expected a topology, {kind}:{TOPOLOGIES[kind][1]} say, got {name!r}.")
    check.one_of(f"topology of target {kind}", shape, TOPOLOGIES[kind])
    _needs(name, "libtpu", "plan-tpu")
    return Target(name, "tpu", TPUS[kind], int(np.prod([int(n) for n in shape.split("x")])))


def _topology(kind: str, shape: str) -> str:
    """libtpu knows a host's four chips as the least of a v5e."""
    return "2x2" if shape == "1x1" else shape


def _needs(target: str, module: str, extra: str) -> None:
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        raise InputError(f"target {target}: compiling for it needs an extra: pip install 'jaxnas[{extra}]'")


def _known() -> str:
    slices = [f"{kind}:{shape}" for kind, shapes in TOPOLOGIES.items() for shape in shapes[:2]]
    return ", ".join([*slices, "…", *GPUS, "cpu"])


def _first(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def described(target: Target) -> Mapping[str, Any]:
    """For files of results."""
    chip = {} if target.chip is None else {"memory": target.chip.memory, "bandwidth": target.chip.bandwidth}
    return {"platform": target.platform, "devices": target.count, **chip}
