"""From a config to the parts it names: each is made by its factory, and handed what it takes of those made before."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jaxnas import check, costs, evaluators, networks, problems, tasks, training
from jaxnas.check import InputError
from jaxnas.config import carried, registry
from jaxnas.config.files import get_config
from jaxnas.config.limits import check_limits, has_shares, limits_of, reference_costs
from jaxnas.config.registry import OFFERS, make
from jaxnas.costs.cost import Cost
from jaxnas.types import Evaluator, Space, Strategy


class Parts(NamedTuple):
    """What a search is made of; `network`, `task` and `problem` are None where the evaluator needs none.

    Attributes:
      parent: a trained network, of which those of the search are made; or None.
      warm_up: the strategy of a first phase, on whose evaluator's state `strategy` goes on; or None.
      cost: what was added to the evaluator's costs; or None.
    """

    space: Space
    network: nn.Module | None
    task: tasks.Task | None
    strategy: Strategy
    evaluator: Evaluator
    problem: problems.Problem | None = None
    parent: training.Parent | None = None
    warm_up: Strategy | None = None
    cost: Cost | None = None


def build(
    config: Mapping[str, Any] | str,
    parts: Mapping[str, Any] | None = None,
    *,
    workdir: str | pathlib.Path | None = None,
    devices: Sequence[Any] | None = None,
    prepare: bool = True,
) -> Parts:
    """Builds the parts that a config names.

    Args:
      config: a dict, or the name of one (see `get_config`). `space`, `network`, `task`, `problem`, `parent`,
        `strategy`, `evaluator`, `warm_up`, `cost` and `objective` are dicts with a `name`, of a registered factory or
        `package.module:factory`, and its arguments; `cost` may be a list of them; `early_stopping`, `warm_start` and
        `fine_tune` are arguments alone.
      parts: kind -> a part that is there already, in place of what the config says: an own `Task`, say.
      workdir: folder of a run, whose latency table is taken where it has one.
      devices: that share the batches of a supernet; one by default.
      prepare: whether to measure what a cost needs (see `prepare_cost`), once all the rest is there.

    Raises:
      InputError: an unknown name or argument, with the nearest; a part that is missing or of another type; limits or a
        target that no architecture meets.
    """
    config = get_config(config) if isinstance(config, str) else config
    given = _given(parts or {})
    for kind in OFFERS:
        value = config.get(kind)
        missing = kind in ("space", "strategy", "evaluator") and not value and kind not in given
        several = kind == "cost" and isinstance(value, (list, tuple))
        if missing or not (several or isinstance(value or {}, Mapping)):
            raise InputError(f"config.{kind}: expected a dict with a name, got {value!r}.")

    def part(kind: str, **offered) -> Any:
        if kind in given:
            return given[kind]
        if not config.get(kind):
            return None
        return make(kind, _with_variables(config[kind]) if kind == "evaluator" else config[kind], offered)

    task, problem = part("task"), part("problem")
    parent = part("parent", task=task)
    space = part("space", **io_sizes(task, problem), parent=parent)
    network = part("network", classes=task.outputs if task else None, parent=parent)
    tune = carried.fine_tuner(config, task, problem, network)
    if tune is not None and config["fine_tune"].get("inherited", True):
        space, tune = networks.inherited(space, tune), None
    offered = {"space": space, "network": network, "task": task, "problem": problem, "parent": parent}
    name = (config.get("space") or {}).get("name", "")
    evaluator = part("evaluator", **offered, devices=devices, fine_tune=tune, space_name=name)
    if devices is not None and "shared" not in evaluator.gives:
        raise InputError(
            f"data_parallel: evaluator {evaluator.name!r} splits its population over all devices, not its batches."
        )
    offered["workdir"] = None if workdir is None else pathlib.Path(workdir)
    if "cost" not in given and isinstance(config.get("cost"), (list, tuple)):
        cost = costs.together([make("cost", each, offered) for each in config["cost"]])
    else:
        cost = part("cost", **offered)
    if cost is not None:
        evaluator = evaluators.with_cost(evaluator, cost.cost, cost.names)
    objective = part("objective")
    evaluator = evaluator if objective is None else evaluators.scalarized(evaluator, objective)
    strategy = given.get("strategy") or make_strategy(_limited(config, space, evaluator, cost), space, evaluator, cost)
    if config.get("warm_start"):
        begins = {"name": "warm_start", **config["warm_start"]}
        strategy = make("warm_start", begins, {"strategy": strategy, "space": space})
    if config.get("early_stopping"):
        given_there = {"name": "curvature", **config["early_stopping"]}
        strategy = make("early_stopping", given_there, {"strategy": strategy})
    first = config.get("warm_up")
    if first:
        check.integer("config.warm_up.rounds", first.get("rounds"), least=1)
    warm_up = make_strategy({k: v for k, v in first.items() if k != "rounds"}, space, evaluator) if first else None
    parts = Parts(space, network, task, strategy, evaluator, problem, parent, warm_up, cost)
    if prepare:
        prepare_cost(parts, config)
    return parts


def _limited(config: Mapping[str, Any], space: Space, evaluator: Evaluator, cost: Cost | None) -> Mapping[str, Any]:
    """The strategy's arguments, with numbers for limits that are shares."""
    arguments = config["strategy"]
    if not has_shares(arguments.get("limits")):
        return arguments
    if cost is not None and cost.prepare is not None:
        cost.prepare()  # what the reference costs has to be known by now
    return {**arguments, "limits": strategy_limits(config, space, evaluator, cost)}


