"""Several processes, one search: all compute, the first alone touches files, and all go on with what it read.

JAX's distributed runtime connects them (`jax.distributed.initialize`); one process is an ordinary case of it.
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnas.check import InputError

PREEMPTED = "SIGTERM"
"""Why a run ends that was told to leave."""
LEFT = 128 + signal.SIGTERM
"""What its processes exit with."""
_STOP, _READY, _LEAVES = "jaxnas/stop", "jaxnas/ready", "jaxnas/leaves"

HEARTBEAT = 30
"""Seconds without a sign of life after which a process of several counts as dead, and all end."""


class Peers(NamedTuple):
    """How processes find each other; where JAX finds them itself (Cloud TPU, Slurm, MPI), only `multihost`.

    Attributes:
      multihost: whether there are several.
      coordinator: `HOST:PORT` of process 0.
      count: how many.
      index: which of them this is.
      connect_seconds: how long to wait for the others.
    """

    multihost: bool = False
    coordinator: str | None = None
    count: int | None = None
    index: int | None = None
    connect_seconds: int = 300


def connect(given: Peers) -> None:
    """Waits for the other processes, where there are any; of all but the first, prints go nowhere from here on.

    Raises:
      InputError: they are given half, or do not find each other.
    """
    by_hand = {"coordinator": given.coordinator, "process_count": given.count, "process_index": given.index}
    named = [name for name, value in by_hand.items() if value is not None]
    if not given.multihost:
        if named:
            raise InputError(f"{named[0]}: only with --multihost.")
        return
    if named and len(named) < len(by_hand):
        lacking = ", ".join(f"--{name}" for name in by_hand if name not in named)
        raise InputError(f"multihost: --{named[0]} needs {lacking} too; or give none, where JAX finds them itself.")
    if named and given.index >= given.count:
        raise InputError(f"process_index: expected less than the {given.count} processes, got {given.index}.")
    try:
        jax.distributed.initialize(
            *by_hand.values(),
            local_device_ids=None if named else slurm_devices(os.environ),
            initialization_timeout=given.connect_seconds,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except (RuntimeError, ValueError) as error:  # of JAX's: nothing found, or nobody there
        raise InputError(f"multihost: the processes do not find each other ({str(error).splitlines()[0]}).") from error
    if not is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 for as long as the process lives


def slurm_devices(environment: Mapping[str, str]) -> list[int] | None:
    """GPUs of this node, where Slurm has started one task on each node; None where JAX is to find them.

    JAX takes one GPU for each of Slurm's tasks, so that a single one of eight would be used.
    """
    names = ("SLURM_GPUS_ON_NODE", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES")
    gpus, tasks, nodes = (environment.get(name, "") for name in names)
    if "JAX_LOCAL_DEVICE_IDS" in environment or not gpus.isdecimal() or not tasks or tasks != nodes:
        return None
    return list(range(int(gpus)))


def is_first() -> bool:
    """Whether this process is the one that touches files."""
    return jax.process_index() == 0


def from_first(read: Callable[[], Any]) -> Any:
    """What `read()` returns in the first process (JSON), in all of them. Other processes do not call it.

    Raises:
      Exception: what it raises in the first process; elsewhere an `InputError` that says the same.
    """
    if jax.process_count() == 1:
        return read()
    said, error = None, None
    if is_first():
        try:
            said = {"value": read()}
        except Exception as raised:  # so that nobody waits for an answer that never comes
            said, error = {"error": str(raised)}, raised
    said = json.loads(_bytes_from_first(json.dumps(said).encode()))
    if error is not None:
        raise error
    if "error" in said:
        raise InputError(said["error"])
    return said["value"]


def arrays_from_first(read: Callable[[], Any], like: Any) -> Any:
    """The arrays that `read()` returns in the first process, structured as `like`, in all of them; see `from_first`."""
    if jax.process_count() == 1:
        return read()
    found = {}
    from_first(lambda: found.update(arrays=read()))
    leaves, treedef = jax.tree.flatten(found.get("arrays", like))
    leaves = [np.asarray(leaf) for leaf in leaves]
    raw = _bytes_from_first(b"".join(leaf.tobytes() for leaf in leaves))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])
    parts = [raw[end - leaf.nbytes : end] for leaf, end in zip(leaves, ends, strict=True)]
    made = [np.frombuffer(part, leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(treedef, [jax.numpy.asarray(leaf) for leaf in made])


def to_host(tree: Any) -> Any:
    """The arrays, in every process as a whole, though each of several may have some of their shards only."""

    def whole(leaf):
        own = not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
        return np.asarray(leaf) if own else multihost_utils.process_allgather(leaf, tiled=True)

    return tree if jax.process_count() == 1 else jax.tree.map(whole, tree)


def replicated_sharding() -> jax.sharding.Sharding | None:
    """The sharding of what a program gives to every process as a whole; None for the only one."""
    if jax.process_count() == 1:
        return None
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("population",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def assert_same_on_all_processes(name: str, value: Any) -> None:
    """Raises `InputError` in all processes where one of them has another `value` (JSON) than the first."""
    if jax.process_count() == 1:
        return
    own = json.dumps(value, sort_keys=True)
    digest = np.frombuffer(hashlib.sha256(own.encode()).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    others = np.flatnonzero((digests != digests[0]).any(1)).tolist()
    if others:
        first = from_first(lambda: own)
        here = f": {own} instead of {first}" if jax.process_index() in others else ""
        raise InputError(f"{name}: process {', '.join(map(str, others))} has another than process 0{here}.")


def end(message: str) -> NoReturn:
    """Ends the process, and where it is one of several all of them, with `message` and status 1."""
    if jax.process_count() == 1:
        sys.exit(message)
    told = stop_reason()
    if told is None:
        request_stop(message)
    print(message if told is None else told, file=sys.stderr, flush=True)
    shutdown_barrier()
    os._exit(LEFT if told == PREEMPTED else 1)  # an ordinary exit waits for the processes that are gone


def _bytes_from_first(data: bytes) -> bytes:
    size = multihost_utils.broadcast_one_to_all(np.array(divmod(len(data), 2**30), np.int32))
    given = np.zeros(int(size[0]) * 2**30 + int(size[1]), np.uint8)
    if is_first():
        given[:] = np.frombuffer(data, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(given)).tobytes() if len(given) else b""


def request_stop(why: str) -> None:
    """Lets every process know, whatever each is at, that the run ends now."""
    client = _client()
    if client is not None:
        client.key_value_set(f"{_STOP}/{jax.process_index()}", why)


def stop_reason() -> str | None:
    """Why the run ends, where another process has said so."""
    client = _client()
    if client is None:
        return None
    told = client.key_value_dir_get(_STOP)
    return told[0][1] if told else None


def shutdown_barrier(patience: float = 5.0) -> None:
    """Called at the very end; the first process, which keeps what they tell each other, goes last.

    Once it is gone, the runtime aborts the rest; once another is gone, it may abort the first before that has saved.
    So they wait for it, twice so many seconds, and it for those that come, so many seconds.
    """
    client = _client()
    if client is None:
        return
    with contextlib.suppress(Exception):  # whoever cannot be asked is gone
        client.key_value_set(f"{_READY}/{jax.process_index()}", "", allow_overwrite=True)
        if not is_first():
            client.blocking_key_value_get(_LEAVES, int(2000 * patience))
            return
        client.key_value_set(_LEAVES, "", allow_overwrite=True)
        last = time.monotonic() + patience
        while len(client.key_value_dir_get(_READY)) < jax.process_count() and time.monotonic() < last:
            time.sleep(0.1)
        time.sleep(1)


def _client():
    """The runtime's store of keys and values, None in a single process; JAX has no public way to it."""
    from jax._src import distributed

    return distributed.global_state.client
