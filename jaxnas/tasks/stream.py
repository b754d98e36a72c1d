"""Examples that stay on the host, where they are too many for the device: a program fetches each batch as it runs.

Nothing else changes: a program that trains on them is traced, mapped over a population and split over devices as any
other. Which examples a batch has is known one batch ahead, so the next one is read while the device computes.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import chex
import jax
import numpy as np

from jaxnas.tasks.batch import Batch
from jaxnas.tasks.task import narrowed

AHEAD = 256
"""Batches that are kept at most before they are asked for."""


class Stream:
    """N examples of which batches can be taken, as of a `Batch` on the device.

    Attributes:
      size: N.
      spec: shapes and types of one example.
      read: `rows [n] -> inputs [n, ...]`, from several threads at once.
      rest: pytree of `[N, ...]`, targets and weight, which are on the host; those as of all tasks.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        targets: Any,
        example: jax.ShapeDtypeStruct,
        *,
        weight: np.ndarray | None = None,
        workers: int = 4,
    ):
        targets = jax.tree.map(lambda leaf: narrowed("stream", "targets", np.asarray(leaf)), targets)
        self.read, self.rest, self.size = read, (targets, weight), len(jax.tree.leaves(targets)[0])
        kept = jax.ShapeDtypeStruct(example.shape, narrowed("", "", np.empty(0, example.dtype)).dtype)
        one = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
        self.spec = Batch(kept, *jax.tree.map(one, self.rest))
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="stream")
        self._ahead: OrderedDict[bytes, Future] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> Batch:
        """The examples `rows` `[B]`, traced or not; `upcoming` `[B]` are those that will be asked for next."""
        shapes = jax.tree.map(lambda one: jax.ShapeDtypeStruct((*rows.shape, *one.shape), one.dtype), self.spec)
        upcoming = rows[..., :0] if upcoming is None else upcoming
        return jax.pure_callback(self._fetch, shapes, rows, upcoming, vmap_method="broadcast_all")

    def joined(self, other: Batch) -> "Stream":
        """These examples and, after them, those of a batch on the device."""
        x, n = np.asarray(other.inputs), self.size

        def read(rows):
            out = np.empty((len(rows), *self.spec.inputs.shape), self.spec.inputs.dtype)
            own = rows < n
            out[own], out[~own] = self.read(rows[own]), x[rows[~own] - n]
            return out

        ours = Batch(np.zeros(n, np.uint8), *self.rest)
        both = jax.tree.map(np.asarray, ours.joined(other._replace(inputs=np.zeros(other.size, np.uint8))))
        return Stream(read, both.targets, self.spec.inputs, weight=both.weight)

    def _fetch(self, rows, upcoming) -> Batch:
        rows = np.asarray(rows)
        flat = rows.reshape(-1)
        with self._lock:
            read = self._ahead.pop(flat.tobytes(), None)
        x = self.read(flat) if read is None else read.result()
        self._read_ahead(np.asarray(upcoming).reshape(-1))
        found = Batch(narrowed("stream", "examples", np.asarray(x)), *jax.tree.map(lambda leaf: leaf[flat], self.rest))
        return jax.tree.map(lambda leaf: leaf.reshape(*rows.shape, *leaf.shape[1:]), found)

    def _read_ahead(self, rows: np.ndarray) -> None:
        key = rows.tobytes()
        with self._lock:
            if len(rows) and key not in self._ahead:
                self._ahead[key] = self._workers.submit(self.read, rows)
            while len(self._ahead) > AHEAD:  # never asked for: the search went elsewhere
                self._ahead.popitem(last=False)[1].cancel()
