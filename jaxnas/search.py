"""The one loop: ask, evaluate, tell.

`step` is the whole algorithm. `search` runs it from the host with progress, history and checkpoints; `search_scan`
runs it inside one program, to be jitted and vmapped over seeds. Same key, same search.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxnas import check, preemption, processes
from jaxnas.check import InputError
from jaxnas.loop.clock import Stopwatch
from jaxnas.loop.compatibility import check_feedback, check_pair
from jaxnas.loop.progress import Progress
from jaxnas.loop.result import Result, result_of
from jaxnas.loop.rounds import at_most, prepare
from jaxnas.loop.rows import rows_of
from jaxnas.loop.totals import Totals
from jaxnas.population import CompileMeter, over_population
from jaxnas.types import Evaluator, Feedback, Proposal, Space, Strategy, usable
from jaxnas.workdir import Workdir


@struct.dataclass
class State:
    """What a search carries from round to round."""

    strategy: Any
    evaluator: Any


class Record(NamedTuple):
    """One round: what was asked and what came back (`valid` is False for every member that is not usable)."""

    proposal: Proposal
    feedback: Feedback


class Phase(NamedTuple):
    """A strategy for a number of rounds; the evaluator's state goes on to the next phase."""

    strategy: Strategy
    rounds: int


def step(strategy: Strategy, evaluator: Evaluator) -> Callable[[chex.PRNGKey, State], tuple[State, Record]]:
    """One round as a function `(key, state) -> (state, record)`, pure where the evaluator is jittable."""

    def run(key, state):
        # Not a split: of these, jit drops what is not used, and each is one block of random bits.
        ask_key, evaluate_key, tell_key = (jax.random.fold_in(key, i) for i in range(3))
        proposal, asked = strategy.ask(ask_key, state.strategy)
        feedback, evaluated = evaluator.evaluate(evaluate_key, state.evaluator, proposal)
        check_feedback(proposal, feedback, evaluator)
        feedback = feedback.replace(valid=usable(proposal, feedback))
        told = feedback.replace(metrics={})  # never read by a strategy, and of any type where they come from the host
        return State(strategy.tell(tell_key, asked, proposal, told), evaluated), Record(proposal, feedback)

    return run


def search_scan(
    strategy: Strategy, evaluator: Evaluator, rounds: int, *, record: Callable[[Record], Any] = lambda record: record
) -> Callable[[chex.PRNGKey], tuple[State, Any]]:
    """A whole search as a pure function `key -> (state, records [rounds, ...])`; jit it, vmap it over keys.

    Args:
      strategy: any strategy.
      evaluator: must be jittable.
      rounds: rounds of ask, evaluate, tell.
      record: what to keep of each round's `Record`, for large runs (`lambda r: r.feedback.fitness`, say).

    Raises:
      InputError: the evaluator runs on the host, or the two do not fit.
    """
    check_pair(strategy, evaluator)
    check.integer("rounds", rounds, least=1)
    if not evaluator.jittable:
        raise InputError(f"evaluator {evaluator.name!r} runs on the host and cannot be scanned; use search().")
    one = step(strategy, evaluator)

    def run(key):
        init_key, rounds_key = jax.random.split(key)

        def body(state, t):
            state, rec = one(jax.random.fold_in(rounds_key, t), state)
            return state, record(rec)

        return jax.lax.scan(body, _init(init_key, strategy, evaluator, 0), jnp.arange(rounds))

    return run


def search_many(
    strategy: Strategy,
    evaluator: Evaluator,
    rounds: int,
    seeds: int,
    *,
    record: Callable[[Record], Any] = lambda record: record,
    devices: Sequence[Any] | None = None,
    chunk: int = 1000,
) -> Callable[[chex.PRNGKey], tuple[State, Any]]:
    """Independent searches as one pure function `key -> (states [seeds], records [seeds, rounds, ...])`; jit it.

    Search i has the key `fold_in(key, i)`, so its result depends neither on their number nor on the devices.

    Args:
      strategy: see `search_scan`, as `evaluator`, `rounds` and `record`.
      seeds: how many searches.
      devices: to split the searches over, which never talk to each other; all devices by default.
      chunk: searches side by side on a device; by default as many as keep their state in a CPU's cache. On an
        accelerator give all of them.
    """
    run = search_scan(strategy, evaluator, rounds, record=record)
    check.integer("seeds", seeds, least=1)
    check.integer("chunk", chunk, least=1)
    # One at a time they are not a batch of one, in which both branches of every conditional would run.
    plan = {"plan": "map"} if chunk == 1 else {"plan": "vmap", "chunk": chunk}
    side_by_side = over_population(run, **plan, devices=devices)

    def many(key):
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(seeds))
        return side_by_side.run(keys, jnp.ones(seeds, bool))

    return many


