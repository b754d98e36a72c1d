"""What there is to say of a finished search, as entries of `result.json` and as text."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxnas.analysis import fronts, recommendation
from jaxnas.analysis.skips import skips
from jaxnas.analysis.text import relative
from jaxnas.check import InputError
from jaxnas.config.lookup import load_table, table_metrics
from jaxnas.config.start import only_random
from jaxnas.config.wiring import Parts
from jaxnas.evaluators._scalarized import RAW
from jaxnas.loop.history import History
from jaxnas.loop.result import Result
from jaxnas.loop.rows import plain
from jaxnas.machine import environment
from jaxnas.strategies import relaxed
from jaxnas.tasks import Task
from jaxnas.tasks.losses import UNITS

REFERENCE = "reference"
"""What tables call `config.reference`."""


def refuse_failure(found: Result, workdir: pathlib.Path | None) -> None:
    """Raises `InputError` where no evaluation succeeded: what was recommended is a random architecture then."""
    history = found.history
    if history.column("valid").any():
        return
    errors = [error for error in history.column("error").tolist() if error] if "error" in history.names else []
    why = f"; the first says: {errors[0]}" if errors else ", they failed or gave what is no finite number"
    where = "" if workdir is None else f" They are in {relative(workdir / 'history.jsonl')}."
    raise InputError(f"none of the {found.evaluations} evaluations succeeded{why}.{where}")


def best(found: Result, front: fronts.Found | None, limits: Mapping[str, float]) -> dict[str, Any]:
    """What the run recommends: the strategy's choice, or with limits the front's most accurate within them.

    `architecture`, `genome`, `fitness`, `cost`, and `raw_fitness` where an objective made the fitness.
    """
    own = {"architecture": found.architecture, "genome": found.genome, "fitness": found.fitness, "cost": found.cost}
    if not limits or front is None:
        return {**own, **fronts.before_objective(found)}
    member = recommendation.recommended(front.result["front"], limits)
    return {**member, "genome": np.array(member["genome"], np.int32)}


def plain_best(best: Mapping[str, Any]) -> dict[str, Any]:
    """The same, for files."""
    return {**best, "genome": plain(best["genome"])}


def described(
    parts: Parts,
    config: Mapping[str, Any],
    found: Result,
    front: fronts.Found | None,
    best: Mapping[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The result of the search alone, which it also tells in words."""
    say(f"found {best['architecture']}\n  {_summary(found, best)}")
    if found.out_of_time:
        say("  its time is over; the same command with more config.seconds goes on")
    note = only_random(config.get("strategy") or {}, found.evaluations)
    if note:
        say(f"  {note}")
    collapse = _collapse(parts, found, best, say)
    growth = _growth(parts, found, say)
    known = table_metrics(parts.space, config, best["genome"])
    for metric, value in known.get("table", {}).items():
        say(f"  {metric}: {value:.4f}")
    if RAW in best and config.get("objective"):
        said = ", ".join(f"{name} {value:.4g}" for name, value in best["cost"].items())
        say(f"  {best[RAW]:.4f} before the objective; {said}")
    elif best["cost"]:
        say("  " + ", ".join(f"{name} {value:.4g}" for name, value in best["cost"].items()))
    if front is not None:
        say(f"  {fronts.in_words(front)}")
    return {
        **plain_best(best),
        "metric": search_metric(parts, config, best),
        "test_accuracy": None,
        "front": [plain_best(best)],
        "evaluations": found.evaluations,
        "invalid": found.invalid,
        **growth,
        "rounds": config["rounds"],
        "out_of_time": found.out_of_time,
        **known,
        **collapse,
        **({} if front is None else front.result),
        "retrained": {},
        "xla_compiles": found.xla_compiles,
        "compile_seconds": found.compile_seconds,
        "wall_seconds": found.wall_seconds,
        "evaluator": parts.evaluator.report(),
        **environment(),
        "complete": False,
    }


def _summary(found: Result, best: Mapping[str, Any]) -> str:
    fitness = "not scored alone" if best["fitness"] is None else f"fitness {best['fitness']:.4f}"
    invalid = f" ({found.invalid} invalid)" if found.invalid else ""
    return (
        f"{fitness} after {found.evaluations} evaluations{invalid} in {found.wall_seconds:.0f} s, "
        f"{found.compile_seconds:.0f} s of it {found.xla_compiles} compiles"
    )


