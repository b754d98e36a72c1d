"""How `search` runs rounds from the host: one part by part, or many as one program."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, processes
from jaxnas.check import InputError
from jaxnas.loop.clock import Clock
from jaxnas.loop.groups import Pace, in_groups
from jaxnas.loop.progress import Progress
from jaxnas.population import CompileMeter
from jaxnas.types import Evaluator, Strategy

PARTS = ("ask", "evaluate", "tell")
ROUNDS_PER_CALL = 64
"""By default, where all answers are known beforehand."""
SECONDS = 0.5
"""How long a call of several rounds should take."""


def at_most(evaluator: Evaluator, given: int | None) -> int:
    """How many rounds a call may have, where so many are asked for; raises `InputError` where it cannot."""
    if given is None:
        return ROUNDS_PER_CALL if evaluator.jittable and evaluator.known is not None else 1
    check.integer("rounds_per_call", given, least=1)
    if given > 1 and not evaluator.jittable:
        raise InputError(
            f"rounds_per_call: evaluator {evaluator.name!r} runs on the host, so expected 1 round a call, got {given}."
        )
    return given


def prepare(
    step: Callable,
    strategy: Strategy,
    evaluator: Evaluator,
    most: int,
    *,
    meter: CompileMeter,
    progress: Progress,
    meanwhile: Callable[[], bool],
) -> tuple[Clock, Pace, Callable]:
    """How rounds of one phase run: at most so many a call, `(key, state, first, count) -> (state, records)`.

    Records are NumPy arrays `[count, ...]`; a round has the key `fold_in(key, number)`. While they are computed,
    `meanwhile` is done.
    """
    if most > 1:
        clock = Clock(meter, ("call", "checkpoint"), meanwhile)
        return clock, Pace(most, SECONDS), many_at_a_time(_program(step, strategy, evaluator, most), clock)
    clock = Clock(meter, (*PARTS, "checkpoint"), meanwhile)
    return clock, Pace(1, SECONDS), one_at_a_time(step(*part_by_part(strategy, evaluator, clock, progress, meter)))


@lru_cache(maxsize=4)
def _program(step: Callable, strategy: Strategy, evaluator: Evaluator, most: int) -> Callable:
    """Kept, as jit keeps the parts', for the next search of the same parts."""
    return as_one_program(step(strategy, evaluator), most)


def part_by_part(
    strategy: Strategy, evaluator: Evaluator, clock: Clock, progress: Progress, meter: CompileMeter
) -> tuple[Strategy, Evaluator]:
    """Both with their functions jitted where they can be, timed as `PARTS`, and their members told to `progress`."""
    whole = processes.replicated_sharding()  # every process sees all of the feedback
    evaluate = jax.jit(evaluator.evaluate, out_shardings=whole) if evaluator.jittable else evaluator.evaluate
    if evaluator.group and jax.process_count() == 1:  # several would wait for each other after each call
        # On the host each member has its own compile, which takes its part of the round.
        timer = lambda: time.perf_counter() - meter.seconds * evaluator.jittable
        evaluate = in_groups(evaluate, evaluator.group, timer=timer, answered=progress.answered)
    evaluate = clock.timed("evaluate", evaluate)
    ask, tell = (clock.timed(name, jax.jit(getattr(strategy, name))) for name in ("ask", "tell"))

    def asked(*args):
        proposal, state = ask(*args)
        progress.asked(int(np.sum(proposal.active)))
        return proposal, state

    def answered(*args):
        feedback, state = evaluate(*args)
        # On the host, so that the strategy's state never takes over the evaluator's sharding, and with it a compile.
        return jax.tree.map(np.asarray, feedback), state

    return strategy._replace(ask=asked, tell=tell), evaluator._replace(evaluate=answered)


def one_at_a_time(step: Callable) -> Callable:
    """`(key, state, first, count) -> (state, records [1, ...])` of one round, whatever the count."""

    def run(key, state, first, count):
        state, record = step(jax.random.fold_in(key, first), state)
        return state, jax.tree.map(lambda leaf: np.asarray(leaf)[None], record)

    return run


def as_one_program(step: Callable, most: int) -> Callable:
    """`(key, state, first, count) -> (state, records [most, ...])`, to be compiled once for any count up to `most`.

    Records beyond `count` are zeros, and those rounds are not run.
    """

    def rounds(key, state, first, count):
        shapes = jax.eval_shape(step, key, state)[1]
        records = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), shapes)

        def body(i, carry):
            state, records = carry
            state, record = step(jax.random.fold_in(key, first + i), state)
            return state, jax.tree.map(lambda all, new: all.at[i].set(new), records, record)

        with jax.named_scope("rounds"):
            return jax.lax.fori_loop(0, count, body, (state, records))

    return jax.jit(rounds, out_shardings=processes.replicated_sharding(), keep_unused=True)


def many_at_a_time(program: Callable, clock: Clock) -> Callable:
    """`(key, state, first, count) -> (state, records [count, ...])` by a program of `as_one_program`."""
    compiled = None

    def call(*args):
        nonlocal compiled
        if jax.process_count() > 1:  # `device_put` reaches the own devices alone: the program takes what it is given
            return program(*args)
        if compiled is None:
            compiled = program.lower(*args).compile()
        # Where the program wants it: what it gave last may be on other devices than what was there at first.
        return compiled(*jax.device_put(args, compiled.input_shardings[0]))

    timed = clock.timed("call", call)

    def run(key: jax.Array, state: Any, first: int, count: int):
        state, records = timed(key, state, np.int32(first), np.int32(count))
        return state, jax.tree.map(lambda leaf: np.asarray(leaf)[:count], records)

    return run
