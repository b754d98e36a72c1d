"""Strategies × seeds × budget on a table: anytime curves, regret, hits of the optimum, ranks, significance, speed."""

import ast
import importlib.resources
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, plots, statistics, tables
from jaxnas.analysis.measures import measured
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.lookup import load_table, space_from_table
from jaxnas.config.start import only_random
from jaxnas.config.wiring import make_strategy
from jaxnas.loop.compatibility import check_pair
from jaxnas.machine import environment
from jaxnas.search import search_many
from jaxnas.types import Evaluator, Space, Strategy
from jaxnas.workdir import write, writing

PUBLISHED = importlib.resources.files("jaxnas.tables") / "embedded" / "published.json"
LEVELS = (1, 2, 3, 5)
"""Curves are reported at these, times powers of ten."""
SHOWN = (10, 30, 100, 300, 1000)
"""Printed, and tested for significance, as is the end."""


class Searches(NamedTuple):
    """All searches of one strategy; arrays are `[seeds, members]`, `costs` with an axis K more.

    See `statistics.incumbents`.
    """

    fitness: np.ndarray
    value: np.ndarray
    costs: np.ndarray | None
    test: np.ndarray | None
    spent: np.ndarray
    seconds: float
    compile_seconds: float


def compare(
    workdir: str | pathlib.Path | None = None,
    *,
    table: str = "nasbench201_digits",
    space: str = "",
    metric: str = "validation_loss",
    noise: str = "mean",
    test_metric: str = "",
    strategies: str = "random_search,regularized_evolution,local_search,mcts,hyperband,"
    "reinforce(seeds=200),ppo(seeds=200),bananas(seeds=200)",
    seeds: int = 1000,
    evaluations: int = 300,
    continued: bool = False,
    population_size: int = 50,
    tournament_size: int = 10,
    limit_seconds: float = 0.0,
    costs: str = "",
    reference_point: Mapping[str, float] | None = None,
    objective: Mapping[str, Any] | None = None,
    published: str = "",
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compares strategies on a table; all searches of one strategy are one XLA program, split over the devices.

    With costs, searches are measured by the share of the true front's hypervolume that they have found. With an
    objective besides, strategies see that in place of the metric, and are measured by the best metric within the
    objective's target.

    Args:
      workdir: gets compare.json and compare.png; without one nothing is written.
      table: a file (see the program `import_table`), or the name of an embedded table.
      space: of a table of your own code, "package.module:function": nothing that a file alone names is run.
      metric: the column that strategies see.
      noise: "mean" over its trainings, or "random" for one of them drawn each time.
      test_metric: a column that they do not see, reported of what each would have recommended; "" for none.
      strategies: names, with arguments where they should differ from the defaults: "local_search,mcts(seeds=50)".
      seeds: searches of each.
      evaluations: of each search, in trainings of the largest budget.
      continued: whether a training with more steps goes on where the same network's stopped, so that only further
        steps count; for a table of learning curves. By default each training is made from the beginning.
      population_size: of strategies that have one.
      tournament_size: likewise.
      limit_seconds: stop a search once the trainings it asked for would have taken so long; 0 for no limit.
      costs: columns of costs, separated by commas: strategies are then measured by the front that they find.
      reference_point: from where its hypervolume is measured, "fitness" and costs; the worst in the table by default.
      objective: fitness and a cost as one number, a dict with a name.
      published: draw published results, BENCHMARK/DATASET/SPLIT.
      seed: of all randomness.
      say: is told each strategy's figures as they come.

    Returns:
      What compare.json holds: `strategies: {name: {curve: {"100": {mean, stderr}}, hit_rate, …}}`, ranks, differences.

    Raises:
      InputError: an unknown table, column, strategy or argument; a number out of its range.
    """
    config = {name: value for name, value in locals().items() if name not in ("workdir", "say")}
    check.seed("config.seed", seed)
    for name in ("seeds", "evaluations"):
        check.integer(f"config.{name}", config[name], least=2)
    opened = load_table(table)
    searched = space_from_table(opened, space)
    column = opened.column(metric)
    others = _published(published)
    evaluator, measure = measured(opened, searched, config)
    chosen, notes = _strategies(config, searched, column, evaluator, say)
    sign, truth, optimum = measure.sign, measure.truth, float(np.nanmax(measure.truth))
    at = [level * 10**power for power in range(9) for level in LEVELS]
    at = sorted({*(n for n in at if n < config["evaluations"]), config["evaluations"]})
    say(
        f"{opened.name}, {measure.name} ({measure.genomes:,} of {searched.size:,} genomes; "
        f"the best reaches {sign * optimum:.6g}); {config['evaluations']} evaluations"
    )
    every = np.arange(1, config["evaluations"] + 1)
    rows, curves = {}, {}
    for name, (strategy, seeds) in chosen.items():
        found = _searched(strategy, evaluator, config, seeds, max(column.budgets))
        fitness, value = measure.of(found.fitness, found.value, found.costs)
        best = statistics.incumbents(fitness, value, found.spent, every)
        curves[name], evaluations = best, int((np.diff(found.spent, prepend=0) > 0).sum())
        rows[name] = {
            "curve": _points(sign * best[:, np.array(at) - 1], at),
            "regret": _points(optimum - best[:, np.array(at) - 1], at),
            "hit_rate": float((best[:, -1] >= optimum).mean()),
            "within_1_percent": float((optimum - best[:, -1] <= 0.01 * abs(optimum)).mean()),
            "seeds": seeds,
            "evaluations": evaluations,
            "evaluations_per_second": evaluations / found.seconds,
            "seconds": found.seconds,
            "compile_seconds": found.compile_seconds,
            **({"note": notes[name]} if notes[name] else {}),
        }
        if found.test is not None:
            rows[name]["test"] = _points(statistics.incumbents(fitness, found.test, found.spent, at), at)
        say(_line(name, rows[name], at))
        if notes[name]:
            say(f"    {notes[name]}")

    common = min(len(best) for best in curves.values())
    worst = np.nanmin(truth)  # for those without a result yet
    results = {n: {name: np.nan_to_num(best[:, n - 1], nan=worst) for name, best in curves.items()} for n in at}
    ranks = {n: statistics.ranks({k: v[:common] for k, v in reached.items()}) for n, reached in results.items()}
    pairs = {n: statistics.differences(results[n]) for n in at if n in SHOWN or n == at[-1]}
    result = {
        "strategies": rows,
        "measure": measure.name,
        "optimum": sign * optimum,
        **measure.about,
        "ranks": {str(n): r for n, r in ranks.items()},
        "ranked_seeds": common,
        "differences": {
            str(n): [{"a": a, "b": b, **d._asdict(), "significant": d.significant} for (a, b), d in found.items()]
            for n, found in pairs.items()
        },
        "config": config,
        **environment(),
    }
    if len(curves) > 1:
        say(_significance(pairs, ranks))
    if workdir is not None:
        folder = check.local_path("workdir", workdir)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / "compare.json", json.dumps(result, indent=2))
            plots.comparison(
                {name: sign * best for name, best in curves.items()},
                folder / "compare.png",
                optimum=sign * optimum,
                ranks=ranks,
                ylabel=measure.label,
                published=others,
            )
        say(f"compare.json and compare.png are in {relative(folder)}")
    return result


def _strategies(config: Mapping[str, Any], space: Space, column: tables.Column, evaluator: Evaluator, say: Callable):
    """name as given -> (strategy, seeds), with the settings of the table and of the config where they are taken.

    And name -> what there is to say of it, or nothing.
    """
    defaults = {
        "population_size": config["population_size"],
        "tournament_size": config["tournament_size"],
        "min_budget": column.budgets[0],
        "max_budget": column.budgets[-1],
        "capacity": config["evaluations"],
    }
    chosen: dict[str, tuple[Strategy, int]] = {}
    notes: dict[str, str] = {}
    for name, arguments in calls(config["strategies"]):
        seeds = arguments.pop("seeds", config["seeds"])
        check.integer("config.strategies, seeds", seeds, least=2)
        label = name + (f"({', '.join(f'{k}={v}' for k, v in arguments.items())})" if arguments else "")
        if label in chosen:
            raise InputError(f"config.strategies: {label} is there twice.")
        check.one_of("config.strategies", name, registry.known("strategy"))
        taken = registry.parameters(registry.entry("strategy", name).factory)
        if len(column.budgets) == 1 and "min_budget" in taken:
            say(f"{label}: left out, it needs several budgets and column {config['metric']!r} has one")
            continue
        filled = {k: v for k, v in defaults.items() if k in taken}
        filled = {"name": name, **filled, **arguments}
        try:
            strategy = make_strategy(filled, space, evaluator)
        except InputError as error:
            raise InputError(f"config.strategies, {label}: {error}") from error
        check_pair(strategy, evaluator)
        chosen[label] = (strategy, seeds)
        notes[label] = only_random(filled, config["evaluations"])
    if not chosen:
        raise InputError(f"config.strategies: nothing to run of {config['strategies']!r}.")
    return chosen, notes


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    """`a,b(x=1)` -> `[("a", {}), ("b", {"x": 1})]`; nothing is evaluated but literals."""
    example = "expected names separated by commas, like random_search,regularized_evolution(population_size=20)"
    try:
        tree = ast.parse(f"[{text}]", mode="eval").body
        return [
            (item.id, {})
            if isinstance(item, ast.Name)
            else (item.func.id, {k.arg: ast.literal_eval(k.value) for k in item.keywords})
            for item in tree.elts
        ]
    except (SyntaxError, ValueError, AttributeError):
        raise InputError(f"config.strategies: {example}; got {text!r}.") from None


def _searched(strategy: Strategy, evaluator: Evaluator, config: Mapping[str, Any], seeds: int, full: int) -> Searches:
    P = jax.eval_shape(lambda key: strategy.ask(key, strategy.init(key))[0].id, jax.random.key(0)).shape[0]
    honours = {"budget"} <= evaluator.gives & strategy.gives

    def share(proposal):
        """`[P]` cost of each member, in trainings of the largest budget."""
        whole = (proposal.budget == 0) | (not honours)
        return proposal.active * jnp.where(whole, 1.0, proposal.budget / full)

    def record(r):
        cost, (fitness, metrics) = share(r.proposal), (r.feedback.fitness, r.feedback.metrics)
        # What strategies saw is what a genome truly reaches, unless seeds are drawn or the budget was lower.
        kept = {"fitness": jnp.where(r.feedback.valid & (cost >= 1), fitness, jnp.nan)}
        kept |= {name: metrics[name] for name in ("value", "test") if name in metrics}
        kept |= {"costs": r.feedback.cost} if evaluator.cost_names else {}
        return kept | ({} if P == 1 and not honours else trained(r))

    def trained(r):
        """What each member took, and of whom it goes on."""
        return {"share": share(r.proposal), "id": r.proposal.id, "parent": r.proposal.parent[:, 0]}

    def spending(made):
        """`[seeds, members]` what was spent by then."""
        own, id, parent = (np.asarray(made[name]).reshape(len(made["id"]), -1) for name in ("share", "id", "parent"))
        return np.cumsum(own - _done_before(own, id, parent) if config["continued"] else own, 1)

    rounds = -(-config["evaluations"] // P)
    if honours:  # as many as the most frugal of a few searches needs
        rounds, short = 64, True
        while short:
            rounds *= 2
            probe = search_many(strategy, evaluator, rounds, min(seeds, 32), record=trained)
            spent = spending(jax.jit(probe)(jax.random.key(0))[1])
            short = spent[:, -1].min() < config["evaluations"]
        enough = (spent < config["evaluations"] * (1 - 1e-6)).sum(1).max()
        margin = 1.05 if (spent != spent[0]).any() else 1.0
        rounds = int(margin * enough) // P + 1
    program = search_many(strategy, evaluator, rounds, seeds, record=record)
    begin = time.perf_counter()
    compiled = jax.jit(lambda key: program(key)[1]).lower(jax.random.key(0)).compile()
    compile_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    records = jax.block_until_ready(compiled(jax.random.key(config["seed"])))
    seconds = time.perf_counter() - begin
    costs = records.pop("costs", None)
    spent = spending(records) if "share" in records else np.arange(1.0, 1 + records["fitness"][0].size)[None]
    kept = {name: np.asarray(leaf).reshape(seeds, -1) for name, leaf in records.items()}
    fitness = kept["fitness"]
    return Searches(
        fitness=fitness,
        value=kept.get("value", fitness),
        costs=None if costs is None else np.asarray(costs).reshape(*fitness.shape, -1),
        test=kept.get("test"),
        spent=np.broadcast_to(spent, fitness.shape),
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def _done_before(share: np.ndarray, id: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """`[seeds, members]` what those took that a member goes on from: its parent, where that was trained for less."""
    rows = np.arange(len(share))[:, None]
    by_id = np.zeros((len(share), int(id.max()) + 1))
    np.maximum.at(by_id, (rows, id), share)  # of padding the id is that of a later member, its share 0
    before = np.where(parent >= 0, by_id[rows, np.maximum(parent, 0)], 0)
    return np.where(before < share, before, 0)


def _points(values: np.ndarray, at: list[int]) -> dict[str, dict[str, float]]:
    """`{"100": {"mean": …, "stderr": …}}`, of the seeds that have a result by then; without those that none has."""
    points = {}
    for n, column in zip(at, values.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known):
            points[str(n)] = {"mean": float(known.mean()), "stderr": float(known.std() / np.sqrt(len(known)))}
    return points


def _line(name: str, row: Mapping[str, Any], at: list[int]) -> str:
    cells = []
    for n in (n for n in at if n in SHOWN or n == at[-1]):
        point = row["curve"].get(str(n))
        cells.append(f"{n}: {point['mean']:.4f} ± {point['stderr']:.4f}" if point else f"{n}: -")
    speed = f"{row['evaluations_per_second']:,.0f} evaluations/s (compile {row['compile_seconds']:.1f} s)"
    return f"  {name}: {', '.join(cells)}; hit {row['hit_rate']:.1%} of {row['seeds']} seeds; {speed}"


def _significance(pairs: Mapping, ranks: Mapping) -> str:
    """Which strategy is above which at the 5 % level, all pairs corrected for; figures are in compare.json."""
    lines = []
    for n, found in pairs.items():
        lines.append(f"after {n}:")
        below: dict[str, list[str]] = {name: [] for name in sorted(ranks[n], key=ranks[n].get)}
        for (a, b), d in found.items():
            if d.significant:
                below[a if d.mean > 0 else b].append(b if d.mean > 0 else a)
        for name, worse in below.items():
            beats = f", significantly above {', '.join(worse)}" if worse else ""
            lines.append(f"  {name}: mean rank {ranks[n][name]:.2f}{beats}")
    return "\n".join(lines)


def _published(choice: str) -> dict[str, tuple[float, float]]:
    """name -> (mean, standard deviation) of BENCHMARK/DATASET/SPLIT."""
    if not choice:
        return {}
    results = json.loads(PUBLISHED.read_text())["results"]
    known = {f"{r['benchmark']}/{r['dataset']}/{r['split']}" for r in results}
    check.one_of("config.published", choice, sorted(known))
    return {
        r["strategy"]: (r["mean"], r["std"])
        for r in results
        if f"{r['benchmark']}/{r['dataset']}/{r['split']}" == choice and r["std"] is not None
    }
