"""What is said of the options of configs: all of them, each with type and meaning."""

import pytest

from jaxnas import options
from jaxnas.check import InputError
from jaxnas.config import registry


@pytest.mark.parametrize("part", options(), ids=lambda part: f"{part.kind}-{part.name}")
def test_every_option_has_a_type_and_a_meaning(part):
    assert part.summary
    assert not [option.name for option in part.options if not option.type]
    assert not [option.name for option in part.options if not option.meaning]


def test_an_evaluator_takes_the_recipe_and_is_handed_its_parts():
    (training,) = options("training")
    names = [option.name for option in training.options]
    assert {"fitness", "learning_rate", "cutout"} <= set(names) and not {"space", "network", "task"} & set(names)
    (rate,) = (option for option in training.options if option.name == "learning_rate")
    assert (rate.type, rate.default) == ("float", "0.1") and rate.meaning


def test_as_text_it_is_a_table():
    text = str(options("random_search")[0])
    assert text.startswith("config.strategy: random_search\n") and "proposals" in text and "default" in text


def test_a_name_of_several_kinds_lists_them_all_and_a_kind_chooses():
    assert {part.kind for part in options("nasbench201")} == {"space", "network"}
    assert [part.kind for part in options("nasbench201", "network")] == ["network"]


def test_the_name_of_an_argument_lists_the_parts_that_have_it():
    (part,) = options("recalibrate")
    assert part.name == "supernet" and [option.name for option in part.options] == ["recalibrate"]


def test_the_keys_of_a_config_are_listed():
    assert {"seed", "evaluator", "retrain"} <= {option.name for option in options("config")[0].options}


def test_ones_own_factory_is_listed_with_its_kind():
    (part,) = options("tests.support.parts:Mine", "network")
    assert [option.name for option in part.options] == []  # `classes` it is handed


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match="name: unknown 'trainin'. Did you mean 'training'"):
        options("trainin")
    with pytest.raises(InputError, match="kind: unknown 'spac'. Did you mean 'space'"):
        options(kind="spac")


def test_programs_are_listed_too():
    assert set(registry.known("program")) == {"compare", "profile", "score", "tabulate"}
    assert "evaluations" in {option.name for option in options("compare")[0].options}
