"""What the loop itself costs: the same search from the host, with a workdir, and as one program."""

import tempfile

import jax

from jaxnas import check, evaluators, problems, spaces, strategies, tables
from jaxnas.benchmarks import neat, side_by_side
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.search import search, search_scan
from jaxnas.types import Evaluator, Space, Strategy


def measure(
    *,
    evaluations: int = 300,
    population: int = 150,
    generations: int = 60,
    rounds: int = 3,
    rounds_per_call: int | None = None,
) -> dict:
    """`search` beside `search_scan`, where evaluation is next to nothing, in rounds that alternate; compiles excluded.

    Regularized evolution, one at a time, on the table that comes with the library; and NEAT on exclusive or.

    Args:
      evaluations: of a search on the table.
      population: members of a generation of NEAT.
      generations: generations of NEAT.
      rounds: searches of each kind, after one that compiles.
      rounds_per_call: as `search` takes it; its own default unless given.

    Returns:
      `table`, with `evaluations_per_second`, and `neat`, with `ms_per_member`: each of `search` and `search_scan`
      (`median`, `rounds`), and how many times as long `search` takes.

    Raises:
      InputError: an option out of range, or that `search` does not take.
    """
    side_by_side.positive(evaluations=evaluations, generations=generations, rounds=rounds)
    check.integer("population", population, least=2)
    options = {} if rounds_per_call is None else {"rounds_per_call": rounds_per_call}
    table = _seconds(*_table_search(), evaluations, rounds, options)
    grown = _seconds(*neat.parts(problems.xor(), population), generations, rounds, options)
    rates = {how: [evaluations / s for s in seconds] for how, seconds in table.items()}
    ms = {how: [1e3 * s / generations / population for s in seconds] for how, seconds in grown.items()}
    return {
        "table": {"evaluations_per_second": _summaries(rates), "times_as_long": _times(table)},
        "neat": {"ms_per_member": _summaries(ms), "times_as_long": _times(grown)},
    }


def _table_search() -> tuple[Space, Strategy, Evaluator]:
    space = spaces.nasbench201()
    table = tables.load(tables.embedded("nasbench201_digits"))
    losses = table.by_genome("validation_loss")
    evaluator = evaluators.table(space, -losses, budgets=table.column("validation_loss").budgets)
    return space, strategies.regularized_evolution(space, population_size=50, tournament_size=10), evaluator


def _seconds(space: Space, strategy: Strategy, evaluator: Evaluator, length: int, rounds: int, options: dict) -> dict:
    """`search`, `search_scan` -> `[rounds]` seconds of a search of `length` rounds, each in a new workdir."""
    scan = jax.jit(search_scan(strategy, evaluator, length, record=lambda record: record.feedback.fitness))

    def from_the_host(i: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            there = {"workdir": folder, "progress": False, **options}
            return timed(lambda: search(space, strategy, evaluator, rounds=length, **there).fitness)[0]

    runs = {"search": from_the_host, "search_scan": lambda i: timed(scan, jax.random.key(0))[0]}
    for run in runs.values():
        run(0)  # compiles
    return side_by_side.alternate(rounds, runs)


def _summaries(figures: dict[str, list[float]]) -> dict[str, dict]:
    return {how: side_by_side.summary(rounds) for how, rounds in figures.items()}


def _times(seconds: dict[str, list[float]]) -> float:
    return side_by_side.ratio(seconds["search"], seconds["search_scan"])
