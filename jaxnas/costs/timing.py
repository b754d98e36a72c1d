"""How long compiled functions take, told so that noise can be told from difference, beside other work too."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs import _visits
from jaxnas.networks.inference import barrier

ENOUGH = 0.03
"""Noise floor at which no rounds are added. What is timed together must often be below 4 % in each of its parts."""


class Timing(NamedTuple):
    """Of one function.

    Attributes:
      seconds: `[rounds, calls]`, of each call from its start until its results are there, without the time that other
        programs took; see `interleaved`. Of the calmer half of rounds.
      left_out: number of the other rounds.
      stolen: the part of its threads' time that they waited for a core; 0 where that is not known.
    """

    seconds: np.ndarray
    left_out: int = 0
    stolen: float = 0.0

    @property
    def median(self) -> float:
        """Seconds of a call; what to compare. On shared machines it is steadier than the least, which a few lucky calls
        decide."""
        return float(np.median(self.seconds))

    @property
    def least(self) -> float:
        """Seconds of the fastest call."""
        return float(self.seconds.min())

    @property
    def noise(self) -> float:
        """The medians of even and odd rounds apart, as a fraction of their mean: a second measurement's surprise."""
        even, odd = np.median(self.seconds[::2]), np.median(self.seconds[1::2])
        return float(2 * abs(even - odd) / (even + odd)) if even + odd > 0 else 0.0

    @property
    def spread(self) -> float:
        """Twice the standard error of a round, as a fraction: about the noise to expect of rounds that scatter so."""
        each = np.median(self.seconds, axis=1)
        return float(2 * each.std(ddof=1) / np.sqrt(len(each)) / each.mean()) if each.mean() > 0 else 0.0


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 10,
    calls_per_round: int = 3,
    limit: float = 0.0,
    seed: int = 0,
) -> dict[str, Timing]:
    """Times functions side by side: in each round all of them, in random order, so that a slow minute meets all alike.

    The first call in a round only warms up, its caches too, and is not counted.

    On CPUs the time that other programs take is not counted either: a call takes the CPU time of this process over the
    number of cores that the function would keep busy if it got them, counted from its threads that run or wait. How
    long they wait is known on Linux; elsewhere it is the number that it got. Nothing else may run in this process.

    Of each function, the calmer half of rounds is kept, of even and of odd ones apart, and rounds are added for
    functions whose rounds scatter, until the noise floor is 3 %.

    Args:
      calls: name -> function without arguments, of a compiled program; returns its outputs. A call should take longer
        than its dispatch does; else see `repeated`.
      rounds: at least two, whose difference is the noise, better an even number, so that both halves are as good. All
        are run, whatever they take.
      calls_per_round: counted.
      limit: seconds after which rounds are no longer added; by default none are.
      seed: of the order.

    Raises:
      InputError: nothing to time, too few rounds or calls, or a negative limit.
    """
    if not calls:
        raise InputError("calls: expected at least one function, got none.")
    check.integer("rounds", rounds, least=2)
    check.integer("calls_per_round", calls_per_round, least=1)
    check.real("limit", limit, least=0.0)
    wall = _visits.CLOCKS.wall
    rng, end = np.random.default_rng(seed), wall() + limit
    visits: dict[str, list[_visits.Visit]] = {name: [] for name in calls}
    took = dict.fromkeys(calls, 0.0)

    def run(names: Sequence[str]) -> None:
        for name in rng.permutation(names):
            begin = wall()
            visits[name].append(_visits.visit(calls[name], calls_per_round))
            took[name] = wall() - begin

    def fits(names: Sequence[str]) -> bool:
        return wall() + sum(took[name] for name in names) < end

    for _ in range(rounds):
        run(list(calls))
    while True:
        timings = _timings(visits)
        # Chosen by scatter, not by how far the halves are apart: measuring again whatever disagrees, until it agrees,
        # would make the floor small and the measurement no better. For that reason, too, the floor is looked at only
        # after as many rounds again.
        names = [name for name, timing in timings.items() if timing.spread > ENOUGH] or list(calls)
        if not fits(names) or noise_floor(timings) <= ENOUGH:
            return timings
        for _ in range(rounds):
            if fits(names):
                run(names)


def _timings(visits: Mapping[str, Sequence[_visits.Visit]]) -> dict[str, Timing]:
    return {
        name: Timing(seconds, len(visits[name]) - len(seconds), float(np.mean([v.stolen for v in visits[name]])))
        for name, seconds in _visits.alone(visits).items()
    }


def noise_floor(timings: Mapping[str, Timing]) -> float:
    """The mean of `Timing.noise`: no prediction can be held to less than about this (a fraction)."""
    return float(np.mean([timing.noise for timing in timings.values()]))


def repeated(fun: Callable, times: int) -> Callable:
    """`fun`, run `times` times one after the other in one program, for what takes no longer than its dispatch.

    Not a loop, whose body XLA:CPU runs on one thread. `(t(n) - t(1)) / (n - 1)` is the time of one, dispatch taken
    out.

    Args:
      fun: `(x, *args) -> outputs`; x a float array, outputs any pytree of float arrays.
      times: how often.

    Returns:
      `(x, *args) ->` the outputs of the last, which are those of `fun`. Each run waits for all outputs of the one
      before: x has 0 times one of them added, which XLA must not leave out (it could be infinite).

    Raises:
      InputError: `times` below 1.
    """
    check.integer("times", times, least=1)

    def run(x: chex.Array, *args):
        outputs = barrier(fun(x, *args))
        for _ in range(times - 1):
            first = jax.tree.leaves(outputs)[0]
            x = x + 0 * first[(0,) * first.ndim].astype(x.dtype)
            outputs = barrier(fun(x, *args))
        return outputs

    return run
