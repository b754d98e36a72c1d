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
from tqdm import tqdm

from jaxnas import check, preemption, processes
from jaxnas.check import InputError
from jaxnas.population import CompileMeter, over_population
from jaxnas.types import Evaluator, Feedback, Genome, Proposal, Space, Strategy, population_of, usable
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


class Result(NamedTuple):
    """What a search found.

    Attributes:
      architecture: the recommended genome as a string.
      genome: the recommended genome.
      fitness: its best recorded fitness, of the last phase and largest budget; None if never evaluated as such.
      cost: `{name: value}` at that evaluation.
      evaluations: members evaluated, invalid ones included.
      invalid: members that failed or diverged.
      refused: mutations that found no room in their genome; 0 for spaces where there always is.
      history: a dict for each evaluation (`pandas.DataFrame(result.history)`).
      wall_seconds: over all resumed parts, as the next two.
      compile_seconds: seconds spent in XLA compiles (reads of the compilation cache included).
      xla_compiles: number of those compiles.
      state: the final `State`.
    """

    architecture: str
    genome: Genome
    fitness: float | None
    cost: dict[str, float]
    evaluations: int
    invalid: int
    refused: int
    history: list[dict]
    wall_seconds: float
    compile_seconds: float
    xla_compiles: int
    state: State


def check_pair(strategy: Strategy, evaluator: Evaluator) -> None:
    """Raises `InputError` where the two do not fit, naming what is missing."""
    missing = strategy.needs - evaluator.gives
    if missing:
        raise InputError(
            f"strategy {strategy.name!r} needs {', '.join(sorted(missing))}, which evaluator {evaluator.name!r} does "
            f"not give (it gives {', '.join(sorted(evaluator.gives))})."
        )
    if strategy.cost_names and strategy.cost_names != evaluator.cost_names:
        raise InputError(
            f"strategy {strategy.name!r} expects costs {', '.join(strategy.cost_names)}; evaluator {evaluator.name!r} "
            f"gives {', '.join(evaluator.cost_names)}."
        )
    missing = evaluator.needs - strategy.gives
    if missing:
        hint = " Give the strategy budget=STEPS, training steps for each candidate." if "budget" in missing else ""
        raise InputError(
            f"evaluator {evaluator.name!r} needs proposals with {', '.join(sorted(missing))}, which strategy "
            f"{strategy.name!r} does not give.{hint}"
        )


