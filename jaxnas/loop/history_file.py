"""A run's history on disk: arrays that are complete whenever a checkpoint is, and lines of JSON that follow them.

`history.bin` holds structured arrays in NumPy's format `.npy`, one after another, each with the evaluations between two
checkpoints; of a run that was killed, those behind the last checkpoint are dropped. `history.jsonl` has a line for each
evaluation (see `History`). As making lines takes longer than many a round, they follow: they are written while devices
are waited for and in a small share of the run's time beside, and are complete once it ends.
"""

import contextlib
import io
import json
import os
import pathlib
import threading
import time
import warnings
from typing import BinaryIO

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.checkpoint import CheckpointError
from jaxnas.loop.history import BATCH, History, merged
from jaxnas.types import Space

ARRAYS, LINES = "history.bin", "history.jsonl"
SHARE = 0.01
"""Of the run's time, what lines may take of it while it searches."""
FEW = 128
"""How many are written at a time while devices are waited for."""
FAREWELL = 2.0
"""Seconds that they may take when it is interrupted."""
HEADER = 2**20
"""Characters that the description of an array's columns may have."""


def read(workdir: str | os.PathLike, space: Space) -> History:
    """The history of a run in `workdir`, also of one that goes on or was killed: up to its last checkpoint.

    Args:
      workdir: of `search`.
      space: the one that was searched.

    Raises:
      InputError: no run is there.
    """
    file = check.local_path("workdir", workdir) / ARRAYS
    if not file.exists():
        raise InputError(f"workdir: {file} is not there; `search` leaves it in its workdir.")
    return History(space, unpacked(file.read_bytes()))


class HistoryFile:
    """Both files of a run that is going on."""

    def __init__(self, directory: pathlib.Path, history: History, count: int):
        """Opens them for a run whose last checkpoint was saved after `count` evaluations, and drops the rest.

        What is kept is appended to `history`, which is empty so far.

        Raises:
          CheckpointError: there are fewer, or they are damaged.
        """
        path = directory / ARRAYS
        path.touch()
        self._history, self._saved, self._end = history, count, 0
        self._arrays, self._lines = path.open("r+b"), (directory / LINES).open("ab+")
        while len(history) < count and (block := _next_array(self._arrays)) is not None:
            history.append(block)
            self._end = self._arrays.tell()
        if len(history) != count:
            self.close()
            raise CheckpointError(f"{path} has {len(history)} evaluations, but the checkpoint was saved after {count}.")
        self._unsaved: list[np.ndarray] = []
        kept, end = _keep_lines(self._lines, count)
        self._behind = (history.since(kept), end)  # rows without lines, and where the next begins: assigned as one
        self._one_at_a_time = threading.RLock()
        self._spent, self._opened = 0.0, time.perf_counter()

    def append(self, rows: np.ndarray) -> None:
        """Adds evaluations, which the next `save` keeps."""
        with self._one_at_a_time:
            self._unsaved.append(rows)
            self._behind[0].append(rows)

    def save(self, count: int) -> None:
        """Keeps evaluations up to that number for good; more may be appended meanwhile."""
        blocks = []
        while self._saved + sum(map(len, blocks)) < count:
            blocks.append(self._unsaved[len(blocks)])
        self._arrays.seek(self._end)
        self._arrays.truncate()  # of what a full disk left behind
        for block in merged(blocks):
            _write_array(self._arrays, block)
        self._arrays.flush()
        os.fsync(self._arrays.fileno())
        self._end, self._saved = self._arrays.tell(), count
        del self._unsaved[: len(blocks)]

    def follow(self) -> None:
        """Writes some lines, where there is time for them."""
        begin = time.perf_counter()
        if self._spent < SHARE * (begin - self._opened):
            self._write_some(BATCH)
            self._spent += time.perf_counter() - begin

    def catch_up(self) -> bool:
        """Writes a few lines, in time that costs nothing; whether more are left."""
        self._write_some(FEW)
        return bool(self._behind[0])

    def finish(self, seconds: float = float("inf")) -> None:
        """Writes all lines, or as many as take so many seconds."""
        end = time.perf_counter() + seconds
        while self._behind[0] and time.perf_counter() < end:
            self._write_some(BATCH)

    def close(self) -> None:
        for file in (self._arrays, self._lines):
            with contextlib.suppress(OSError):
                file.close()

    def _write_some(self, most: int) -> None:
        with self._one_at_a_time:
            rows, end = merged(self._behind[0]), self._behind[1]
            if rows:
                lines = self._history.lines_of(rows[0][:most])
                text = "".join(json.dumps(line) + "\n" for line in lines).encode()
                self._lines.truncate(end)  # of what an interrupt left behind
                self._lines.write(text)
                self._lines.flush()
                rest = rows[0][most:]
                self._behind = ([*([rest] if len(rest) else []), *rows[1:]], end + len(text))


def packed(blocks: list[np.ndarray]) -> bytes:
    """The arrays as bytes, one after another."""
    made = io.BytesIO()
    for block in blocks:
        _write_array(made, block)
    return made.getvalue()


def unpacked(data: bytes) -> list[np.ndarray]:
    """What `packed` was given."""
    file, blocks = io.BytesIO(data), []
    while (block := _next_array(file)) is not None:
        blocks.append(block)
    return blocks


def _write_array(file: BinaryIO, rows: np.ndarray) -> None:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of names that are not Latin
        np.lib.format.write_array(file, rows, allow_pickle=False)


def _next_array(file: BinaryIO) -> np.ndarray | None:
    """The array that begins where the file stands; None at the end, or where the rest is no whole array."""
    try:
        rows = np.lib.format.read_array(file, allow_pickle=False, max_header_size=HEADER)
    except (ValueError, MemoryError, OverflowError, SyntaxError, TypeError, EOFError):
        return None
    return rows if rows.ndim == 1 and {"id", "genome", "fitness"} <= set(rows.dtype.names or ()) else None


def _keep_lines(file: BinaryIO, most: int) -> tuple[int, int]:
    """Cuts the file off after `most` whole lines, or all it has; their number, and that of their bytes."""
    file.seek(0)
    kept = end = 0
    for line in file:
        if kept == most or not line.endswith(b"\n"):
            break
        kept, end = kept + 1, end + len(line)
    file.truncate(end)
    return kept, end
