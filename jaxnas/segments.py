"""Long trainings in calls of some seconds each, between which they are saved; SIGTERM saves and leaves.

A search is saved between its rounds (`jaxnas.search`). This is for what has many steps and no rounds.
"""

import contextlib
import hashlib
import pathlib
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnas import preemption, processes
from jaxnas.checkpoint import checkpoints
from jaxnas.loop.groups import Pace
from jaxnas.loop.progress import duration
from jaxnas.population import CompileMeter
from jaxnas.workdir import writing

SECONDS = 5.0
"""How long a call should take: a training can be saved after each."""
EVERY = 10.0
"""Seconds between two checkpoints, and between two lines of progress."""


class Segments:
    """Trainings one after another, each of so many steps, as a context: it goes on where `workdir` says.

    What takes less than `EVERY` seconds in all writes no checkpoint.

    Args:
      workdir: folder of the checkpoints of these trainings and no others; None keeps nothing.
      steps: of each.
      count: how many they are.
      progress: whether stderr is told how far they are.

    Attributes:
      finished: of each that is through, what `finish` was given.

    Raises:
      InputError: the folder cannot be written.
      CheckpointError: it is damaged, or that of other trainings.
    """

    def __init__(self, workdir: pathlib.Path | None, *, steps: int, count: int, progress: bool):
        self.path = None if workdir is None else workdir.absolute()
        self.finished: list[dict[str, Any]] = []
        self._steps, self._count, self._progress = steps, count, progress and processes.is_first()
        self._at = self._saves = self._done = 0
        self._pace, self._meter = Pace(2**31 - 1, SECONDS), CompileMeter()
        self._saved = self._shown = self._began = time.perf_counter()
        self._reached: tuple[list, int, Any] | None = None  # assigned as one, as SIGTERM comes at any moment
        self._lock, self._kept = threading.RLock(), None
        if self.path is not None:
            note = processes.from_first(self._open)
            if note is not None:
                self.finished, self._at, self._saves = note["finished"], note["step"], note["saves"]
        self._preemption = preemption.saving(self._leave) if self.path else contextlib.nullcontext()

    def _open(self) -> dict[str, Any] | None:
        if not self.path.is_dir():
            return None
        with writing(self.path):
            self._kept = checkpoints(self.path)
            step = self._kept.latest()
            return None if step is None else self._kept.note(step)

    def __enter__(self) -> "Segments":
        self._preemption.__enter__()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is KeyboardInterrupt:
            self._leave()
        if self._kept is not None:
            with writing(self.path):
                self._kept.wait()
        self._preemption.__exit__(kind, error, trace)

    def run(self, state: Any, advance: Callable[[Any, int, int], Any]) -> Any:
        """The next training, through all its steps.

        Args:
          state: what it begins with, a pytree of arrays.
          advance: `(state, first, until) -> state`, the steps from `first` up to `until`, however they are cut.
        """
        if self._at:
            state = self._restored(state)
        at, self._at = self._at, 0
        self._reached = self.finished, at, state
        while at < self._steps:
            count, begin = self._pace.count(self._steps - at), time.perf_counter() - self._meter.seconds
            state = jax.block_until_ready(advance(state, at, at + count))
            self._pace.took(time.perf_counter() - self._meter.seconds - begin, count)
            at, self._done = at + count, self._done + count
            self._reached = self.finished, at, state
            self._show(at)
            self._save_in_time()
        return state

    def finish(self, result: dict[str, Any]) -> None:
        """What came of the training that was run (JSON)."""
        self.finished = [*self.finished, result]

    def _save_in_time(self) -> None:
        if time.perf_counter() - self._saved > EVERY:
            self._save()

    def _save(self) -> None:
        with self._lock:
            self._saved = time.perf_counter()
            if self.path is None or self._reached is None or not processes.is_first():
                return
            finished, at, state = self._reached
            self._saves += 1
            with writing(self.path):
                if self._kept is None:
                    self._kept = checkpoints(self.path)
                self._kept.save(self._saves, state, {"finished": finished, "step": at, "saves": self._saves})

    def _leave(self) -> str:
        with self._lock:
            if self._reached is None:
                return "nothing was to be saved; the same command begins here again."
            finished, at, _ = self._reached
            self._save()
            if self._kept is not None:
                with writing(self.path):
                    self._kept.wait()
            return f"saved after {at:,} steps of training {len(finished) + 1}; the same command resumes."

    def _restored(self, like: Any) -> Any:
        found = {}

        def read() -> None:
            found["state"] = self._kept.restore(self._saves, like)

        processes.from_first(read)
        return processes.arrays_from_first(found.get("state", like))

    def _show(self, at: int) -> None:
        now = time.perf_counter()
        if not self._progress or now - self._shown < EVERY:
            return
        self._shown = now
        left = self._steps * (self._count - len(self.finished)) - at
        each = (now - self._began - self._meter.seconds) / self._done
        which = f"training {len(self.finished) + 1} of {self._count}: " if self._count > 1 else ""
        times = f"{duration(now - self._began)} elapsed, {duration(left * each)} left"
        print(f"{which}{at:,} of {self._steps:,} steps, {times}", file=sys.stderr, flush=True)


def identity(parts: Any) -> str:
    """A short name for what trainings are made of, a pytree: of arrays by their values, else by what they print."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(parts)[0]:
        array = isinstance(leaf, (jax.Array, np.ndarray))
        value = np.asarray(leaf).tobytes() if array else re.sub(r" at 0x[0-9a-f]+", "", repr(leaf)).encode()
        digest.update(jax.tree_util.keystr(path).encode() + value)
    return digest.hexdigest()[:12]