def step(strategy: Strategy, evaluator: Evaluator) -> Callable[[chex.PRNGKey, State], tuple[State, Record]]:
    """One round as a function `(key, state) -> (state, record)`, pure where the evaluator is jittable."""

    def run(key, state):
        # Not a split: of these, jit drops what is not used, and each is one block of random bits.
        ask_key, evaluate_key, tell_key = (jax.random.fold_in(key, i) for i in range(3))
        proposal, asked = strategy.ask(ask_key, state.strategy)
        feedback, evaluated = evaluator.evaluate(evaluate_key, state.evaluator, proposal)
        _check_feedback(proposal, feedback, evaluator)
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
    seed: int = 0,
    workdir: str | None = None,
    config: dict | None = None,
    settings: dict | None = None,
    checkpoint_seconds: float = 10.0,
    progress: bool = True,
    on_round: Callable[[dict], None] | None = None,
) -> Result:
    """Runs a search from the host, and resumes it where `workdir` holds an unfinished one.

    Args:
      space: what the genomes mean, for the history.
      strategy: a strategy, run for `rounds`; or a sequence of `Phase`.
      evaluator: any evaluator.
      rounds: rounds of ask, evaluate, tell.
      seed: the run is a function of the parts and this.
      workdir: directory for history and checkpoints, or None to keep everything in memory.
      config: what identifies the run in `workdir` (JSON). By default the names of the parts and the seed, which
        cannot tell one tournament size from another: give your own settings where a workdir is kept.
      settings: what else belongs into `config.json` (JSON) and may differ when the run is resumed: how many rounds,
        what comes after the search.
      checkpoint_seconds: save after the first round that ends this long after the last save, and after the last.
      progress: whether to show a progress bar.
      on_round: is called after each round with what `metrics.jsonl` has of it: `round`, `evaluations`, `invalid`,
        `best` fitness so far, that of the round (`fitness`, the mean), and `seconds` of `ask`, `evaluate`, `tell`,
        `checkpoint`, `compile` (in none of the others) and `total`.

    With a workdir, SIGTERM saves and ends the process (see `jaxnas.preemption`).

    Raises:
      InputError: parts that do not fit, a seed that is none, a metric with the name of one of the history's own fields,
        a `workdir` of another config or that cannot be written.
      CheckpointError: (a `InputError`) a damaged checkpoint.
    """
    single = isinstance(strategy, Strategy)
    phases = [Phase(strategy, rounds)] if single else list(strategy)
    if not phases or (rounds is not None and not single):
        raise InputError("strategy: expected a Strategy with rounds, or a non-empty sequence of Phase without.")
    check.seed("seed", seed)
    for phase in phases:
        check.integer("rounds", phase.rounds, least=1)
        check_pair(phase.strategy, evaluator)
    if config is None:
        names = [phase.strategy.name for phase in phases]
        config = {"space": space.name, "strategy": names, "evaluator": evaluator.name, "seed": seed}
        config["rounds before the last phase"] = [phase.rounds for phase in phases[:-1]]

    processes.agree("config", {**config, **(settings or {})})
    run = Workdir(workdir, config, settings)
    meter, start, spent = CompileMeter(), time.perf_counter(), 0.0
    ends = np.cumsum([phase.rounds for phase in phases]).tolist()
    init_key, rounds_key = jax.random.split(jax.random.key(seed))
    t = begin = 0
    if run.note is not None:
        t, spent = run.note["round"], run.note["seconds"]
        meter.resume(run.note["compiles"], run.note["compile_seconds"])
        if t > ends[-1]:
            raise InputError(f"rounds: {run.path} holds {t} rounds already, more than the {ends[-1]} asked for.")
        begin = next(i for i, end in enumerate(ends) if t <= end)
    # One program: a network's weights are hundreds of operations.
    fresh = jax.jit(evaluator.init) if evaluator.jittable else evaluator.init
    state = _init(init_key, phases[begin].strategy, evaluator._replace(init=fresh), begin)
    if run.note is not None:
        state = run.restore(state)
    reached = (t, state, len(run.history))  # assigned as one, so that an interrupt never sees half a round
    one_at_a_time = threading.RLock()

    def save() -> int:
        with one_at_a_time:
            step, state, history = reached
            seconds = spent + time.perf_counter() - start
            run.save(step, state, history, seconds=seconds, compiles=meter.compiles, compile_seconds=meter.seconds)
            return step

    def leave() -> str:
        with one_at_a_time:
            step = save()
            run.flush()
            return f"saved after round {step}; the same command resumes."

    bar, saved = _Progress(run.history, ends[-1] - t, progress and processes.is_first()), time.perf_counter()
    try:
        with preemption.saving(leave) if run.path else contextlib.nullcontext():
            for number, (phase, end) in enumerate(zip(phases, ends, strict=True)):
                if number < begin:
                    continue
                if number > begin:
                    state = state.replace(strategy=_init_strategy(init_key, phase.strategy, number))
                clock = _Clock(meter)
                one = step(*_on_host(phase.strategy, evaluator, clock))
                for t in range(reached[0], end):
                    clock.start()
                    state, record = one(jax.random.fold_in(rounds_key, t), state)
                    record = jax.tree.map(np.asarray, record)
                    lines = list(_lines(space, phase.strategy, evaluator, record, t, number, clock.seconds["evaluate"]))
                    run.append(lines)
                    reached = (t + 1, state, len(run.history))
                    bar.advance(lines, ends[-1] - t - 1)
                    if time.perf_counter() - saved > checkpoint_seconds or t + 1 == ends[-1]:
                        clock.timed("checkpoint", save)()
                        saved = time.perf_counter()
                    metrics = {"round": t, **bar.metrics(), "seconds": clock.stop()}
                    run.measure(metrics)
                    if on_round is not None:
                        on_round(metrics)
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

    genome = jax.tree.map(np.asarray, jax.jit(phases[-1].strategy.recommend)(state.strategy))
    architecture = space.to_string(genome)
    same = [h for h in run.history if h["architecture"] == architecture and h["valid"] and not h["relaxed"]]
    best = max(same, key=lambda h: (h["phase"], h["budget"], h["fitness"]), default={"fitness": None, "cost": {}})
    return Result(
        architecture=architecture,
        genome=genome,
        fitness=best["fitness"],
        cost=best["cost"],
        evaluations=len(run.history),
        invalid=sum(not line["valid"] for line in run.history),
        refused=bar.refused,
        history=run.history,
        wall_seconds=spent + time.perf_counter() - start,
        compile_seconds=meter.seconds,
        xla_compiles=meter.compiles,
        state=state,
    )


