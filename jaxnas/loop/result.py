"""What a search found."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.loop.clock import Stopwatch
from jaxnas.loop.history import History
from jaxnas.loop.totals import Totals
from jaxnas.population import CompileMeter
from jaxnas.types import Genome, Space, Strategy


class Result(NamedTuple):
    """What a search found.

    Attributes:
      architecture: the recommended genome as a string.
      genome: the recommended genome.
      fitness: its best recorded fitness, of the last phase and largest budget; None if never evaluated as such.
      cost: `{name: value}` at that evaluation.
      evaluations: members evaluated, invalid ones included.
      invalid: members that failed or diverged.
      overflow: structural mutations dropped because a genome's fixed capacity was full.
      history: all evaluations, a sequence of dicts (`pandas.DataFrame(result.history)`) and columns of arrays.
      out_of_time: whether `seconds` ended it before its rounds were over.
      wall_seconds: over all resumed parts, as the next two.
      compile_seconds: seconds spent in XLA compiles (reads of the compilation cache included).
      xla_compiles: number of those compiles.
      state: the final `search.State`.
    """

    architecture: str
    genome: Genome
    fitness: float | None
    cost: dict[str, float]
    evaluations: int
    invalid: int
    overflow: int
    history: History
    out_of_time: bool
    wall_seconds: float
    compile_seconds: float
    xla_compiles: int
    state: Any


def result_of(
    space: Space,
    strategy: Strategy,
    state: Any,
    history: History,
    totals: Totals,
    *,
    out_of_time: bool,
    watch: Stopwatch,
    meter: CompileMeter,
) -> Result:
    """What the strategy recommends in that state of the search, and what the history knows of it."""
    genome = jax.tree.map(np.asarray, jax.jit(strategy.recommend)(state.strategy))
    fitness, cost = _recorded(history, genome)
    return Result(
        architecture=space.to_string(genome),
        genome=genome,
        fitness=fitness,
        cost=cost,
        evaluations=totals.evaluations,
        invalid=totals.invalid,
        overflow=totals.overflow,
        history=history,
        out_of_time=out_of_time,
        wall_seconds=watch.seconds,
        compile_seconds=meter.seconds,
        xla_compiles=meter.compiles,
        state=state,
    )


def _recorded(history: History, genome: Genome) -> tuple[float | None, dict[str, float]]:
    """Fitness and cost of the best evaluation of that genome, of the last phase and largest budget."""
    same = np.flatnonzero(history.same(genome) & history.column("valid") & ~history.column("relaxed"))
    if not len(same):
        return None, {}
    best = max(same, key=lambda i: tuple(history.column(name)[i] for name in ("phase", "budget", "fitness")))
    line = history[best]
    return line["fitness"], line["cost"]
