"""How `search` runs rounds from the host: one part by part, or many as one program."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import processes
from jaxnas.clock import Clock
from jaxnas.groups import in_groups
from jaxnas.population import CompileMeter
from jaxnas.progress import Progress
from jaxnas.types import Evaluator, Strategy

PARTS = ("ask", "evaluate", "tell")


def part_by_part(
    strategy: Strategy, evaluator: Evaluator, clock: Clock, progress: Progress, meter: CompileMeter
) -> tuple[Strategy, Evaluator]:
    """Both with their functions jitted where they can be, timed as `PARTS`, and their members told to `progress`."""
    whole = processes.replicated_sharding()  # every process sees all of the feedback
    evaluate = jax.jit(evaluator.evaluate, out_shardings=whole) if evaluator.jittable else evaluator.evaluate
    if evaluator.group:
        ahead = 2 if jax.process_count() == 1 else 1  # of several, each call waits for what they agree on
        # On the host each member has its own compile, which takes its part of the round.
        timer = lambda: time.perf_counter() - meter.seconds * evaluator.jittable
        evaluate = in_groups(evaluate, evaluator.group, timer=timer, answered=progress.answered, ahead=ahead)
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
    """`(key, state, first, count) -> (state, records [1, ...])` of one round, whatever the count; its key is folded."""

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

        return jax.lax.fori_loop(0, count, body, (state, records))

    return jax.jit(rounds, out_shardings=processes.replicated_sharding(), keep_unused=True)


def many_at_a_time(program: Callable, clock: Clock) -> Callable:
    """`(key, state, first, count) -> (state, records [count, ...])` by a program of `as_one_program`."""
    compiled = None

    def call(*args):
        nonlocal compiled
        if compiled is None:
            compiled = program.lower(*args).compile()
        # Where the program wants it: what it gave last may be on other devices than what was there at first.
        return compiled(*jax.device_put(args, compiled.input_shardings[0]))

    timed = clock.timed("call", call)

    def run(key: jax.Array, state: Any, first: int, count: int):
        state, records = timed(key, state, np.int32(first), np.int32(count))
        return state, jax.tree.map(lambda leaf: np.asarray(leaf)[:count], records)

    return run