def _init(key, strategy: Strategy, evaluator: Evaluator, phase: int) -> State:
    return State(_init_strategy(key, strategy, phase), evaluator.init(jax.random.split(key)[0]))


def _init_strategy(key, strategy: Strategy, phase: int):
    return jax.jit(strategy.init)(jax.random.fold_in(jax.random.split(key)[1], phase))


class _Clock:
    """Seconds of a round, by what they went into; compiles count for themselves."""

    def __init__(self, meter: CompileMeter):
        self._meter = meter
        self.start()

    def start(self) -> None:
        self.seconds = dict.fromkeys(("ask", "evaluate", "tell", "checkpoint"), 0.0)
        self._began, self._compiled = time.perf_counter(), self._meter.seconds

    def timed(self, part: str, fn: Callable) -> Callable:
        def run(*args):
            begin, compiling = time.perf_counter(), self._meter.seconds
            out = jax.block_until_ready(fn(*args))
            self.seconds[part] += time.perf_counter() - begin - (self._meter.seconds - compiling)
            return out

        return run

    def stop(self) -> dict[str, float]:
        whole = {"compile": self._meter.seconds - self._compiled, "total": time.perf_counter() - self._began}
        return {name: round(seconds, 6) for name, seconds in {**self.seconds, **whole}.items()}


def _on_host(strategy: Strategy, evaluator: Evaluator, clock: _Clock) -> tuple[Strategy, Evaluator]:
    """The parts jitted where they can be, and timed."""
    whole = processes.everywhere()  # every process sees all of the feedback
    jitted = jax.jit(evaluator.evaluate, out_shardings=whole) if evaluator.jittable else evaluator.evaluate
    evaluate = clock.timed("evaluate", jitted)

    def read(*args):
        feedback, state = evaluate(*args)
        # On the host, so that the strategy's state never takes over the evaluator's sharding, and with it a compile.
        return jax.tree.map(np.asarray, feedback), state

    ask, tell = (clock.timed(name, jax.jit(getattr(strategy, name))) for name in ("ask", "tell"))
    return strategy._replace(ask=ask, tell=tell), evaluator._replace(evaluate=read)


RESERVED = (
    *("id", "parent", "round", "phase", "genome", "architecture", "fitness", "cost", "valid", "relaxed", "budget"),
    *("seconds", "curvature", "refused"),
)
"""Fields that a line of the history has itself."""


def _check_feedback(proposal: Proposal, feedback: Feedback, evaluator: Evaluator) -> None:
    taken = sorted(set(feedback.metrics) & set(RESERVED))
    if taken:
        raise InputError(
            f"evaluator {evaluator.name!r}: a metric cannot be called {', '.join(map(repr, taken))}, a field that the "
            f"history has itself; neither can {', '.join(name for name in RESERVED if name not in taken)}."
        )
    P, K = population_of(proposal), len(evaluator.cost_names)
    for name, shape in {"fitness": (P,), "valid": (P,), "cost": (P, K)}.items():
        got = np.shape(getattr(feedback, name))
        if got != shape:
            raise InputError(f"evaluator {evaluator.name!r}: expected {name} of shape {shape}, got {got}.")


