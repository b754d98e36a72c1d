"""Calls timed beside other work, and how long they would take alone."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.execution import platform_of


class Clocks(NamedTuple):
    """Seconds since some moment: that have passed, that this process's threads have run on cores, all together, and
    that they were ready to run but waited for a core (a clock that stands still where the system does not say)."""

    wall: Callable[[], float]
    cpu: Callable[[], float]
    waited: Callable[[], float]


def _waited() -> float:
    nanoseconds = 0
    with contextlib.suppress(OSError):  # not Linux
        for thread in os.scandir("/proc/self/task"):
            # A thread that has just ended, or a kernel that does not count.
            with contextlib.suppress(OSError, IndexError, ValueError), open(f"{thread.path}/schedstat") as file:
                nanoseconds += int(file.read().split()[1])
    return 1e-9 * nanoseconds


CLOCKS = Clocks(time.perf_counter, time.process_time, _waited)


class Visit(NamedTuple):
    """One function in one round.

    Attributes:
      busy: `[calls]` seconds that cores worked for each call; where that says nothing, those that it took.
      demand: how many cores it would have kept busy, had it always got them: threads that ran or waited for a core.
      stolen: the part of its threads' time that they waited.
    """

    busy: np.ndarray
    demand: float
    stolen: float


def visit(call: Callable[[], Any], times: int) -> Visit:
    """Times `times` calls after one that warms up."""
    jax.block_until_ready(call())
    wall, busy = np.zeros(times), np.zeros(times)
    begin = CLOCKS.wall(), CLOCKS.cpu(), CLOCKS.waited()
    for j in range(times):
        cpu, start = CLOCKS.cpu(), CLOCKS.wall()
        jax.block_until_ready(call())
        wall[j] = CLOCKS.wall() - start
        busy[j] = CLOCKS.cpu() - cpu
    waited, cpu, passed = CLOCKS.waited() - begin[2], CLOCKS.cpu() - begin[1], CLOCKS.wall() - begin[0]
    ready = cpu + max(waited, 0.0)
    # An accelerator's work is no CPU time, and what sleeps takes its time without any; a coarse clock may show none.
    if platform_of(jax.devices()) != "cpu" or ready < passed / 2 or not busy.all():
        return Visit(wall, 1.0, 0.0)
    return Visit(busy, ready / passed, 1 - cpu / ready)


def alone(visits: Mapping[str, Sequence[Visit]]) -> dict[str, np.ndarray]:
    """`[kept rounds, calls]` seconds for each function that calls would take if they always got the cores they ask for.

    Of each function the calmer half of rounds is kept, by CPU time: neighbours only ever add to it (caches, memory,
    clock rates), so what repeats is its lower part. But of even rounds by themselves, and of odd ones: each half is a
    whole measurement with nothing taken from the other, neither which rounds stay nor how many cores there are, so that
    leaving out cannot make them agree, and how far they are apart has all of the noise in it. Rows alternate.
    """
    halves = []
    for half in (0, 1):
        own = {name: list(v)[half::2] for name, v in visits.items()}
        cores = _cores([np.array([v.demand for v in each]) for each in own.values()])
        halves.append({name: _calm(own[name]) / n for name, n in zip(own, cores, strict=True)})
    even, odd = halves
    kept = {name: len(even[name]) + len(odd[name]) for name in visits}
    return {name: np.stack([(even, odd)[i % 2][name][i // 2] for i in range(n)]) for name, n in kept.items()}


def _calm(visits: Sequence[Visit]) -> np.ndarray:
    """`[half of rounds, calls]` seconds of cores, of the rounds of least."""
    busy = np.stack([v.busy for v in visits])
    return busy[np.sort(np.argsort(np.median(busy, axis=1), kind="stable")[: (len(busy) + 1) // 2])]


def _cores(demands: Sequence[np.ndarray]) -> np.ndarray:
    """`[F]` cores that each function keeps busy, from what was seen of each in its rounds.

    A thread that waits for another, which waits for a core, lowers what is counted; hence upper quartiles. They scatter
    far more than CPU time does, so those of functions are drawn towards that of all by as much of their differences as
    the scatter within functions explains (the estimator of James and Stein, 1961, with a common variance).
    """
    own = np.array([np.quantile(demand, 0.75) for demand in demands])
    within = [demand.var(ddof=1) / len(demand) for demand in demands if len(demand) > 1]
    if len(own) < 4 or not within or not own.var():
        return own
    middle = np.median(own)
    return middle + max(0.0, 1 - np.mean(within) / own.var(ddof=1)) * (own - middle)