def search(
    space: Space,
    strategy: Strategy | Sequence[Phase],
    evaluator: Evaluator,
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    workdir: str | None = None,
    config: dict | None = None,
    settings: dict | None = None,
    checkpoint_seconds: float = 10.0,
    rounds_per_call: int | None = None,
    progress: bool = True,
    on_round: Callable[[dict], None] | None = None,
) -> Result:
    """Runs a search from the host, and resumes it where `workdir` holds an unfinished one.

    Args:
      space: what the genomes mean, for the history.
      strategy: a strategy, run for `rounds`; or a sequence of `Phase`.
      evaluator: any evaluator.
      rounds: rounds of ask, evaluate, tell.
      seconds: wall-clock time, over all resumed parts, after which the search ends with the round or call that runs
        then, as if its rounds were over; with more, the same search goes on.
      seed: the run is a function of the parts and this.
      workdir: directory for history and checkpoints, or None to keep everything in memory.
      config: what identifies the run in `workdir` (JSON). By default the names of the parts and the seed, which
        cannot tell one tournament size from another: give your own settings where a workdir is kept.
      settings: what else belongs into `config.json` (JSON) and may differ when the run is resumed: how many rounds,
        what comes after the search.
      checkpoint_seconds: save after the first round or call that ends this long after the last save, and at the end.
      rounds_per_call: at most so many rounds are one call of one program, as many as take about half a second; the same
        search as with 1. By default 1, or 64 where all answers are known beforehand (a table).
      progress: whether to show a progress bar.
      on_round: is called for each round, after its call, with what `metrics.jsonl` has of it: `round`, `evaluations`,
        `invalid`, `best` fitness so far, that of the round (`fitness`, the mean), and `seconds` of `ask`, `evaluate`,
        `tell` (or of `call`, its share of one of several rounds), `checkpoint`, `compile` (in none of the others) and
        `total`.

    With a workdir, SIGTERM saves and ends the process (see `jaxnas.preemption`).

    Raises:
      InputError: parts that do not fit, a seed that is none, several rounds a call of a host evaluator, a metric with
        the name of one of the history's own fields, a `workdir` of another config or that cannot be written.
      CheckpointError: (a `InputError`) a damaged checkpoint.
    """
    phases, most = _phases(strategy, rounds, evaluator), at_most(evaluator, rounds_per_call)
    check.seed("seed", seed)
    if seconds is not None:
        check.real("seconds", seconds, least=0)
    config = _default_config(space, phases, evaluator, seed) if config is None else config
    alike = {**config, **(settings or {}), "seconds": seconds, "rounds_per_call": most}
    processes.assert_same_on_all_processes("config", alike)

    run, meter, totals = Workdir(workdir, space, config, settings), CompileMeter(), Totals()
    ends = np.cumsum([phase.rounds for phase in phases]).tolist()
    note = run.note or {"round": 0, "seconds": 0.0, "compiles": 0, "compile_seconds": 0.0}
    t, watch = note["round"], Stopwatch(note["seconds"])
    meter.resume(note["compiles"], note["compile_seconds"])
    if t > ends[-1]:
        raise InputError(f"rounds: {run.path} holds {t} rounds already, more than the {ends[-1]} asked for.")
    for rows in run.history.since(0):
        totals.add(rows, 0, t)
    phase = next(i for i, end in enumerate(ends) if t <= end)
    init_key, rounds_key = jax.random.split(jax.random.key(seed))
    # One program: a network's weights are hundreds of operations.
    fresh = jax.jit(evaluator.init) if evaluator.jittable else evaluator.init
    state = _init(init_key, phases[phase].strategy, evaluator._replace(init=fresh), phase)
    state = state if run.note is None else run.restore(state)
    reached = (t, state, len(run.history))  # assigned as one, so that an interrupt never sees half a call
    one_at_a_time = threading.RLock()

    def save() -> int:
        with one_at_a_time:
            step, state, history = reached
            spent = {"seconds": watch.seconds, "compiles": meter.compiles, "compile_seconds": meter.seconds}
            run.save(step, state, history, **spent)
            return step

    def leave() -> str:
        with one_at_a_time:
            step = save()
            run.flush()
            return f"saved after round {step}; the same command resumes."

    def over() -> bool:
        return seconds is not None and t > 0 and processes.from_first(lambda: watch.seconds >= seconds)

    left = np.inf if seconds is None else seconds - watch.seconds
    bar = Progress(totals, ends[-1] - t, meter, seconds=left, enabled=progress and processes.is_first())
    beside = {"meter": meter, "progress": bar, "meanwhile": run.catch_up}
    call, ended, saved = None, over(), time.perf_counter()
    try:
        with preemption.saving(leave) if run.path else contextlib.nullcontext():
            while t < ends[-1] and not ended:
                if t == ends[phase]:
                    phase, call = phase + 1, None
                    state = state.replace(strategy=_init_strategy(init_key, phases[phase].strategy, phase))
                if call is None:
                    strategy = phases[phase].strategy
                    clock, pace, call = prepare(step, strategy, evaluator, most, **beside)
                clock.start()
                count = pace.count(ends[phase] - t)
                state, (proposal, feedback) = call(rounds_key, state, t, count)
                took = clock.seconds["evaluate" if most == 1 else "call"]
                pace.took(took, count)
                where = {"first": t, "phase": phase, "seconds": took}
                rows = rows_of(space, strategy, evaluator, proposal, feedback, **where)
                run.append(rows)
                metrics = totals.add(rows, t, count)
                bar.advance(count, len(rows))
                t += count
                reached, ended = (t, state, len(run.history)), over()
                if time.perf_counter() - saved > checkpoint_seconds or t == ends[-1] or ended:
                    clock.timed("checkpoint", save)()
                    saved = time.perf_counter()
                spent = clock.stop(count)
                metrics = [{**line, "seconds": spent} for line in metrics]
                run.measure(metrics)
                for line in metrics if on_round is not None else ():
                    on_round(line)
            run.finish()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            leave()
        elif isinstance(error, Exception) and reached[0]:
            with contextlib.suppress(InputError):  # what went wrong matters more
                leave()
        raise
    finally:
        bar.close()
        run.close()

    measured = {"out_of_time": t < ends[-1], "watch": watch, "meter": meter}
    return result_of(space, phases[phase].strategy, state, run.history, totals, **measured)