def _lines(space: Space, strategy: Strategy, evaluator: Evaluator, record: Record, t: int, phase: int, seconds: float):
    proposal, feedback = record
    active = np.flatnonzero(proposal.active)
    for i in active:
        genome = jax.tree.map(lambda leaf: leaf[i], proposal.genome)  # noqa: B023 used at once
        yield {
            "id": int(proposal.id[i]),
            "parent": [int(p) for p in proposal.parent[i]],
            "round": t,
            "phase": phase,
            "genome": plain(genome) if isinstance(genome, np.ndarray) else None,  # else the string is all of it
            "architecture": space.to_string(genome),
            "fitness": _number(feedback.fitness[i]),
            "cost": {name: _number(c) for name, c in zip(evaluator.cost_names, feedback.cost[i], strict=True)},
            "valid": bool(feedback.valid[i]),
            "relaxed": proposal.weights is not None,
            "budget": int(proposal.budget[i]),
            "seconds": seconds / len(active),
            **({} if feedback.curvature is None else {"curvature": _number(feedback.curvature[i])}),
            **({} if space.refused is None else {"refused": int(space.refused(genome))}),
            **{name: plain(proposal.extra[name][i]) for name in strategy.recorded},
            **{name: plain(value[i]) for name, value in feedback.metrics.items() if not _unsaid(value[i])},
        }


def plain(tree: Any) -> Any:
    """Arrays as JSON has them: nested lists, None for what is not finite, text, a dict for a pytree of several."""
    if isinstance(tree, str):
        return str(tree)
    if isinstance(tree, (np.ndarray, np.generic)):
        return _number(tree) if tree.ndim == 0 else [plain(part) for part in tree]
    return {
        jax.tree_util.keystr(path).lstrip("."): plain(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def _unsaid(value: Any) -> bool:
    """Whether it is an empty text: no message of that member."""
    return isinstance(value, str) and not value


def _number(value) -> float | int | bool | None:
    value = value.item()
    return value if np.isfinite(value) else None


class _Progress:
    """The bar: evaluations, best fitness so far, architectures per second, time left."""

    def __init__(self, history: list[dict], rounds_left: int, enabled: bool):
        self._best, self._invalid, self._evaluations, self._last = float("nan"), 0, 0, []
        self.refused, self._refused_of = 0, {}
        self._bar = tqdm(
            initial=len(history),
            total=len(history) + rounds_left,
            unit=" architectures",
            disable=not enabled,
            dynamic_ncols=True,
            bar_format="{desc}{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left{postfix}",
            smoothing=0.1,
        )
        self._count(history)

    def advance(self, lines: list[dict], rounds_left: int) -> None:
        self._count(lines)
        if self._bar.disable:
            return
        self._bar.total = self._bar.n + len(lines) + rounds_left * max(len(lines), 1)
        self._bar.set_postfix_str(
            f"best {self._best:.4f}"
            + (f", {self._invalid} invalid" if self._invalid else "")
            + (f", {self.refused} mutations without room" if self.refused else ""),
            refresh=False,
        )
        self._bar.update(len(lines))

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()

    def _count(self, lines: list[dict]) -> None:
        self._best = np.fmax.reduce([self._best, *(line["fitness"] for line in lines if line["valid"])])
        self._invalid += sum(not line["valid"] for line in lines)
        self._evaluations += len(lines)
        self._last = [line["fitness"] for line in lines if line["valid"]]
        for line in lines:
            if "refused" in line:  # by its line of descent; here by birth
                before = self._refused_of.get((line["phase"], line["parent"][0]), 0)
                self.refused += line["refused"] - before
                self._refused_of[line["phase"], line["id"]] = line["refused"]

    def metrics(self) -> dict[str, float | int | None]:
        """Of the search up to now, and of the last round."""
        best, fitness = float(self._best), float(np.mean(self._last)) if self._last else float("nan")
        return {
            "evaluations": self._evaluations,
            "invalid": self._invalid,
            "best": best if np.isfinite(best) else None,
            "fitness": fitness if np.isfinite(fitness) else None,
        }