def strategy_limits(
    config: Mapping[str, Any], space: Space, evaluator: Evaluator, cost: Cost | None
) -> dict[str, float]:
    """`config.strategy.limits`, cost -> the most that the strategy may propose; empty without."""
    given, reference = (config.get("strategy") or {}).get("limits"), config.get("reference")
    if not has_shares(given):
        return dict(given or {})
    check_limits("config.strategy.limits", given, evaluator.cost_names, reference)
    return limits_of("config.strategy.limits", given, reference_costs(space, evaluator, cost, reference))


def _with_variables(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with the variables of a search in the place of its folder as `initialize`."""
    if not isinstance(arguments.get("initialize"), str):
        return arguments
    from jaxnas.config.variables import loaded  # which builds that search

    return loaded(arguments)


def prepare_cost(parts: Parts, config: Mapping[str, Any]) -> None:
    """Measures what the cost of the parts needs, a latency table say.

    Raises:
      InputError: limits or a target that no architecture meets, as far as a sample tells.
    """
    if parts.cost is not None:
        if parts.cost.prepare is not None:
            parts.cost.prepare()
        _attainable(config, parts)


def _given(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are there already; raises `InputError` for one of another type."""
    types = {
        "space": Space,
        "network": nn.Module,
        "task": tasks.Task,
        "problem": problems.Problem,
        "parent": training.Parent,
        "strategy": Strategy,
        "evaluator": Evaluator,
        "cost": Cost,
        "objective": costs.Objective,
    }
    for kind, value in parts.items():
        check.one_of("parts", kind, types)
        if not isinstance(value, types[kind]):
            raise InputError(f"parts[{kind!r}]: expected a {kind}, got {type(value).__name__}.")
    return dict(parts)


def io_sizes(task: tasks.Task | None, problem: problems.Problem | None) -> dict[str, int]:
    """Inputs and outputs of a network for the task, or the problem."""
    if problem is not None:
        return {"inputs": problem.inputs, "outputs": problem.outputs}
    return {} if task is None else {"inputs": task.input_size, "outputs": task.outputs}


def make_strategy(
    arguments: Mapping[str, Any], space: Space, evaluator: Evaluator, cost: Cost | None = None
) -> Strategy:
    """The strategy of those arguments, told the evaluator's costs; refuses `limits` that its table says none meets."""
    offered = {
        "space": space,
        "costs": evaluator.cost_names,
        "expected_cost": None if cost is None else cost.expected_cost,
        "budgets": evaluator.budgets or None,
    }
    strategy = make("strategy", arguments, offered)
    if strategy.cost_names == evaluator.cost_names:  # else the pair is refused
        evaluators.attainable("config.strategy.limits", evaluator, arguments.get("limits") or {})
    return strategy


def _attainable(config: Mapping[str, Any], parts: Parts) -> None:
    """Raises `InputError` for limits and targets on the cost below the least of a sample."""
    space, cost = parts.space, parts.cost
    limits, objective = strategy_limits(config, space, parts.evaluator, cost), config.get("objective") or {}
    for k, name in enumerate(cost.names):
        asked = {"config.strategy.limits": limits.get(name)}
        if objective.get("cost") == name:
            asked["config.objective.target"] = objective.get("target")
        for argument, limit in asked.items():
            if limit is None:
                continue
            genome, least = costs.cheapest(space, lambda genome, k=k: jax.numpy.atleast_1d(cost.cost(genome))[k])
            if least > limit:
                raise InputError(
                    f"{argument}: no architecture was found with {name} of at most {limit:g}; the least, of "
                    f"{space.to_string(genome)}, is {least:.4g}."
                )


def run_program(name: str, config: Mapping[str, Any], workdir: pathlib.Path, say: Callable[[str], None] = print) -> Any:
    """Calls the function of `jaxnas.analysis` that is registered by that name with the config's values as arguments."""
    return registry.run_program(name, config, {"workdir": workdir, "say": say})
