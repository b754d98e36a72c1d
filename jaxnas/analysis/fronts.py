"""Fitness and costs at once: what a search found of the front, and how much of what a table knows of it."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas import check, pareto, plots, statistics
from jaxnas.check import InputError
from jaxnas.evaluators._scalarized import RAW
from jaxnas.loop.history import History
from jaxnas.loop.result import Result
from jaxnas.types import Evaluator


class Points(NamedTuple):
    """`fitness` `[N]`, before any objective, and `cost` `[N, K]`."""

    fitness: np.ndarray
    cost: np.ndarray


class Found(NamedTuple):
    """What came of a search.

    Attributes:
      evaluated: in order.
      front: `[N]` mask of valid, non-dominated members; of equals, the first.
      volumes: `[N]` hypervolume after each.
      reference: `[1 + K]`, what volumes are measured from.
      true: the front of all that the evaluator knows, or None.
      result: for result.json.
    """

    evaluated: Points
    front: np.ndarray
    volumes: np.ndarray
    reference: np.ndarray
    true: Points | None
    result: dict[str, Any]


def given_reference(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """`config.reference_point`: numbers by "fitness" and the names of costs; raises `InputError` for other names."""
    given = dict(config.get("reference_point") or {})
    for name, value in given.items():
        check.one_of("config.reference_point", name, ("fitness", *names))
        check.real(f"config.reference_point, {name}", value)
    return given


def reference_point(points: Points, names: Sequence[str], given: Mapping[str, float]) -> np.ndarray:
    """`[1 + K]` the worst fitness and the largest costs of the points, where not given."""
    worst = {"fitness": points.fitness.min(), **dict(zip(names, points.cost.max(0), strict=True))}
    return np.array(list({**worst, **given}.values()), np.float32)


def known_points(evaluator: Evaluator) -> Points | None:
    """All that the evaluator knows and holds valid, or None where it knows nothing beforehand.

    Raises:
      InputError: none is valid.
    """
    if evaluator.known is None:
        return None
    known = jax.tree.map(np.asarray, evaluator.known())
    if not known.valid.any():
        raise InputError(f"evaluator {evaluator.name!r}: no architecture has a fitness and all of its costs.")
    return Points(known.metrics.get(RAW, known.fitness)[known.valid], known.cost[known.valid])


def front_of(points: Points) -> np.ndarray:
    """`[N]` mask of the non-dominated; of equals, the first."""
    first = np.zeros(len(points.fitness), bool)
    first[np.unique(np.column_stack(points), axis=0, return_index=True)[1]] = True
    return np.asarray(jax.jit(pareto.front)(*points)) & first


def found(evaluator: Evaluator, history: History, config: Mapping[str, Any]) -> Found | None:
    """The front of a search's valid evaluations of one kind (see `strategies.best`); None where there is none.

    Of the last phase, those with the largest budget; where weights are shared, those that were only scored.
    """
    names = evaluator.cost_names
    phase, budgets = history.column("phase"), history.column("budget")
    kept = history.column("valid") & ~history.column("relaxed") & (phase == phase[-1])
    kept &= budgets == (0 if "shared" in evaluator.gives else max(budgets[kept], default=0))
    if not kept.any() or not names:
        return None
    costs = history.column("cost")[kept]
    fitness = history.column(RAW if RAW in history.names else "fitness")[kept]
    points = Points(fitness.astype(np.float32), np.stack([costs[name] for name in names], 1).astype(np.float32))
    known = known_points(evaluator)
    reference = reference_point(points if known is None else known, names, given_reference(config, names))

    front = front_of(points)
    volumes = statistics.hypervolumes(points.fitness[None], points.cost[None], reference)[0]
    order = np.flatnonzero(front)[np.lexsort(points.cost[front].T[::-1])]
    lines = [history[i] for i in np.flatnonzero(kept)[order]]
    members = [
        {name: line[name] for name in ("architecture", "genome", "cost")} | {"fitness": float(value)}
        for line, value in zip(lines, points.fitness[order], strict=True)
    ]
    result = {
        "front": members,
        "hypervolume": float(volumes[-1]),
        "hypervolume_reference": dict(zip(("fitness", *names), reference.tolist(), strict=True)),
    }
    true = None
    if known is not None:
        on = front_of(known)
        true = Points(known.fitness[on], known.cost[on])
        volume = volume_of(true, reference)
        fraction = float(volumes[-1] / volume) if volume else None
        result["true_front"] = {"size": len(true.fitness), "hypervolume": volume, "fraction_reached": fraction}
    return Found(points, front, volumes, reference, true, result)


SHOWN = 12
"""Members of a front that are printed."""


def table(
    members: Sequence[Mapping[str, Any]], names: Sequence[str], measured: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The front as text: fitness, costs, those that were measured again (see `costs.Cost.measure`), and its string."""
    again = {line["architecture"]: line for line in measured}
    repeated = [name for name in names if measured and name in measured[0]]
    columns = [*names, *(f"{name.split('_')[0]} again" for name in repeated)]
    lines = [f"  {'fitness':>10}" + "".join(f"{name:>14}" for name in columns) + "  architecture"]
    for member in members[:SHOWN]:
        values = [member["cost"][name] for name in names]
        values += [again[member["architecture"]][name]["measured"] for name in repeated]
        figures = "".join(f"{value:>14.4g}" for value in values)
        lines.append(f"  {member['fitness']:>10.4f}{figures}  {member['architecture']}")
    if len(members) > SHOWN:
        lines.append(f"  … {len(members) - SHOWN} more in result.json")
    return "\n".join(lines)


