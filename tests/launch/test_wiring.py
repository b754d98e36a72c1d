import jax
import numpy as np
import pytest

from configs import nasbench201, quickstart, spos
from jaxnas.spaces import categorical
from jaxnas.spaces import nasbench201 as nb201
from launch.wiring import build, known_of, looked_up, make, opened


@pytest.fixture
def config():
    return quickstart.get_config().to_dict()


def test_quickstart_builds(config):
    parts = build(config)
    assert parts.space.name == "nasbench201" and parts.evaluator.name == "training" and parts.task.name == "digits"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("strategy", "regularised_evolution", "unknown 'regularised_evolution'. Did you mean 'regularized_evolution'"),
        ("space", "nasbench202", "unknown 'nasbench202'. Did you mean 'nasbench201'?"),
        ("evaluator", "x", "unknown 'x'. Known: training, supernet, table"),
        ("task", "digit", "Did you mean 'digits'"),
    ],
)
def test_unknown_names_list_the_known_ones(config, kind, name, message):
    config[kind]["name"] = name
    with pytest.raises(ValueError, match=message):
        build(config)


def test_unknown_argument_names_the_nearest(config):
    config["strategy"]["populaton_size"] = 3
    with pytest.raises(ValueError, match="argument of 'regularized_evolution': unknown 'populaton_size'. Did you mean"):
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
    config = nasbench201.get_config().to_dict()
    config["evaluator"]["fitness"] = "validation_acuracy"
    with pytest.raises(ValueError, match="Did you mean 'validation_accuracy'"):
        build(config)


def test_a_table_knows_the_mean_of_an_architecture_after_the_largest_budget():
    space, table = nb201(), opened("nasbench201_digits")
    genome = space.from_index(6111)
    whole = table.by_genome("validation_loss")[6111]
    said = known_of(space, {"table": {"path": "nasbench201_digits", "metric": "validation_loss"}}, genome)
    np.testing.assert_allclose(said["table"]["validation_loss"], whole[:, -1].mean(), rtol=1e-6)
    assert known_of(space, {"table": {"path": "", "metric": ""}}, genome) == known_of(space, {}, genome) == {}


def test_a_table_of_another_space_is_refused():
    mine = my_space()
    with pytest.raises(ValueError, match="nasbench201_digits is a table of 15625 genomes, not of 6"):
        looked_up(mine, "nasbench201_digits", "validation_loss", mine.from_index(np.arange(2)))


def test_early_stopping_wraps_a_strategy_and_a_window_of_0_does_not():
    config = {"space": {"name": "nasbench201"}, "strategy": {"name": "darts"}, "evaluator": {"name": "table"}}
    config["evaluator"] |= {"path": "nasbench201_digits", "fitness": "validation_loss"}
    assert build({**config, "early_stopping": {"window": 3, "ratio": 0.5}}).strategy.name == "early_stopping(darts)"
    assert build({**config, "early_stopping": {"window": 0, "ratio": 0.5}}).strategy.name == "darts"


def test_a_warm_up_is_a_strategy_of_its_own():
    parts = build(spos.get_config("small").to_dict())
    assert (parts.warm_up.name, parts.strategy.name) == ("fair_paths", "regularized_evolution")


def test_text_of_the_form_module_name_stands_for_what_has_that_name():
    strategy = make("strategy", {"name": "bananas", "features": "jaxnas.spaces:path_encoding"}, space=nb201())
    params = jax.eval_shape(strategy.init, jax.random.key(0))
    assert strategy.name == "bananas" and params.genomes.shape == (500, 6)
    with pytest.raises(ValueError, match=r"config.strategy.features: 'jaxnas.spaces:paths' cannot be imported"):
        make("strategy", {"name": "bananas", "features": "jaxnas.spaces:paths"}, space=nb201())
