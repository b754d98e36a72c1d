import jax
import pytest

from jaxnas import build, get_config, run
from jaxnas.check import InputError
from jaxnas.config.keys import LATER, PARTS, SEARCH, check_keys
from jaxnas.config.registry import make
from jaxnas.config.start import only_random
from jaxnas.costs import on_device
from jaxnas.spaces import categorical
from jaxnas.spaces import nasbench201 as nb201


@pytest.fixture
def config():
    return get_config("quickstart")


def test_quickstart_builds(config):
    parts = build(config, prepare=False)
    assert parts.space.name == "nasbench201" and parts.task.name == "digits"
    assert parts.evaluator.name == "with_cost(training)" and parts.evaluator.cost_names == ("latency_ms",)


def test_what_is_wrong_is_refused_before_a_latency_is_measured(config, monkeypatch):
    config["strategy"]["proposals"] = -1
    monkeypatch.setattr(on_device, "table_from_networks", None)  # would be called
    with pytest.raises(InputError, match="proposals: expected at least 1"):
        run(config, say=lambda text: None)
    config["strategy"]["proposals"], config["recommend"] = 16, {"latency": 1.0}
    with pytest.raises(InputError, match="config.recommend: unknown 'latency'. Did you mean 'latency_ms'"):
        run(config, say=lambda text: None)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("strategy", "regularised_evolution", "unknown 'regularised_evolution'. Did you mean 'regularized_evolution'"),
        ("space", "nasbench202", "unknown 'nasbench202'. Did you mean 'nasbench201'?"),
        ("evaluator", "x", "unknown 'x'. Known: training, supernet, zero_cost, table"),
        ("task", "digit", "Did you mean 'digits'"),
    ],
)
def test_unknown_names_list_the_known_ones(config, kind, name, message):
    config[kind]["name"] = name
    with pytest.raises(ValueError, match=message):
        build(config)


def test_unknown_argument_names_the_nearest(config):
    config["strategy"]["populaton_size"] = 3
    with pytest.raises(ValueError, match="argument of 'nsga2': unknown 'populaton_size'. Did you mean"):
        build(config)


def test_unknown_recipe_field_names_the_nearest(config):
    config["evaluator"]["lerning_rate"] = 0.1
    with pytest.raises(ValueError, match="Did you mean 'learning_rate'"):
        build(config)


def test_missing_task_is_named(config):
    config["task"] = None
    with pytest.raises(ValueError, match=r"config.task: evaluator 'training' needs one"):
        build(config)


def my_space(options: int = 3):
    return categorical({"a": range(options), "b": range(2)}, name="mine")


def test_users_own_part_is_imported(config):
    config["space"] = {"name": f"{__name__}:my_space", "options": 5}
    config["evaluator"] = {"name": "table", "path": "no.npz", "fitness": "x"}
    with pytest.raises(ValueError, match="no.npz: no such file"):
        build(config)
    config["space"]["name"] = "no_such_module:thing"
    with pytest.raises(ValueError, match="cannot be imported"):
        build(config)


def test_column_of_a_table_is_named():
    config = get_config("nasbench201")
    config["evaluator"]["fitness"] = "validation_acuracy"
    with pytest.raises(ValueError, match="Did you mean 'validation_accuracy'"):
        build(config)


def test_too_few_evaluations_are_random_search_under_another_name():
    evolution = {"name": "regularized_evolution", "population_size": 50, "tournament_size": 10}
    assert "begins with 50 random architectures (population_size): of 20" in only_random(evolution, 20)
    assert "(initial)" in only_random({"name": "bananas"}, 30) and not only_random({"name": "bananas"}, 31)
    assert not only_random(evolution, 51) and not only_random({"name": "random_search"}, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"stratgy": 1}, "config: unknown 'stratgy'. Did you mean 'strategy'"),
        ({"rounds": None}, "config.rounds: expected a value, the config has none"),
        ({"seed": 1.5}, "config.seed: expected an integer, got 1.5"),
        ({"seed": 2**63}, "config.seed: expected at most 4294967295"),
    ],
)
def test_keys_that_nothing_reads_or_that_are_missing_are_refused(config, message):
    whole = {**get_config("quickstart"), **config}
    with pytest.raises(InputError, match=message):
        check_keys(whole, SEARCH, (*PARTS, *LATER))


def test_early_stopping_wraps_a_strategy():
    config = {"space": {"name": "nasbench201"}, "strategy": {"name": "darts"}, "evaluator": {"name": "table"}}
    config["evaluator"] |= {"path": "nasbench201_digits", "fitness": "validation_loss"}
    assert build({**config, "early_stopping": {"window": 3, "ratio": 0.5}}).strategy.name == "early_stopping(darts)"


def test_a_warm_up_is_a_strategy_of_its_own():
    parts = build("spos:small")
    assert (parts.warm_up.name, parts.strategy.name) == ("fair_paths", "regularized_evolution")


def test_text_of_the_form_module_name_stands_for_what_has_that_name():
    strategy = make("strategy", {"name": "bananas", "features": "jaxnas.spaces:path_encoding"}, {"space": nb201()})
    params = jax.eval_shape(strategy.init, jax.random.key(0))
    assert strategy.name == "bananas" and params.genomes.shape == (500, 6)
    with pytest.raises(ValueError, match=r"config.strategy.features: 'jaxnas.spaces:paths' cannot be imported"):
        make("strategy", {"name": "bananas", "features": "jaxnas.spaces:paths"}, {"space": nb201()})
