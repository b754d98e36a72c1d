"""What strategies see of a table, and what is reported of them: a metric, one within a target, or a front."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas import check, evaluators, statistics, tables
from jaxnas.analysis import fronts
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.lookup import cost_columns, mean_of_known
from jaxnas.costs import Objective
from jaxnas.evaluators._table import SEEDS
from jaxnas.types import Evaluator, Space


class Measure(NamedTuple):
    """What is reported of a search.

    Attributes:
      name: in words.
      label: the same for a picture, short.
      of: `(fitness, value, costs)` of the searches, `[seeds, members]` and K, to `(fitness, value)` for
        `statistics.incumbents`; NaN for what does not count.
      truth: all that could be reached, higher is better; NaN for what does not count.
      genomes: how many count.
      sign: -1 where less is better, and reported.
      about: for compare.json.
    """

    name: str
    label: str
    of: Callable[..., tuple[np.ndarray, np.ndarray]]
    truth: np.ndarray
    genomes: int
    sign: int = 1
    about: Mapping[str, Any] = {}


def measured(table: tables.Table, space: Space, config: Mapping[str, Any]) -> tuple[Evaluator, Measure]:
    """What strategies see, and what is reported of them."""
    check.one_of("config.noise", config["noise"], SEEDS)
    column = table.column(config["metric"])
    if column.kind == "seconds":
        raise InputError(f"config.metric: {config['metric']!r} holds training times, not what is to be optimized.")
    sign = 1 if column.higher_is_better else -1
    seen = table.by_genome(config["metric"]) * sign
    mean = np.stack([mean_of_known(seen[:, :, b]) for b in range(len(column.budgets))], 1)
    genomes = int(np.isfinite(mean[:, -1]).sum())
    if not genomes:
        raise InputError(f"config.metric: column {config['metric']!r} knows no genome at its largest budget.")
    metrics = {"value": mean[:, -1]}
    if config["test_metric"]:
        metrics["test"] = mean_of_known(table.by_genome(config["test_metric"])[:, :, -1])
    limit = config["limit_seconds"] or None
    if limit and column.seconds is None:
        raise InputError(f"config.limit_seconds: column {config['metric']!r} comes without training times.")
    evaluator = evaluators.table(
        space,
        seen if config["noise"] == "random" else mean[:, None],
        budgets=column.budgets if len(column.budgets) > 1 else (),
        seeds=config["noise"],
        seconds=table.by_genome(column.seconds) if limit else None,
        limit_seconds=limit,
        costs=cost_columns(table, config.get("costs") or ""),
        metrics=metrics,
    )
    if config.get("objective"):
        objective = registry.make("objective", config["objective"])
        return evaluators.scalarized(evaluator, objective), _within_target(evaluator, objective, config, sign)
    if evaluator.cost_names:
        return evaluator, _share_of_hypervolume(evaluator, config)
    label = config["metric"].replace("_", " ")
    unchanged = lambda fitness, value, costs: (fitness, value)
    return evaluator, Measure(config["metric"], label, unchanged, mean[:, -1], genomes, sign)


def _within_target(evaluator: Evaluator, objective: Objective, config: Mapping[str, Any], sign: int) -> Measure:
    """The best metric of those evaluated whose cost is within the objective's target."""
    cost, target = objective.cost, objective.target
    at, known = evaluator.cost_names.index(cost), evaluator.known()

    def of(fitness, value, costs):
        value = np.where(np.isfinite(fitness) & (costs[..., at] <= target), value, np.nan)
        return value, value

    truth = np.where(known.valid & (known.cost[:, at] <= target), known.fitness, np.nan)
    name = f"{config['metric']} with {cost} of at most {target:g}"
    label = f"{config['metric'].replace('_', ' ')} within {target:g}"
    return Measure(name, label, of, truth, int(np.isfinite(truth).sum()), sign)


def _share_of_hypervolume(evaluator: Evaluator, config: Mapping[str, Any]) -> Measure:
    """Hypervolume of all evaluated, divided by that of the true front."""
    if config["test_metric"]:
        raise InputError("config.test_metric: a front has no test metric; leave it out, or the costs.")
    names, known = evaluator.cost_names, fronts.known_points(evaluator)
    reference = fronts.reference_point(known, names, fronts.given_reference(config, names))
    on = fronts.front_of(known)
    volume = fronts.volume_of(fronts.Points(known.fitness[on], known.cost[on]), reference)
    if not volume > 0:
        raise InputError(f"config.reference_point: none is better than {reference.tolist()} in everything.")

    def of(fitness, value, costs):
        seen = np.where(np.isfinite(fitness), value, np.nan)
        # To six digits: sums of the same terms in another order are the same share.
        share = np.round(statistics.hypervolumes(seen, costs, reference) / volume, 6)
        return share, share

    about = {
        "hypervolume_of_true_front": volume,
        "true_front": int(on.sum()),
        "hypervolume_reference": dict(zip(("fitness", *names), reference.tolist(), strict=True)),
    }
    name = f"hypervolume, as a share of the true front's, of {config['metric']} and {', '.join(names)}"
    return Measure(name, "share of the true hypervolume", of, np.array([0.0, 1.0]), len(known.fitness), about=about)