def compared(own: Found, other: Found) -> dict[str, Any]:
    """Hypervolume of two searches' fronts from one reference, the worse of theirs, and what the first one saves.

    `evaluations_to_match`: after how many of its evaluations the first has the volume that the other ends with; None if
    it never has.
    """
    low = np.minimum(own.reference, other.reference)
    reference = np.concatenate([low[:1], np.maximum(own.reference, other.reference)[1:]])
    volumes = [
        statistics.hypervolumes(f.evaluated.fitness[None], f.evaluated.cost[None], reference)[0] for f in (own, other)
    ]
    reached = np.flatnonzero(volumes[0] >= volumes[1][-1])
    return {
        "hypervolumes": {"found": float(volumes[0][-1]), "random_search": float(volumes[1][-1])},
        "hypervolume_reference": reference.tolist(),
        "evaluations_to_match": int(reached[0]) + 1 if len(reached) else None,
    }


def comparison_in_words(compared: Mapping[str, Any]) -> str:
    """One line about it."""
    volumes, needed = compared["hypervolumes"], compared["evaluations_to_match"]
    saved = "which the search did not reach" if needed is None else f"reached by the search after {needed} evaluations"
    return f"hypervolume {volumes['found']:.4g} against {volumes['random_search']:.4g} of random search, {saved}"


def before_objective(found: Result) -> dict[str, float]:
    """`{"raw_fitness": …}` of the architecture found, where an objective made its fitness; else empty."""
    if RAW not in found.history.names or found.fitness is None:
        return {}
    alike = found.history.column("valid") & (found.history.column("fitness") == np.float32(found.fitness))
    lines = (found.history[i] for i in np.flatnonzero(alike))
    return next(({RAW: line[RAW]} for line in lines if line["architecture"] == found.architecture), {})


def volume_of(points: Points, reference: np.ndarray) -> float:
    """Hypervolume of the points."""
    return float(jax.jit(pareto.hypervolume)(*points, reference))


def in_words(found: Found) -> str:
    """One line about it."""
    said = f"front of {found.front.sum()} architectures, hypervolume {found.volumes[-1]:.6g}"
    true = found.result.get("true_front")
    if true and true["fraction_reached"] is not None:
        said += f", {true['fraction_reached']:.2%} of the true front's ({true['size']} architectures)"
    return said


def draw(found: Found, names: Sequence[str], workdir: pathlib.Path, *, ylabel: str) -> list[str]:
    """Draws front.png and hypervolume.png, of which it gives the names."""
    plots.front(
        *found.evaluated,
        found.front,
        workdir / "front.png",
        names=names,
        true=found.true,
        ylabel=ylabel.replace("_", " "),
    )
    true = found.result.get("true_front", {}).get("hypervolume")
    plots.hypervolume(found.volumes, workdir / "hypervolume.png", true=true)
    return ["front.png", "hypervolume.png"]
