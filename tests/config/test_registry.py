"""What factories may look like, how each is handed what it takes, and what it refuses."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import build, costs, evaluators, proxies, strategies, tasks
from jaxnas.check import InputError
from jaxnas.config import register, registry
from jaxnas.proxies import proxy
from jaxnas.types import Evaluator, Space, Strategy


def first(space: Space) -> Evaluator:
    """Fitness is the first decision; its annotations are text, by the import above."""
    return evaluators.direct(lambda key, genome: genome[0].astype(jnp.float32))


def anything(**options) -> Strategy:
    return strategies.random_search(**options)


def waves() -> tasks.Task:
    x, y = np.ones((30, 8, 8, 1), np.float32), np.arange(30) % 10
    return tasks.arrays(dict.fromkeys(("train", "validation", "test"), (x, y)), outputs=10)


def choices(space: Space, network=None) -> costs.Cost:
    return costs.Cost(("choices",), lambda genome: genome.sum().astype(jnp.float32))


@proxy("forward")
def loudness(passes):
    return jnp.square(passes.outputs_of(passes.params, passes.x)).mean()


def cheapest(weight: float = 1.0) -> costs.Objective:
    return costs.Objective("cheapest", "choices", 1.0, lambda fitness, cost: fitness - weight * cost)


CONFIG = {
    "seed": 0,
    "rounds": 4,
    "space": {"name": "categorical", "decisions": {"a": [1, 2, 3], "b": [1, 2]}},
    "strategy": {"name": "random_search", "proposals": 4},
    "evaluator": {"name": f"{__name__}:first"},
}


@pytest.fixture
def own(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_ENTRIES", {kind: dict(each) for kind, each in registry._ENTRIES.items()})
    monkeypatch.setattr(proxies, "PROXIES", dict(proxies.PROXIES))


def test_a_factory_of_any_keywords_is_handed_what_its_kind_is_made_of():
    parts = build({**CONFIG, "strategy": {"name": f"{__name__}:anything", "proposals": 3}})
    assert parts.strategy.name == "random_search"


def test_postponed_annotations_are_no_matter():
    assert isinstance(first.__annotations__["space"], str)
    assert build(CONFIG).evaluator.name == "direct"


def test_a_task_of_ones_own():
    assert build({**CONFIG, "task": {"name": f"{__name__}:waves"}}).task.train.size == 30


def test_a_cost_and_an_objective_of_ones_own():
    config = {**CONFIG, "cost": {"name": f"{__name__}:choices"}}
    result = jaxnas.run(
        {**config, "objective": {"name": f"{__name__}:cheapest", "weight": 10.0}}, say=lambda text: None
    )
    assert result["fitness"] == result["raw_fitness"] - 10 * result["cost"]["choices"] and result["front"]


def test_registered_by_a_decorator_its_parameters_have_names_of_their_own(own):
    @register("strategy", "mine", takes={"space": "where"})
    def mine(where: Space, proposals: int = 1) -> Strategy:
        return strategies.random_search(where, proposals=proposals)

    assert build({**CONFIG, "strategy": {"name": "mine", "proposals": 2}}).strategy.name == "random_search"
    assert [option.name for option in jaxnas.options("mine")[0].options] == ["proposals"]


def test_a_name_that_another_factory_has_is_refused(own):
    register("strategy", "mine", anything)
    register("strategy", "mine", anything)  # the same again, as when a module is imported twice
    with pytest.raises(InputError, match="name: strategy 'random_search' is there already"):
        register("strategy", "random_search", anything)


def test_what_no_kind_is_offered_cannot_be_taken(own):
    with pytest.raises(InputError, match="takes, of kind 'strategy': unknown 'spaces'. Did you mean 'space'"):
        register("strategy", "mine", anything, takes=("spaces",))
    with pytest.raises(InputError, match="kind: unknown 'strategies'. Did you mean 'strategy'"):
        register("strategies", "mine", anything)


@pytest.mark.parametrize("kind", registry.OFFERS)
def test_what_a_factory_takes_are_parameters_that_it_has(kind):
    for name, entry in registry.known(kind).items():
        lacking = set(entry.takes.values()) - set(registry.parameters(entry.factory))
        assert not lacking or registry.any_keyword(entry.factory), (name, lacking)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, "config: unknown 'sed'. Did you mean 'seed'"),
        ({"evaluator": {"name": "training", "momentun": 0.9}}, "unknown 'momentun'. Did you mean 'momentum'"),
        ({"strategy": {"name": "nsga2", "proposal": 2}}, "of 'nsga2': unknown 'proposal'. Did you mean 'proposals'"),
        ({"network": {"name": "nasbench201", "chanels": 2}}, "unknown 'chanels'. Did you mean 'channels'"),
        ({"task": {"name": "digits", "augmnt": True}}, "unknown 'augmnt'. Did you mean 'augment'"),
        ({"warm_up": {"name": "fair_paths", "budgt": 1, "rounds": 2}}, "unknown 'budgt'. Did you mean 'budget'"),
        ({"early_stopping": {"windw": 3}}, "config.early_stopping, .* unknown 'windw'. Did you mean 'window'"),
        ({"cost": {"name": "latency", "bach": 1}}, "config.cost, .* unknown 'bach'. Did you mean 'batch'"),
        ({"objective": {"name": "penalty", "weigt": 1}}, "config.objective, .* unknown 'weigt'. Did you mean 'weight'"),
        ({"fine_tune": {"step": 1}}, "config.fine_tune: unknown 'step'. Did you mean 'steps'"),
        ({"retrain": {"step": 3}}, "config.retrain: unknown 'step'. Did you mean 'steps'"),
        ({"table": {"pth": "x", "metric": "y"}}, "config.table: unknown 'pth'. Did you mean 'path'"),
        ({"table": {"path": "nasbench201_digits"}}, "config.table.metric: expected the name of a column, got none"),
        ({"reference_point": {"second": 1.0}}, "config.reference_point: unknown 'second'. Did you mean 'seconds'"),
        ({"recommend": {"second": 1.0}}, "config.recommend: unknown 'second'. Did you mean 'seconds'"),
    ],
)
def test_an_unknown_argument_is_refused_at_every_level_with_the_nearest(changes, message):
    with pytest.raises(InputError, match=message):
        jaxnas.run({**jaxnas.get_config("hwnasbench:small"), **changes}, say=lambda text: None)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="config.network: evaluator 'training' needs one"):
        build({**CONFIG, "task": {"name": "digits"}, "evaluator": {"name": "training"}})
    with pytest.raises(InputError, match="config.objective: 'penalty' needs target, weight"):
        registry.make("objective", {"name": "penalty", "cost": "ms"})


def test_a_part_that_is_there_already_takes_the_place_of_the_configs():
    task = waves()
    parts = build({**CONFIG, "task": {"name": "digits"}}, {"task": task})
    assert parts.task is task


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": 1}, r"parts\['task'\]: expected a task, got int"),
        ({"evaluator": len}, r"parts\['evaluator'\]: expected a evaluator, got builtin_function_or_method"),
        ({"taks": 1}, "parts: unknown 'taks'. Did you mean 'task'"),
    ],
)
def test_a_part_of_another_type_is_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        build(CONFIG, given)


@pytest.mark.parametrize("given", [f"{__name__}:loudness", f"nwot,{__name__}:loudness", [loudness]])
def test_a_users_own_proxy_scores(given, own):
    config = {
        "space": {"name": "tests.support.parts:mine"},
        "network": {"name": "tests.support.parts:Mine"},
        "task": {"name": f"{__name__}:waves"},
        "strategy": {"name": "random_search"},
        "evaluator": {"name": "zero_cost", "proxies": given, "batch_size": 4},
    }
    assert build(config).evaluator.gives == {"fitness"}
    with pytest.raises(InputError, match="is no proxy; `jaxnas.proxies.proxy` makes one"):
        build({**config, "evaluator": {**config["evaluator"], "proxies": f"{__name__}:waves"}})
