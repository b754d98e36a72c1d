import ast
import pathlib

import jax
import numpy as np
import pytest

from configs import nasbench201, quickstart, spos
from jaxnas import tables
from jaxnas.check import InputError
from jaxnas.spaces import categorical
from jaxnas.spaces import nasbench201 as nb201
from launch import wiring
from launch.wiring import (
    LATER_KEYS,
    PART_KEYS,
    SEARCH_KEYS,
    build,
    check_keys,
    ending_together,
    known_of,
    looked_up,
    make,
    mean_of_known,
    only_random,
    opened,
    table_file,
)


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
    with pytest.raises(ValueError, match="a table of decisions 0->1, .* but space 'mine' has a, b"):
        looked_up(mine, "nasbench201_digits", "validation_loss", mine.from_index(np.arange(2)))


@pytest.fixture
def widths(tmp_path):
    """A user's CSV, imported: its decisions in another order than a config has them, which sorts its keys."""
    (tmp_path / "t.csv").write_text("width,depth,acc\n16,2,70\n16,4,71\n32,2,80\n32,4,81\n64,2,90\n64,4,60\n")
    tables.save(tables.csv_file.read(tmp_path / "t.csv", metrics=["acc"]), tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


@pytest.mark.parametrize("kind", [float, int, str])
def test_a_table_finds_decisions_and_options_by_name(widths, kind):
    space = categorical({"depth": [4, 2], "width": [kind(w) for w in (64, 32)]})
    evaluator = table_file(space, widths, "acc")
    order = [space.to_string(space.from_index(i)) for i in range(4)]
    assert order[0] == f"depth=4,width={kind(64)}"
    np.testing.assert_array_equal(evaluator.known().fitness, [60, 81, 90, 80])
    np.testing.assert_array_equal(looked_up(space, widths, "acc", space.from_index(np.arange(4))), [60, 81, 90, 80])


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"width": [16, 32, 64], "layers": [2, 4]}, "is a table of decisions width, depth, .* differ in depth, layers"),
        ({"width": [16, 32, 128], "depth": [2, 4]}, "has no option 128 of decision 'width', .* it has 16, 32, 64"),
        ({"width": [16, 64]}, "they differ in depth"),
    ],
)
def test_a_table_of_other_decisions_is_refused_whatever_its_size(widths, decisions, message):
    space = categorical(decisions)
    for look in (
        lambda: table_file(space, widths, "acc"),
        lambda: looked_up(space, widths, "acc", space.from_index(np.arange(2))),
        lambda: known_of(space, {"table": {"path": widths, "metric": "acc"}}, space.from_index(0)),
    ):
        with pytest.raises(InputError, match=message):
            look()


def test_the_mean_is_over_seeds_that_are_there():
    np.testing.assert_array_equal(mean_of_known(np.float32([[93, np.nan], [1, 3]])), [93, 2])
    assert np.isnan(mean_of_known(np.float32([[np.nan, np.nan]])))


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
    whole = {**quickstart.get_config().to_dict(), **config}
    with pytest.raises(InputError, match=message):
        check_keys(whole, SEARCH_KEYS, (*PART_KEYS, *LATER_KEYS))


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


def test_what_a_user_can_mend_is_one_line_and_a_fault_keeps_its_traceback():
    with pytest.raises(SystemExit, match="launch.x: rounds: expected 1"), ending_together("launch.x"):
        raise InputError("rounds: expected 1")
    with pytest.raises(ValueError, match="shapes"), ending_together("launch.x"):
        raise ValueError("shapes")


def test_no_program_takes_a_fault_for_what_a_user_can_mend():
    for path in pathlib.Path(wiring.__file__).parent.glob("*.py"):
        mains = [n for n in ast.walk(ast.parse(path.read_text())) if getattr(n, "name", "") == "main"]
        caught = {ast.unparse(n.type) for main in mains for n in ast.walk(main) if isinstance(n, ast.ExceptHandler)}
        assert not caught & {"ValueError", "Exception"}, path
