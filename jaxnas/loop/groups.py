"""A round in parts: the members of a proposal evaluated some at a time, by one program, to the same bits.

What a member is answered depends neither on its place nor on the others (`CONTRACTS.md`), so a program that leaves out
inactive members can be called again and again, each time with some of them active. Between two calls the host knows how
far the round is.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnas import processes
from jaxnas.loop.clock import all_there
from jaxnas.types import Feedback, Proposal

SECONDS = 5.0
"""How long a call of some groups should take: shorter ones are put together."""
AHEAD = 2
"""Calls that devices have at a time, so that none idles until the others are through."""
GROWTH = 8
"""How many times as much a call may do than the last one."""


class Pace:
    """How much a call should do to take so many seconds, by what the last ones took; the same in all processes."""

    def __init__(self, most: int, seconds: float):
        self._most, self._seconds, self._count = most, seconds, 1

    def count(self, left: int) -> int:
        """How much the next call does, of what is left."""
        if self._most == 1:
            return 1
        return min(processes.from_first(lambda: self._count), left)

    def took(self, seconds: float, count: int) -> None:
        """A call that did so much took so long."""
        fits = int(count * self._seconds / max(seconds, 1e-9))
        self._count = max(1, min(fits, GROWTH * count, self._most))


def turns_of(active: np.ndarray, group: int) -> list[np.ndarray]:
    """The active members in turns of at most `group`: of each of that many blocks of the population the next one.

    Devices have a block of the population each (see `population.over_population`), so all have work in each turn.
    """
    size = max(1, -(-len(active) // group))
    blocks = [at + np.flatnonzero(active[at : at + size]) for at in range(0, len(active), size)]
    most = max(map(len, blocks), default=0)
    return [np.array([block[k] for block in blocks if k < len(block)]) for k in range(most)]


def in_groups(
    evaluate: Callable, group: int, *, timer: Callable[[], float], answered: Callable[[int], None]
) -> Callable:
    """`evaluate`, called several times a round where that takes long, with the state handed on.

    Args:
      evaluate: of an evaluator that allows it (`Evaluator.group`).
      group: members in a turn.
      timer: seconds, of which compiles are none.
      answered: is told how many more members have their answer.
    """
    pace = Pace(2**31 - 1, SECONDS)

    def run(key: jax.Array, state: Any, proposal: Proposal) -> tuple[Feedback, Any]:
        active = np.asarray(proposal.active)
        turns, waiting, merged, before = turns_of(active, group), deque(), None, timer()
        if not turns:
            return evaluate(key, state, proposal)
        while turns or waiting:
            if turns and len(waiting) < AHEAD and not (waiting and all_there(waiting[0][0])):
                count = pace.count(len(turns))
                members = np.concatenate(turns[:count])
                del turns[:count]
                some = proposal.replace(active=np.isin(np.arange(len(active)), members))
                feedback, state = evaluate(key, state, some)
                waiting.append((feedback, members, count))
                continue
            feedback, members, count = waiting.popleft()
            feedback = jax.tree.map(np.asarray, feedback)
            merged = feedback if merged is None else _merged(merged, feedback, members)
            pace.took(timer() - before, count)
            before = timer()
            answered(len(members))
        return merged, state

    return run


def _merged(merged: Feedback, feedback: Feedback, members: np.ndarray) -> Feedback:
    """The answers of `members` beside those there were."""
    names = merged.metrics.keys() | feedback.metrics.keys()
    like = merged.metrics | feedback.metrics
    both = [
        part.replace(metrics={n: part.metrics.get(n, _absent(like[n])) for n in sorted(names)})
        for part in (merged, feedback)
    ]

    def place(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        whole = np.array(old)
        whole[members] = new[members]
        return whole

    return jax.tree.map(place, *both)


def _absent(metric: np.ndarray) -> np.ndarray:
    """Of members that have no such metric, as a host evaluator may say of each what it likes."""
    return np.full_like(metric, {"f": np.nan, "O": ""}.get(metric.dtype.kind, 0))
