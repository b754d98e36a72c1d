"""Strategies × seeds × budget on a table: anytime curves, regret, hits of the optimum, ranks, significance, speed.

    python -m launch.compare                                       # the embedded table, half a minute
    python -m launch.compare --config.table=TABLE.npz --config.metric=COLUMN --config.seeds=10000
    python -m launch.compare --config.strategies='local_search,regularized_evolution(population_size=20)'
    python -m launch.compare --config.strategies='random_search,nsga2(population_size=20)' --config.costs=seconds

With costs, searches are measured by the share of the true front's hypervolume that they have found. With
`--config.objective` besides, strategies see that in place of the metric, and are measured by the best metric within the
objective's target.

All searches of one strategy are one XLA program, split over the devices. Writes compare.json and compare.png.
"""

import ast
import datetime
import inspect
import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from configs import compare as default
from jaxnas import check, plots, statistics, tables
from jaxnas.check import InputError
from jaxnas.compatibility import check_pair
from jaxnas.machine import configure, environment
from jaxnas.search import search_many, search_scan
from jaxnas.types import Evaluator, Space, Strategy
from jaxnas.workdir import write
from launch import report
from launch.measures import measured
from launch.wiring import (
    KNOWN,
    check_keys,
    define_config,
    make_strategy,
    only_random,
    opened,
    parse_flags,
    space_of,
    workdir_of,
)

PUBLISHED = pathlib.Path(__file__).parents[1] / "third_party" / "published.json"
LEVELS = (1, 2, 3, 5)
"""Curves are reported at these, times powers of ten."""
SHOWN = (10, 30, 100, 300, 1000)
"""Printed, and tested for significance, as is the end."""


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --config.KEY=VALUE.")
    configure()
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = workdir_of("launch.compare", _WORKDIR.value, f"compare-{stamp}")
    try:
        run(_CONFIG.value.to_dict(), workdir)
    except InputError as error:
        sys.exit(f"launch.compare: {error}")


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


def run(config: dict, workdir: pathlib.Path) -> dict:
    """The whole program; returns what compare.json holds."""
    check_keys(config, tuple(default.get_config()))
    for name in ("seeds", "evaluations"):
        check.integer(f"config.{name}", config[name], least=2)
    table = opened(config["table"])
    space = space_of(table, config["space"])
    column = table.column(config["metric"])
    published = _published(config["published"])
    evaluator, measure = measured(table, space, config)
    chosen, notes = _strategies(config, space, column, evaluator)
    sign, truth, optimum = measure.sign, measure.truth, float(np.nanmax(measure.truth))
    at = [level * 10**power for power in range(9) for level in LEVELS]
    at = sorted({*(n for n in at if n < config["evaluations"]), config["evaluations"]})
    print(
        f"{table.name}, {measure.name} ({measure.genomes:,} of {space.size:,} genomes; "
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
        print(_line(name, rows[name], at), flush=True)
        if notes[name]:
            print(f"    {notes[name]}")

    common = min(len(best) for best in curves.values())
    worst = np.nanmin(truth)  # of who has no result yet
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
    workdir.mkdir(parents=True, exist_ok=True)
    write(workdir / "compare.json", json.dumps(result, indent=2))
    plots.comparison(
        {name: sign * best for name, best in curves.items()},
        workdir / "compare.png",
        optimum=sign * optimum,
        ranks=ranks,
        ylabel=measure.label,
        published=published,
    )
    if len(curves) > 1:
        print(_significance(pairs, ranks))
    print(f"compare.json and compare.png are in {report.relative(workdir)}")
    return result


def _strategies(config: Mapping[str, Any], space: Space, column: tables.Column, evaluator: Evaluator):
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
        check.one_of("config.strategies", name, KNOWN["strategy"])
        taken = inspect.signature(KNOWN["strategy"][name]).parameters
        if len(column.budgets) == 1 and "min_budget" in taken:
            print(f"{label}: left out, it needs several budgets and column {config['metric']!r} has one")
            continue
        filled = {k: v for k, v in defaults.items() if k in taken}
        filled = {"name": name, **filled, **arguments}
        strategy = make_strategy(filled, space, evaluator)
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
        return kept | ({} if P == 1 and not honours else {"cost": cost})

    rounds = -(-config["evaluations"] // P)
    if honours:  # a schedule of budgets is the same for every seed
        rounds, total = 64, 0.0
        while total < config["evaluations"]:
            rounds *= 2
            probe = search_scan(strategy, evaluator, rounds, record=lambda r: share(r.proposal).sum())
            spent = np.cumsum(jax.jit(probe)(jax.random.key(0))[1])
            total = spent[-1]
        rounds = int(np.searchsorted(spent, config["evaluations"] * (1 - 1e-6))) + 1
    program = search_many(strategy, evaluator, rounds, seeds, record=record)
    begin = time.perf_counter()
    compiled = jax.jit(lambda key: program(key)[1]).lower(jax.random.key(0)).compile()
    compile_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    records = jax.block_until_ready(compiled(jax.random.key(config["seed"])))
    seconds = time.perf_counter() - begin
    costs = records.pop("costs", None)
    kept = {name: np.asarray(leaf).reshape(seeds, -1) for name, leaf in records.items()}
    fitness = kept["fitness"]
    cost = kept.get("cost", np.ones((1, fitness.shape[1])))
    return Searches(
        fitness=fitness,
        value=kept.get("value", fitness),
        costs=None if costs is None else np.asarray(costs).reshape(*fitness.shape, -1),
        test=kept.get("test"),
        spent=np.broadcast_to(np.cumsum(cost, 1), fitness.shape),
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


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
    """Who is above whom at the 5 % level, all pairs corrected for; figures are in compare.json."""
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


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/compare.py")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the results go; by default runs/compare-DATE-TIME.")
    app.run(main, flags_parser=parse_flags)
