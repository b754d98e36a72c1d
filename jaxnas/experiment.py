"""A whole experiment from a config: the search, and what comes after it."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas import check, processes
from jaxnas.analysis import fronts, outcome, pictures, retraining, yardsticks
from jaxnas.analysis.baselines import at_random, phases, scored_reference, searched
from jaxnas.analysis.text import listed, relative, size
from jaxnas.config.files import get_config
from jaxnas.config.keys import LATER, PARTS, SEARCH, check_keys, identity
from jaxnas.config.limits import check_limits, limits_of, reference_costs
from jaxnas.config.lookup import table_metrics
from jaxnas.config.wiring import Parts, build, prepare_cost, strategy_limits
from jaxnas.execution import current
from jaxnas.loop.compatibility import check_pair
from jaxnas.loop.result import Result
from jaxnas.workdir import claim, write, writing


def run(
    config: Mapping[str, Any] | str,
    workdir: str | pathlib.Path | None = None,
    *,
    parts: Mapping[str, Any] | None = None,
    devices: Sequence[Any] | None = None,
    checkpoint_seconds: float = 10.0,
    on_round: Callable[[dict], None] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Searches as a config says, and does what it asks for after that: measuring, comparing, retraining, drawing.

    All that can be refused is refused before the first evaluation. `result.json` is there as soon as the search is, and
    again with what each later step adds to it; `complete` says whether all did. The same call goes on where one was
    ended.

    Args:
      config: a dict, or the name of one (see `get_config`).
      workdir: folder of the run, see `search`; without one nothing is kept and nothing drawn.
      parts: kind -> a part that is there already, see `build`.
      devices: that share each batch of a supernet; one by default.
      checkpoint_seconds: see `search`, as `on_round`.
      say: is told what comes out, line by line.

    Returns:
      What `result.json` holds: `architecture`, `genome`, `fitness`, `cost`, `metric` (`name`, `unit`,
      `higher_is_better`, `value`), `front`, `evaluations`, `retrained`, and more.

    Raises:
      InputError: what cannot be, before anything runs; no evaluation succeeded.
    """
    config = get_config(config) if isinstance(config, str) else json_like(config)
    folder = None if workdir is None else check.local_path("workdir", workdir)
    experiment = _prepared(config, parts or {}, folder, devices, say)
    options = {"checkpoint_seconds": checkpoint_seconds, "on_round": on_round}
    return experiment.run(options)


