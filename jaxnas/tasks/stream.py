"""Examples that stay on the host, where they are too many for the device: a program fetches each batch as it runs.

Nothing else changes: a program that trains on them is traced, mapped over a population and split over devices as any
other. Which examples a batch has is known one batch ahead, so the next one is read while the device computes.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import chex
import jax
import numpy as np

from jaxnas.tasks.task import Split, narrowed

AHEAD = 256
"""Batches that are kept at most before they are asked for."""


class Stream:
    """N examples of which batches can be taken, as of a `Split`.

    Attributes:
      size: N.
      example: shape and type of one.
      y: `[N, ...]` targets, of 32 bits as those of all tasks.
      read: `rows [n] -> x [n, ...]`, from several threads at once.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        y: np.ndarray,
        example: jax.ShapeDtypeStruct,
        *,
        workers: int = 4,
    ):
        self.read, self.y, self.size = read, narrowed("stream", "targets", np.asarray(y)), len(y)
        self.example = jax.ShapeDtypeStruct(example.shape, narrowed("", "", np.empty(0, example.dtype)).dtype)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="stream")
        self._ahead: OrderedDict[bytes, Future] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> Split:
        """The examples `rows` `[B]`, traced or not; `upcoming` `[B]` are those that will be asked for next."""
        shapes = Split(
            jax.ShapeDtypeStruct((*rows.shape, *self.example.shape), self.example.dtype),
            jax.ShapeDtypeStruct((*rows.shape, *self.y.shape[1:]), self.y.dtype),
        )
        upcoming = rows[..., :0] if upcoming is None else upcoming
        return jax.pure_callback(self._fetch, shapes, rows, upcoming, vmap_method="broadcast_all")

    def joined(self, other: Split) -> "Stream":
        """These examples and, after them, those of a split on the device."""
        x, n = np.asarray(other.x), self.size

        def read(rows):
            out = np.empty((len(rows), *self.example.shape), self.example.dtype)
            own = rows < n
            out[own], out[~own] = self.read(rows[own]), x[rows[~own] - n]
            return out

        return Stream(read, np.concatenate([self.y, np.asarray(other.y)]), self.example)

    def _fetch(self, rows, upcoming) -> Split:
        rows = np.asarray(rows)
        flat = rows.reshape(-1)
        with self._lock:
            read = self._ahead.pop(flat.tobytes(), None)
        x = self.read(flat) if read is None else read.result()
        self._read_ahead(np.asarray(upcoming).reshape(-1))
        x, y = narrowed("stream", "examples", np.asarray(x)), self.y[flat]
        return Split(x.reshape(*rows.shape, *x.shape[1:]), y.reshape(*rows.shape, *y.shape[1:]))

    def _read_ahead(self, rows: np.ndarray) -> None:
        key = rows.tobytes()
        with self._lock:
            if len(rows) and key not in self._ahead:
                self._ahead[key] = self._workers.submit(self.read, rows)
            while len(self._ahead) > AHEAD:  # never asked for: the search went elsewhere
                self._ahead.popitem(last=False)[1].cancel()
