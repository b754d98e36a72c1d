"""What a search shows while it runs: evaluations done, time, an estimate of the whole, and what is compiled just now.

A thread draws it, so that it moves while a program runs for minutes. Nothing of it is inside a program.
"""

import contextlib
import math
import shutil
import sys
import threading
import time

from jaxnas.loop.totals import Totals
from jaxnas.population import CompileMeter

TERMINAL, LOG = 0.5, 10.0
"""Seconds between two looks, on a terminal and in a file."""


class Progress:
    """The bar of a search, as far as `enabled`.

    Args:
      totals: what has been evaluated, which the search keeps up to date.
      rounds: how many are left.
      meter: knows what is compiled.
      seconds: wall-clock time that is left, infinity where there is no limit.
      enabled: whether anything is shown, and a thread runs.
    """

    def __init__(self, totals: Totals, rounds: int, meter: CompileMeter, *, seconds: float, enabled: bool):
        self._totals, self._rounds, self._meter, self._limit = totals, rounds, meter, seconds
        self._members = self._answered = 0  # of the round that is evaluated just now
        self._first, self._began, self._built = totals.evaluations, time.perf_counter(), meter.building
        self._shown, self._stream, self._closed = 0, sys.stderr, threading.Event()
        self._on_terminal = enabled and self._stream.isatty()
        self._thread = threading.Thread(target=self._watch, daemon=True) if enabled else None
        if self._thread is not None:
            self._thread.start()

    def asked(self, members: int) -> None:
        """A round begins, in which so many are to be evaluated."""
        self._members, self._answered = members, 0

    def answered(self, members: int) -> None:
        """So many more of them are."""
        self._answered += members

    def advance(self, rounds: int, members: int) -> None:
        """So many rounds are over and in the totals, of so many evaluations together."""
        self._members, self._answered = -(-members // rounds), 0
        self._rounds -= rounds

    def close(self) -> None:
        """Shows the last state, and ends the thread."""
        if self._thread is not None:
            self._closed.set()
            self._thread.join()
            self._draw(last=True)

    def __str__(self) -> str:
        done = self._totals.evaluations + self._answered
        total = self._totals.evaluations + self._rounds * self._members
        known = self._members or not self._rounds
        elapsed = time.perf_counter() - self._began
        here, working = done - self._first, elapsed - (self._meter.building - self._built)
        each = working / here if here else math.nan
        left = min((total - done) * each if known else math.nan, max(self._limit - elapsed, 0))
        filled = int(20 * done / total) if known and total else 0
        said = [
            f"{done:,}/{total if known else '?'} |{'█' * filled:20}| {duration(elapsed)} elapsed, {duration(left)} left"
        ]
        said += [_rate(each)] if here else []
        said += [f"best {self._totals.best:.4f}"] if math.isfinite(self._totals.best) else []
        said += [f"{self._totals.invalid:,} invalid"] if self._totals.invalid else []
        said += [f"{self._totals.overflow:,} mutations dropped for lack of room"] if self._totals.overflow else []
        said += [f"compiling {self._meter.compiling}"] if self._meter.compiling else []
        return ", ".join(said)

    def _watch(self) -> None:
        while not self._closed.wait(TERMINAL if self._on_terminal else LOG):
            self._draw()

    def _draw(self, last: bool = False) -> None:
        text = str(self)
        if self._on_terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            text, self._shown = "\r" + text.ljust(self._shown), len(text)
        with contextlib.suppress(OSError, ValueError):  # of a stream that is closed
            self._stream.write(text + ("\n" if last or not self._on_terminal else ""))
            self._stream.flush()


def duration(seconds: float) -> str:
    """`H:MM:SS`, hours where there are any; "?" where it is not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _rate(each: float) -> str:
    return f"{each:.1f} s for each" if each > 1 else f"{1 / max(each, 1e-9):,.4g} evaluations/s"
