import json

import pytest

from launch import retrain
from tests.support.programs import run

pytestmark = pytest.mark.usefixtures("one_device")

CONFIG = {
    "seed": 0,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": "digits"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "regularized_evolution", "population_size": 4, "tournament_size": 2, "budget": 5},
    "evaluator": {"name": "training", "learning_rate": 0.1},
    "retrain": {"steps": 20, "seeds": 1},
    "residual": 1,
}
FOUND = "layer=dense,power=2"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "retrain.json"
    return retrain.run(CONFIG, FOUND, output, random=3), output


def test_the_file_has_what_was_returned_and_how_to_do_it_again(whole):
    result, output = whole
    assert json.loads(output.read_text()) == json.loads(json.dumps(result))
    assert set(result["retrained"]) == {"found", "random 0", "random 1", "random 2", "residual network"}
    assert result["config"] == CONFIG and {"versions", "device"} <= set(result)


def test_found_is_compared_with_random_architectures(whole):
    result = whole[0]
    losses = [result["retrained"][f"random {i}"]["test_loss"][0] for i in range(3)]
    assert result["random"]["median_test_loss"] == sorted(losses)[1]
    assert result["random"]["better_than_found"] == sum(loss < result["random"]["found_test_loss"] for loss in losses)


def test_residual_network_has_about_as_many_parameters(whole):
    rows = whole[0]["retrained"]
    assert "architecture" not in rows["residual network"]
    assert abs(rows["residual network"]["parameters"] / rows["found"]["parameters"] - 1) < 0.5


def test_results_of_another_config_are_not_overwritten(whole):
    output = whole[1]
    before = output.read_bytes()
    with pytest.raises(ValueError, match=r"output: .*retrain.json holds results of another config; give another"):
        retrain.run({**CONFIG, "seed": 1}, FOUND, output)
    assert output.read_bytes() == before


@pytest.mark.parametrize("form", ["--workdir={}", "--workdir {}"])
def test_config_of_the_search_is_found_and_can_be_changed(tmp_path, form):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    given = (*form.format(tmp_path).split(), "--config.retrain.steps=0", f"--architecture={FOUND}")
    status, said = run("launch.retrain", *given)
    assert status == 1 and "steps: expected at least 1, got 0" in said


def test_a_workdir_without_a_search_is_named(tmp_path):
    status, said = run("launch.retrain", f"--workdir={tmp_path}")
    assert status == 1 and f"no config.json in {tmp_path}; finish a search there, or give --config" in said