def json_like(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with dicts for whatever mappings it has."""
    check.mapping("config", config)
    return {k: json_like(v) if isinstance(v, Mapping) else v for k, v in config.items()}


def _prepared(config, given, folder, devices, say) -> "_Experiment":
    """Refuses what cannot be, and says what is about to run."""
    check_keys(config, [key for key in SEARCH if key not in given], (*SEARCH, *PARTS, *LATER))
    check.integer("config.rounds", config["rounds"], least=1)
    for key in ("retrain", "recommend", "table", "reference_point"):
        check.mapping(f"config.{key}", config.get(key) or {})
    parts = build(config, given, workdir=folder, devices=devices, prepare=False)
    check_pair(parts.strategy, parts.evaluator)
    table_metrics(parts.space, config, parts.space.sample(jax.random.key(0)))  # refuses a table that does not fit
    fronts.given_reference(config, parts.evaluator.cost_names)
    retraining.check_retraining(parts, config)
    asked, reference = config.get("recommend"), config.get("reference")
    check_limits("config.recommend", asked, parts.evaluator.cost_names, reference)
    prepare_cost(parts, config)
    costly = parts.space, parts.evaluator, parts.cost
    own = strategy_limits(config, *costly)
    if own:  # as numbers: another reference is another search then
        config = {**config, "strategy": {**config["strategy"], "limits": own}}
    limits = own if asked is None else limits_of("config.recommend", asked, reference_costs(*costly, reference))
    if given:
        config = {**config, "parts": {kind: getattr(part, "name", type(part).__name__) for kind, part in given.items()}}
    if parts.cost is not None and parts.cost.save is not None and folder is not None and processes.is_first():
        claim(folder, *identity(config))
        parts.cost.save(folder)  # what a resumed run goes on with
    where = "" if folder is None else f"{relative(folder)}: "
    say(f"{where}{parts.strategy.name} on {parts.space.name} ({size(parts.space)})")
    count = jax.device_count()
    if count > 1 and current().platform != "cpu" and devices is None and "shared" in parts.evaluator.gives:
        say(f"on 1 of {count} devices; --data_parallel={count} shares each batch")
    return _Experiment(config, parts, folder, limits, say)


class _Experiment:
    """One run: what was found, and the steps that add to its result."""

    def __init__(self, config, parts: Parts, folder: pathlib.Path | None, limits, say):
        self.config, self.parts, self.folder, self.limits, self.say = config, parts, folder, limits, say
        self.shared = "shared" in parts.evaluator.gives
        self.baseline: Result | None = None
        self.baseline_front: fronts.Found | None = None
        self.files = ["result.json", "history.jsonl"]
        self.checkpoints = retraining.checkpoint_dir(folder, "result.json")

    def run(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self.options = options
        self.found = searched(self.parts, phases(self.parts, self.config), self.config, self.folder, **options)
        outcome.refuse_failure(self.found, self.folder)
        self.front = fronts.found(self.parts.evaluator, self.found.history, self.config)
        self.best = outcome.best(self.found, self.front, self.limits)
        self.result = outcome.described(self.parts, self.config, self.found, self.front, self.best, self.say)
        self.keep()
        try:
            for step in (
                self.measure,
                self.search_at_random,
                self.score_reference,
                self.retrain,
                self.conclude,
                self.draw,
            ):
                self.keep(**step())
            self.keep(complete=True)
            retraining.remove_checkpoints(self.checkpoints)
        except Exception:
            if self.folder is not None and processes.is_first():
                where = relative(self.folder / "result.json")
                self.say(
                    f"the search is finished, and its result is in {where}; the same command repeats what comes after "
                    "it"
                )
            raise
        if self.folder is not None and processes.is_first():
            self.say(f"{listed(self.files)} are in {relative(self.folder)}")
        return self.result

    def keep(self, **more) -> None:
        """Adds to the result, and writes it; over one that is complete, only once this one is."""
        self.result.update(more)
        if self.folder is not None and processes.is_first():
            file = self.folder / "result.json"
            if not self.result["complete"] and file.is_file() and json.loads(file.read_text()).get("complete"):
                return
            with writing(self.folder):
                write(self.folder / "result.json", json.dumps(self.result, indent=2))

    def measure(self) -> dict[str, Any]:
        """Measures again what the cost predicted of what was found, the front and the reference."""
        cost = self.parts.cost
        if cost is None or cost.measure is None:
            return {}
        members = [] if self.front is None else [m["genome"] for m in self.front.result["front"]]
        genomes = [self.best["genome"], *members]
        if self.config.get("reference"):
            genomes.append(self.parts.space.from_string(self.config["reference"]))
        distinct = list({np.asarray(genome).tobytes(): np.array(genome) for genome in genomes}.values())
        measured = cost.measure(distinct)
        for name, own in measured[0].items():
            if name in cost.names:
                noise = f" (noise {own['noise']:.1%})" if "noise" in own else ""
                self.say(f"  {name}: predicted {own['predicted']:.4g}, measured {own['measured']:.4g}{noise}")
        if self.front is not None:
            self.say(fronts.table(self.front.result["front"], self.parts.evaluator.cost_names, measured))
        return {"measured_again": measured, **outcome.expected_cost(self.parts, self.found)}

    def search_at_random(self) -> dict[str, Any]:
        """Random search at the same cost."""
        if not self.config.get("random_search"):
            return {}
        self.say("random search at the same cost")
        folder = None if self.folder is None else self.folder / "random_search"
        once = {**self.options, "on_round": None}
        parts, random = at_random(self.parts, self.config, self.found)
        self.baseline = searched(parts, random, self.config, folder, **once)
        self.baseline_front = fronts.found(self.parts.evaluator, self.baseline.history, self.config)
        best = outcome.best(self.baseline, self.baseline_front, self.limits)
        compared = {}
        if self.front is not None and self.baseline_front is not None:
            compared = fronts.compared(self.front, self.baseline_front)
            self.say(f"  {fronts.comparison_in_words(compared)}")
        return {"baseline": {**outcome.plain_best(best), "evaluations": self.baseline.evaluations, **compared}}

    def score_reference(self) -> dict[str, Any]:
        """Evaluates the reference as the search evaluated its candidates, to stand beside the front."""
        if self.front is None or self.shared or not self.config.get("reference"):
            return {}
        line = scored_reference(self.parts, self.config, self.found.history)
        return {"reference": {name: line[name] for name in ("architecture", "fitness", "cost", "valid")}}

    def retrain(self) -> dict[str, Any]:
        """Retrains it beside what random search found and the reference."""
        seeds = (self.config.get("retrain") or {}).get("seeds")
        if not seeds:
            return {}
        architectures = {"found": self.best["architecture"]}
        if self.baseline is not None:
            architectures["random search"] = self.result["baseline"]["architecture"]
        if self.config.get("reference"):
            architectures[outcome.REFERENCE] = self.config["reference"]
        self.say(f"retraining on train + validation, {seeds} seeds each ...")
        inherits = self.config["retrain"].get("inherit")
        weights = self.parts.evaluator.variables(self.found.state.evaluator) if inherits else None
        rows = retraining.retrained(self.parts, self.config, architectures, weights, self.folder, self.checkpoints)
        self.keep(retrained=rows)
        rows |= yardsticks.classical(self.parts.task)
        self.say(retraining.table(rows, self.parts.task.metric))
        return {**outcome.test_metric(self.parts.task, rows["found"]), "retrained": rows}

    def conclude(self) -> dict[str, Any]:
        """Says in words what was won."""
        words = outcome.conclusion(self.result)
        if not words:
            return {}
        self.say(f"found: {words}")
        return {"conclusion": words}

    def draw(self) -> dict[str, Any]:
        """Draws what there is to see."""
        if self.folder is None or not processes.is_first():
            return {}
        with writing(self.folder):
            cells = tuple(self.result.get("skip_connections", ()))
            seen = (self.found, self.best, self.front, self.baseline, cells)
            self.files += pictures.draw(self.parts, self.config, self.folder, *seen)
            if self.front is not None and self.baseline_front is not None and len(self.parts.evaluator.cost_names) == 1:
                both = (self.front.evaluated, self.baseline_front.evaluated)
                names = self.parts.evaluator.cost_names
                self.files += pictures.recommend(self.config, self.folder, self.best, both, names[0], self.result)
        return {}
