"""Time of a search: seconds of each round by what they went into, and seconds of all its parts together."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxnas.population import CompileMeter


class Clock:
    """Seconds of a call, by what they went into; compiles count for themselves.

    Args:
      meter: knows what compiles took.
      parts: what they may go into.
      meanwhile: does a little of the work that is left, while devices are waited for; whether there is more.

    Attributes:
      seconds: `{part: seconds}` since the last `start`.
    """

    def __init__(self, meter: CompileMeter, parts: Sequence[str], meanwhile: Callable[[], bool] = lambda: False):
        self._meter, self._parts, self._meanwhile = meter, parts, meanwhile
        self.start()

    def start(self) -> None:
        """Begins the next call."""
        self.seconds = dict.fromkeys(self._parts, 0.0)
        self._began, self._compiled = time.perf_counter(), self._meter.seconds

    def timed(self, part: str, fn: Callable) -> Callable:
        """`fn`, whose seconds, until its results are there, count for `part`."""

        def run(*args):
            begin, compiling = time.perf_counter(), self._meter.seconds
            out = fn(*args)
            while not all_there(out) and self._meanwhile():
                pass
            jax.block_until_ready(out)
            took = time.perf_counter() - begin - (self._meter.seconds - compiling)
            self.seconds[part] += took
            return out

        return run

    def stop(self, rounds: int) -> dict[str, float]:
        """The seconds of each of so many rounds in this call: each part, `compile`, and `total`."""
        whole = {"compile": self._meter.seconds - self._compiled, "total": time.perf_counter() - self._began}
        return {name: round(seconds / rounds, 6) for name, seconds in {**self.seconds, **whole}.items()}


class Stopwatch:
    """Seconds of a search, over all the parts it was resumed in."""

    def __init__(self, before: float = 0.0):
        self._began = time.perf_counter() - before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def all_there(tree: Any) -> bool:
    """Whether nothing of it is still being computed."""
    return all(not isinstance(leaf, jax.Array) or leaf.is_ready() for leaf in jax.tree.leaves(tree))
