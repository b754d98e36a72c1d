"""Examples that stay on the host, where they are too many for the device: a program fetches each batch as it runs.

Nothing else changes: a program that trains on them is traced, mapped over a population and split over devices as any
other. Which examples a batch has is decided by the program, by its key and step, and known one batch ahead, so the next
one is read while the device computes. A loader such as Grain's decides the order itself; its random-access datasets are
read here, see `Stream.of`.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import chex
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import Batch
from jaxnas.tasks.task import narrowed

AHEAD = 256
"""Batches that are kept at most before they are asked for."""
TOGETHER = 32
"""Examples that one thread reads one by one."""


class Stream:
    """N examples of which batches can be taken, as of a `Batch` on the device.

    Attributes:
      size: N.
      spec: shapes and types of one example.
      read: `rows [n] -> ` a `Batch` of NumPy arrays, in the thread that calls it.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], Batch],
        size: int,
        spec: Batch,
        *,
        together: int | None = None,
        workers: int | None = None,
    ):
        """Examples by their rows.

        Args:
          read: `rows [n] -> ` a `Batch` of NumPy arrays `[n, ...]`, from several threads at once.
          size: N.
          spec: `jax.ShapeDtypeStruct` of one example, as `Batch.spec`.
          together: rows that are read at once at most, so that threads share a batch; all of it by default.
          workers: threads that read; by default as many as there are cores.
        """
        self.read, self.size, self.spec = read, size, spec
        self._together, self._workers = together, ThreadPoolExecutor(workers or os.cpu_count(), "stream")
        self._ahead: OrderedDict[bytes, list[Future]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, source: Any, *, example: Callable[[Any], tuple] | None = None, workers: int | None = None) -> "Stream":
        """Examples of a source with random access.

        Args:
          source: anything with `len(source)` and `source[i]`: a `grain.MapDataset`, a data source of Grain or of
            TensorFlow Datasets, a list. It is asked from several threads.
          example: `source[i] -> (inputs, targets)` or `(inputs, targets, weight)`, pytrees of numbers and arrays
            without an axis for the batch; what the source gives, by default.
          workers: threads that read and decode; by default as many as there are cores.

        Raises:
          InputError: a source without random access, an empty one, or one whose first example is of another kind; that
            an example is of another shape or type than the first is found where it is read.
        """
        if example is not None:
            check.function("example", example)
        try:
            size = len(source)
            first = source[0] if size else None
        except (TypeError, AttributeError, KeyError) as error:
            raise InputError(
                "stream: expected a source with random access, len(source) and source[i], as grain.MapDataset; got a "
                f"{type(source).__name__} ({error})."
            ) from None
        if not size:
            raise InputError("stream: expected at least one example, got a source without any.")
        spec = _spec(_example(0, first, example))

        def read(rows: np.ndarray) -> Batch:
            found = [_example(i, source[i], example) for i in map(int, rows)]
            for i, one in zip(rows, found, strict=True):
                if _spec(one) != spec:
                    raise InputError(f"stream: expected example {i} to be as the first, {spec}; got {_spec(one)}.")
            return jax.tree.map(lambda *leaves: np.stack(leaves), *found)

        return cls(read, size, spec, together=TOGETHER, workers=workers)

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> Batch:
        """The examples `rows` `[B]`, traced or not; `upcoming` `[B]` are those that will be asked for next."""
        if isinstance(rows, np.ndarray):
            return self._joined(self._start(rows))
        shapes = jax.tree.map(lambda one: jax.ShapeDtypeStruct((*rows.shape, *one.shape), one.dtype), self.spec)
        upcoming = rows[..., :0] if upcoming is None else upcoming
        return jax.pure_callback(self._fetch, shapes, rows, upcoming, vmap_method="broadcast_all")

    def joined(self, other: Batch) -> "Stream":
        """These examples and, after them, those of a batch on the device."""
        n, other = self.size, jax.tree.map(np.asarray, other)
        blank = jax.tree.map(lambda one: np.zeros((1, *one.shape), one.dtype), self.spec)
        spec = blank.joined(other.take(np.zeros(1, int))).spec  # with weights where one of them has some

        def read(rows: np.ndarray) -> Batch:
            out = jax.tree.map(lambda one: np.ones((len(rows), *one.shape), one.dtype), spec)
            own = rows < n
            for which, part in ((own, lambda: self.read(rows[own])), (~own, lambda: other.take(rows[~own] - n))):
                if which.any():
                    for into, leaves in zip(out, part(), strict=True):
                        if leaves is not None:
                            jax.tree.map(lambda a, b, which=which: a.__setitem__(which, b), into, leaves)
            return out

        return Stream(read, n + other.size, spec, together=self._together, workers=self._workers._max_workers)

    def _fetch(self, rows, upcoming) -> Batch:
        rows = np.asarray(rows)
        flat = rows.reshape(-1)
        with self._lock:
            started = self._ahead.pop(flat.tobytes(), None)
        started = self._start(flat) if started is None else started
        self._read_ahead(np.asarray(upcoming).reshape(-1))
        return jax.tree.map(lambda leaf: leaf.reshape(*rows.shape, *leaf.shape[1:]), self._joined(started))

    def _start(self, rows: np.ndarray) -> list[Future]:
        step = self._together or max(len(rows), 1)
        return [self._workers.submit(self.read, rows[first : first + step]) for first in range(0, len(rows), step)]

    def _joined(self, started: list[Future]) -> Batch:
        parts = [future.result() for future in started]
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _read_ahead(self, rows: np.ndarray) -> None:
        key = rows.tobytes()
        with self._lock:
            if len(rows) and key not in self._ahead:
                self._ahead[key] = self._start(rows)
            while len(self._ahead) > AHEAD:  # never asked for: the search went elsewhere
                for future in self._ahead.popitem(last=False)[1]:
                    future.cancel()


def _example(i: int, found: Any, example: Callable | None) -> Batch:
    """Example i as a `Batch` without its first axis, of numbers as tasks keep them."""
    try:
        parts = found if example is None else example(found)
        if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
            raise TypeError(f"a {type(parts).__name__}")
        parts = [jax.tree.map(np.asarray, part) for part in parts]
    except (TypeError, ValueError, LookupError) as error:
        raise InputError(
            f"stream: expected example {i} as (inputs, targets) or (inputs, targets, weight), or example=, a function "
            f"that makes that of it; got {error}."
        ) from None
    inputs, targets, *weight = (
        jax.tree.map(lambda leaf, what=what: narrowed("stream", what, leaf), part)
        for what, part in zip(("examples", "targets", "weights"), parts, strict=False)
    )
    return Batch(inputs, targets, np.float32(weight[0]) if weight else None)


def _spec(example: Batch) -> Batch:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), example)
