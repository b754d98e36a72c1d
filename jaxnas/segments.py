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
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas import preemption, processes
from jaxnas.check import InputError
from jaxnas.checkpoint import checkpoints
from jaxnas.loop.groups import Pace
from jaxnas.loop.progress import duration
from jaxnas.population import CompileMeter
from jaxnas.workdir import writing

SECONDS = 5.0
"""How long a call should take: a training can be saved after each."""
EVERY, SHARE = 10.0, 10
"""Seconds between two checkpoints, at least, and how many times as long as one takes; between two lines of progress."""


class Segments:
    """Trainings, some at a time, all of so many steps; as a context, in which SIGTERM and Ctrl-C save.

    What takes less than `EVERY` seconds in all writes no checkpoint.

    Args:
      workdir: folder of the checkpoints of these trainings and no others; None keeps nothing.
      steps: of each.
      count: how many they are.
      progress: whether stderr is told how far they are.

    Attributes:
      finished: training -> what came of it (JSON).

    Raises:
      InputError: the folder cannot be written.
      CheckpointError: it is damaged, or that of other trainings.
    """

    def __init__(self, workdir: pathlib.Path | None, *, steps: int, count: int, progress: bool):
        self.path = None if workdir is None else workdir.absolute()
        self.finished: dict[int, Any] = {}
        self._steps, self._count, self._progress = steps, count, progress and processes.is_first()
        self._members, self._at, self._done = [], 0, 0
        self._pace, self._meter = Pace(2**31 - 1, SECONDS), CompileMeter()
        self._due = self._shown = self._began = time.perf_counter()
        self._due += EVERY
        # What a checkpoint would hold, assigned as one since SIGTERM comes at any moment; of the last one which it is.
        self._reached = self._saved = None
        self._lock, self._kept = threading.RLock(), None
        note = None if self.path is None else processes.from_first(self._open)
        if note is not None:
            self.finished = {int(training): result for training, result in note["finished"].items()}
            self._members, self._at = note["members"], note["step"]
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
        try:
            with contextlib.suppress(InputError) if kind else contextlib.nullcontext():  # what went wrong matters more
                if kind is KeyboardInterrupt:
                    self._leave()
                if self._kept is not None:
                    with writing(self.path):
                        self._kept.wait()
        finally:
            self._preemption.__exit__(kind, error, trace)

    def run(self, members: Sequence[int], state: Any, advance: Callable[[Any, int, int], Any]) -> Any:
        """Some trainings through all their steps, from where they were saved.

        Args:
          members: the trainings, in their places in the state; -1 for none.
          state: what they begin with, a pytree of arrays.
          advance: `(state, first, until) -> state`, the steps from `first` up to `until`, however they are cut.
        """
        members, at, size = list(members), 0, sum(member >= 0 for member in members)
        if self._at and self._members == members:
            at, state = self._at, self._restored(state)
        self._at = 0
        self._reach(members, at, state)
        while at < self._steps:
            count, begin = self._pace.count(self._steps - at), time.perf_counter() - self._meter.seconds
            state = jax.block_until_ready(advance(state, at, at + count))
            self._pace.took(time.perf_counter() - self._meter.seconds - begin, count)
            at, self._done = at + count, self._done + count * size
            self._show(size, at)
            self._reach(members, at, state)
        return state

    def finish(self, results: dict[int, Any]) -> None:
        """What came of the trainings that were run (JSON)."""
        self.finished = {**self.finished, **results}

    def _reach(self, members: list[int], at: int, state: Any) -> None:
        """So far it is, which is saved where that is due."""
        if self.path is None:
            return
        due = processes.from_first(lambda: time.perf_counter() > self._due)
        if jax.process_count() == 1 or due:
            self._reached = self.finished, members, at, processes.to_host(state)
        if due:
            self._save()

    def _save(self) -> None:
        with self._lock:
            finished, members, at, state = self._reached
            if (finished, members, at) == self._saved or not processes.is_first():
                return
            begin = time.perf_counter()
            with writing(self.path):
                if self._kept is None:
                    self._kept = checkpoints(self.path)
                note = {"finished": {str(training): of for training, of in finished.items()}}
                self._kept.save(1 + (self._kept.latest() or 0), state, {**note, "members": members, "step": at})
            self._saved = finished, members, at
            now = time.perf_counter()
            self._due = now + max(EVERY, SHARE * (now - begin))

    def _leave(self) -> str:
        with self._lock:
            if self._reached is None:
                return "nothing new was to be saved; the same command goes on."
            reached = self._reached
            self._save()
            if self._kept is not None:
                with writing(self.path):
                    self._kept.wait()
            return f"saved after {len(reached[0])} trainings and {reached[2]:,} steps; the same command resumes."

    def _restored(self, like: Any) -> Any:
        blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        state = processes.arrays_from_first(lambda: self._kept.restore(self._kept.latest(), blank), blank)
        if jax.process_count() > 1:
            return state
        return jax.tree.map(lambda leaf, old: jax.device_put(leaf, old.sharding), state, like)

    def _show(self, size: int, at: int) -> None:
        now = time.perf_counter()
        if not self._progress or now - self._shown < EVERY:
            return
        self._shown = now
        left = self._steps * (self._count - len(self.finished)) - at * size
        each = (now - self._began - self._meter.seconds) / self._done
        which = f"{len(self.finished)} of {self._count} trainings, " if self._count > size else ""
        times = f"{duration(now - self._began)} elapsed, {duration(left * each)} left"
        print(f"{which}{at:,} of {self._steps:,} steps: {times}", file=sys.stderr, flush=True)


def fingerprint(parts: Any) -> str:
    """A short name for what trainings are made of, a pytree: of arrays by their values, else by what they print."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(parts)[0]:
        array = isinstance(leaf, (jax.Array, np.ndarray))
        value = np.asarray(leaf).tobytes() if array else re.sub(r" at 0x[0-9a-f]+", "", repr(leaf)).encode()
        digest.update(jax.tree_util.keystr(path).encode() + value)
    return digest.hexdigest()[:12]
