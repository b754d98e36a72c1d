"""What programs are traced for: said in one place, and read by everything whose form depends on it.

XLA compiles for devices that are not there, so the form of what is traced follows what is said, and the devices that
are there only where nothing is:

    with execution(platform="tpu"):
        lowered = jax.jit(step).trace(*shapes).lower(lowering_platforms=("tpu",))

The record is part of the key of JAX's caches of traces: a function traced for one platform is traced again for another.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError

PLATFORMS = ("cpu", "gpu", "tpu")
_GENERIC = {"cuda": "gpu", "rocm": "gpu"}
_LOWERED_FOR = {"gpu": "cuda"}


class Execution(NamedTuple):
    """How what is traced will run.

    Attributes:
      platform: "cpu", "gpu" or "tpu"; another where the devices' plugin has a name of its own.
      inference: whether stand-alone networks are traced to infer: not to train, and outside of any loop. On the CPU
        convolutions are then XLA's own, and what several operations read is computed once.
      side_by_side: whether networks are vmapped, so that each has kernels of its own.
      batch_axis: of the mesh of devices that share a batch: normalization takes its statistics over all of them; None
        for those of the device's own examples.
    """

    platform: str
    inference: bool = False
    side_by_side: bool = False
    batch_axis: str | None = None


_SAID = jax.make_user_context(Execution(""))  # part of the key of JAX's caches of traces
_SHARED: contextvars.ContextVar[dict] = contextvars.ContextVar("_SHARED")
_DEVICES: contextvars.ContextVar[tuple] = contextvars.ContextVar("_DEVICES", default=())


@contextlib.contextmanager
def execution(
    *,
    platform: str | None = None,
    inference: bool | None = None,
    side_by_side: bool | None = None,
    batch_axis: str | None = None,
    devices: Sequence[Any] | None = None,
) -> Iterator[None]:
    """Within, programs are traced for what is given; what is not (None) stays as it was. It decorates functions too.

    Args:
      platform: "cpu", "gpu" ("cuda", "rocm") or "tpu"; at first that of the devices that JAX has.
      devices: all that there are to run on, present or not, in the place of JAX's own; with them their platform.
      inference: see `Execution`, as `side_by_side` and `batch_axis`.

    Raises:
      InputError: an unknown platform.
    """
    given = {"platform": platform, "inference": inference, "side_by_side": side_by_side, "batch_axis": batch_axis}
    given = {name: value for name, value in given.items() if value is not None}
    if devices is not None:
        given["platform"] = platform_of(devices)
    elif platform is not None:
        given["platform"] = _known(platform)
    token = _SHARED.set({}) if inference else None
    there = None if devices is None else _DEVICES.set(tuple(devices))
    try:
        with _SAID(_SAID.value._replace(**given)):
            yield
    finally:
        if token is not None:
            _SHARED.reset(token)
        if there is not None:
            _DEVICES.reset(there)


def current() -> Execution:
    """What programs are traced for here."""
    said = _SAID.value
    return said if said.platform else said._replace(platform=platform_of(all_devices()))


def all_devices() -> Sequence[Any]:
    """What there is to run on: the devices that are said, else JAX's."""
    return _DEVICES.get() or jax.devices()


def traced(run: Callable, *shapes: Any, devices: Sequence[Any] | None = None) -> jax.stages.Traced:
    """`jax.jit(run)` traced for devices that need not be there; see `lowered`.

    Args:
      run: what `jax.jit` takes, or has made.
      shapes: of its arguments, pytrees of what has a shape and a dtype.
      devices: that the arguments are whole on; by default the first of `all_devices()`.
    """
    devices = all_devices()[:1] if devices is None else devices
    if len(devices) == 1:
        whole: jax.sharding.Sharding = jax.sharding.SingleDeviceSharding(devices[0])
    else:
        mesh = jax.sharding.Mesh(np.array(devices), ("population",))
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    placed = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shapes)
    return (run if hasattr(run, "trace") else jax.jit(run)).trace(*placed)


def lowered(program: jax.stages.Traced) -> jax.stages.Lowered:
    """For the platform that is said; `compile()` it where its devices are."""
    platform = current().platform
    return program.lower(lowering_platforms=(_LOWERED_FOR.get(platform, platform),))


def absent() -> bool:
    """Whether the devices that are said are not JAX's own: programs compile for them, and cannot run."""
    return bool(_DEVICES.get()) and _DEVICES.get()[0] not in jax.devices()


def said() -> dict[str, Any]:
    """Arguments with which `execution` says the same in another thread, where nothing is said at first."""
    return {**current()._asdict(), "devices": _DEVICES.get() or None}


def platform_of(devices: Sequence[Any]) -> str:
    """The platform of devices, which are all of one kind.

    Raises:
      InputError: no devices.
    """
    if not len(devices):
        raise InputError("devices: expected at least one, got none.")
    return _GENERIC.get(devices[0].platform, devices[0].platform)


def shared(x: jax.Array, make: Callable) -> jax.Array:
    """`make(x)`, made once within a context of inference, however many ask."""
    made = _SHARED.get()  # by identity, with the array itself, so that the identity stays its own
    if id(x) not in made:
        y = make(x)
        made[id(x)], made[id(y)] = (x, y), (y, y)
    return made[id(x)][1]


def _known(platform: str) -> str:
    platform = _GENERIC.get(str(platform), platform)
    if platform not in PLATFORMS and platform != platform_of(jax.devices()):
        check.one_of("platform", platform, PLATFORMS)
    return platform