def _collapse(parts: Parts, found: Result, best: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Of shared weights: skip connections by cell, and whether the search stopped early."""
    collapse = skips(parts.space, best["genome"]) if "shared" in parts.evaluator.gives else {}
    if collapse:
        counts = ", ".join(f"{cell} {n}" for cell, n in collapse["skip_connections"].items())
        say(f"  skip connections, by cell: {counts}{'; the search COLLAPSED' if collapse['collapsed'] else ''}")
    if getattr(found.state.strategy, "stopped", False):
        say("  stopped early, by the growth of curvature")
        collapse["stopped_early"] = True
    return collapse


def _growth(parts: Parts, found: Result, say: Callable[[str], None]) -> dict[str, Any]:
    """Of networks that grow: when the task was solved, and what found no room."""
    growth: dict[str, Any] = {}
    if "solved" in found.history.names:
        growth["solved"] = solved = _solved(found.history)
        say(f"  solved in round {solved['round']}, evaluation {solved['evaluations']:,}" if solved else "  not solved")
    if parts.space.overflow is not None:
        growth["overflow"] = found.overflow
        if found.overflow:
            say(
                f"  {found.overflow:,} mutations found no room for a node or connection; "
                "config.space.hidden and .connections give more"
            )
    misplaced = int(getattr(found.state.strategy, "misplaced", 0))
    if misplaced:
        growth["misplaced"] = misplaced
        say(
            f"  {misplaced:,} genomes found no place for a species of their own; config.strategy.max_species gives more"
        )
    return growth


def _solved(history: History) -> dict[str, int] | None:
    """Where the first member was that did what the task asks for."""
    solved = np.flatnonzero(history.column("solved") == 1)
    if not len(solved):
        return None
    return {"round": int(history.column("round")[solved[0]]), "evaluations": int(solved[0]) + 1}


def search_metric(parts: Parts, config: Mapping[str, Any], best: Mapping[str, Any]) -> dict[str, Any]:
    """What the search's fitness is: `name`, `unit`, `higher_is_better`, and the `value` found, None if never scored."""
    given, fitness = config.get("evaluator") or {}, best.get(RAW, best["fitness"])
    name, unit, higher = "fitness", "", True
    if given.get("name") in ("training", "supernet"):
        if given.get("fitness", "loss") == "loss":
            name, unit, higher = "validation loss", UNITS.get(parts.task.loss, ""), False
        else:
            metric = parts.task.metric
            name, unit, higher = f"validation {metric.name.replace('_', ' ')}", metric.unit, metric.higher_is_better
    elif given.get("name") == "table":
        name = given["fitness"]
        higher = load_table(given["path"]).column(name).higher_is_better
    elif given.get("name") == "zero_cost":
        name = str(given.get("proxies", "synflow"))
    value = None if fitness is None else fitness if higher else -fitness
    return {"name": name, "unit": unit, "higher_is_better": higher, "value": value}


def test_metric(task: Task, row: Mapping[str, Any]) -> dict[str, Any]:
    """`metric`, of what was retrained: the mean over seeds on the test split; `test_accuracy` where it is that."""
    metric, field = task.metric, f"test_{task.metric.name}"
    value = float(np.mean(row[field]))
    metric = {
        "name": field.replace("_", " "),
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "value": value,
    }
    return {"metric": metric, **({"test_accuracy": value} if field == "test_accuracy" else {})}


def expected_cost(parts: Parts, found: Result) -> dict[str, float]:
    """What a differentiable search's last probabilities expect of the cost."""
    logits = getattr(found.state.strategy, "logits", None)
    if logits is None or parts.cost is None or parts.cost.expected_cost is None:
        return {}
    values = np.atleast_1d(np.asarray(parts.cost.expected_cost(relaxed.softmax(parts.space, logits))))
    return {f"expected_{name}": float(value) for name, value in zip(parts.cost.names, values, strict=True)}


def conclusion(result: Mapping[str, Any]) -> str:
    """What was won beside the reference, where both were retrained and measured; else empty."""
    rows, measured = result.get("retrained", {}), result.get("measured_again")
    if not measured or not {"found", REFERENCE} <= set(rows) or "test_accuracy" not in rows["found"]:
        return ""
    ms = {line["architecture"]: line["latency_ms"]["measured"] for line in measured if "latency_ms" in line}
    sides = [
        {"accuracy": rows[name]["test_accuracy"], "cost": ms.get(rows[name]["architecture"])}
        for name in ("found", REFERENCE)
    ]
    if any(side["cost"] is None for side in sides):
        return ""
    return recommendation.in_words(*sides, "latency", unit="ms", name=REFERENCE)
