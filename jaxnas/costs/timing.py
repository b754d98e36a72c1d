"""How long compiled functions take, told so that noise can be told from difference."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks.inference import barrier


class Timing(NamedTuple):
    """Of one function.

    Attributes:
      seconds: `[rounds, calls]`, of each call from its start until its results are there.
    """

    seconds: np.ndarray

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


def interleaved(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 10, calls_per_round: int = 3, seed: int = 0
) -> dict[str, Timing]:
    """Times functions side by side: in each round all of them, in random order, so that a slow minute meets all alike.

    The first call in a round only warms up, its caches too, and is not counted.

    Args:
      calls: name -> function without arguments, of a compiled program; returns its outputs. A call should take longer
        than its dispatch does; else see `repeated`.
      rounds: at least two, whose difference is the noise.
      calls_per_round: counted.
      seed: of the order.

    Raises:
      InputError: nothing to time, or too few rounds or calls.
    """
    if not calls:
        raise InputError("calls: expected at least one function, got none.")
    check.integer("rounds", rounds, least=2)
    check.integer("calls_per_round", calls_per_round, least=1)
    rng, names = np.random.default_rng(seed), list(calls)
    seconds = {name: np.zeros((rounds, calls_per_round)) for name in names}
    for i in range(rounds):
        for name in rng.permutation(names):
            call = calls[name]
            jax.block_until_ready(call())
            for j in range(calls_per_round):
                start = time.perf_counter()
                jax.block_until_ready(call())
                seconds[name][i, j] = time.perf_counter() - start
    return {name: Timing(taken) for name, taken in seconds.items()}


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
