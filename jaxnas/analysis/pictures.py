"""The pictures of an experiment."""

import pathlib
from collections.abc import Mapping
from typing import Any

from jaxnas import plots
from jaxnas.analysis import fronts
from jaxnas.config.wiring import Parts
from jaxnas.loop.result import Result


def draw(
    parts: Parts,
    config: Mapping[str, Any],
    folder: pathlib.Path,
    found: Result,
    best: Mapping[str, Any],
    front: fronts.Found | None,
    baseline: Result | None,
    cells: tuple[str, ...],
) -> list[str]:
    """Draws what there is to see of a search into its folder; names of the files.

    `best` is what it recommends, `baseline` random search at the same cost, `cells` the cells with skip connections.
    """
    plots.architecture(parts.space, best["genome"], folder / "architecture.png", title=best["architecture"])
    label = fitness_name(config)
    if "shared" in parts.evaluator.gives:  # fitness ages with the weights: a best so far would say nothing
        curve = "search.png"
        plots.shared_weights(found.history, folder / curve, cells=cells)
    else:
        curve = "anytime.png"
        curves = {parts.strategy.name: found.history.column("fitness")}
        if baseline is not None:
            curves["random search"] = baseline.history.column("fitness")
        plots.anytime(
            curves, folder / curve, ylabel=((config.get("objective") or {}).get("name") or label).replace("_", " ")
        )
    names = ["architecture.png", curve]
    if "species" in parts.strategy.recorded:
        plots.species(found.history, folder / "species.png")
        names.append("species.png")
    if front is not None:
        names += fronts.draw(front, parts.evaluator.cost_names, folder, ylabel=label)
    return names


def recommend(
    config: Mapping[str, Any],
    folder: pathlib.Path,
    best: Mapping[str, Any],
    both: tuple[fronts.Points, fronts.Points],
    cost: str,
    result: Mapping[str, Any],
) -> list[str]:
    """Draws the search's and random search's points with one cost, the reference and what is recommended."""
    reference = result.get("reference")
    at = lambda line: (line["fitness"], line["cost"][cost])
    plots.recommendation(
        *((points.fitness, points.cost[:, 0]) for points in both),
        folder / "recommendation.png",
        recommended=at(best),
        reference=at(reference) if reference and reference["valid"] else None,
        names=("search", "random search", "reference"),
        ylabel=fitness_name(config).replace("_", " "),
        xlabel="latency (ms)" if cost == "latency_ms" else cost.replace("_", " "),
    )
    return ["recommendation.png"]


def fitness_name(config: Mapping[str, Any]) -> str:
    """What the search's fitness is, in words."""
    given = (config.get("evaluator") or {}).get("fitness", "fitness")
    names = {"loss": "negative validation loss", "accuracy": "validation accuracy"}
    return names.get(given, given) if isinstance(given, str) else "fitness"