def _phases(strategy: Strategy | Sequence[Phase], rounds: int | None, evaluator: Evaluator) -> list[Phase]:
    single = isinstance(strategy, Strategy)
    phases = [Phase(strategy, rounds)] if single else list(strategy)
    if not phases or (rounds is not None and not single):
        raise InputError("strategy: expected a Strategy with rounds, or a non-empty sequence of Phase without.")
    for phase in phases:
        if phase.rounds is None:
            raise InputError("rounds: expected how many; with seconds=, how many at most, 1_000_000 say.")
        check.integer("rounds", phase.rounds, least=1)
        check_pair(phase.strategy, evaluator)
    return phases


def _default_config(space: Space, phases: Sequence[Phase], evaluator: Evaluator, seed: int) -> dict:
    names = [phase.strategy.name for phase in phases]
    config = {"space": space.name, "strategy": names, "evaluator": evaluator.name, "seed": seed}
    return {**config, "rounds before the last phase": [phase.rounds for phase in phases[:-1]]}


def _init(key, strategy: Strategy, evaluator: Evaluator, phase: int) -> State:
    return State(_init_strategy(key, strategy, phase), evaluator.init(jax.random.split(key)[0]))


def _init_strategy(key, strategy: Strategy, phase: int):
    return jax.jit(strategy.init)(jax.random.fold_in(jax.random.split(key)[1], phase))
