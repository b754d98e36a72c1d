"""Generations of NEAT, beside neat-python and TensorNEAT where they are installed."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from jaxnas import check, evaluators, networks, problems, spaces, strategies
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.neat_peers import CONNECTIONS, HIDDEN, PEERS, STEPS
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.search import State, step
from jaxnas.types import Evaluator, Space, Strategy

PROBLEMS = {"xor": problems.xor, "pole": partial(problems.cart_pole, 1, random=True, steps=STEPS)}


def measure(
    *,
    population: int = 1000,
    generations: int = 60,
    blocks: int = 6,
    problems: Sequence[str] = tuple(PROBLEMS),
    peers: Sequence[str] = tuple(PEERS),
) -> dict:
    """Generations, without compiles, in blocks of which ours and the peers' alternate.

    Each goes on with its own population. A block of ours is one program, as in `search_scan`. All balance the same
    pole, from random starts and for 500 steps at most, and score exclusive or on the same four examples; rates of
    mutation are each one's own.

    Args:
      population: members of a generation.
      generations: generations timed, after a block of others.
      blocks: in so many turns.
      problems: which problems: xor, pole.
      peers: beside which others: neat-python, tensorneat.

    Returns:
      `problems`, for each `ours` and the peers: `ms_per_generation` (`median`, and in `rounds` that of each block),
      `times_as_long_as_ours`, the mean fitness after each block, seconds of the first, with what it compiles; `absent`,
      why a peer was left out.

    Raises:
      InputError: an option out of range, an unknown problem or peer.
    """
    side_by_side.positive(generations=generations, blocks=blocks)
    check.integer("population", population, least=2)
    for name in problems:
        check.one_of("problems", name, PROBLEMS)
    for name in peers:
        check.one_of("peers", name, PEERS)
    per_block, absent, figures = max(1, generations // blocks), {}, {}
    with warnings.catch_warnings(action="ignore"):  # those of the peers
        for name in problems:
            problem, runs = PROBLEMS[name](), {}
            for title, begin in {"ours": _ours, **{peer: PEERS[peer] for peer in peers}}.items():
                try:
                    runs[title] = begin(problem, population, 0)
                except ImportError as error:
                    absent[title] = str(error)
            figures[name] = _in_turns(runs, per_block, blocks)
    return {"problems": figures, "absent": absent}


def _in_turns(runs: dict[str, Callable[[int], float]], per_block: int, blocks: int) -> dict[str, dict]:
    """Figures of each of `runs`, functions `number of generations -> mean fitness of the last`."""
    first = {title: timed(run, per_block)[0] for title, run in runs.items()}
    took = side_by_side.alternate(
        blocks, {title: lambda i, run=run: timed(run, per_block) for title, run in runs.items()}
    )
    ms = {title: [1e3 * seconds / per_block for seconds, _ in turns] for title, turns in took.items()}
    return {
        title: {
            "ms_per_generation": side_by_side.summary(ms[title]),
            "times_as_long_as_ours": side_by_side.ratio(ms[title], ms["ours"]),
            "mean_fitness": [fitness for _, fitness in took[title]],
            "first_block_seconds": first[title],
        }
        for title in runs
    }


def parts(problem: problems.Problem, population: int) -> tuple[Space, Strategy, Evaluator]:
    """What a search by NEAT is made of."""
    space = spaces.graph(problem.inputs, problem.outputs, hidden=HIDDEN, connections=CONNECTIONS)
    evaluator = evaluators.direct(problem.fitness, network=networks.GraphNetwork())
    return space, strategies.neat(space, proposals=population), evaluator


def _ours(problem: problems.Problem, population: int, seed: int) -> Callable[[int], float]:
    _, strategy, evaluator = parts(problem, population)
    one, key = step(strategy, evaluator), jax.random.key(seed)

    @partial(jax.jit, static_argnums=2)
    def run(state, t, count):
        def body(state, t):
            state, record = one(jax.random.fold_in(key, t), state)
            return state, record.feedback.fitness.mean()

        return jax.lax.scan(body, state, t + jnp.arange(count))

    state, t = State(strategy.init(key), ()), 0

    def generations(count: int) -> float:
        nonlocal state, t
        state, fitness = run(state, t, count)
        t += count
        return float(fitness[-1])

    return generations
