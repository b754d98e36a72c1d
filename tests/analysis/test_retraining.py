import json

import pytest

import jaxnas

pytestmark = pytest.mark.usefixtures("one_device")

CONFIG = {
    "seed": 0,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": "digits"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "regularized_evolution", "population_size": 4, "tournament_size": 2, "budget": 5},
    "evaluator": {"name": "training", "learning_rate": 0.1},
    "retrain": {"steps": 20, "seeds": 1},
    "yardstick": {"name": "resnet", "blocks": 1, "scaled": "filters"},
}
FOUND = "layer=dense,power=2"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return jaxnas.retrain(CONFIG, FOUND, workdir=workdir, random=3), workdir / "retrain.json"


def test_the_file_has_what_was_returned_and_how_to_do_it_again(whole):
    result, output = whole
    assert json.loads(output.read_text()) == json.loads(json.dumps(result))
    assert set(result["retrained"]) == {"found", "random 0", "random 1", "random 2", "hand-made"}
    assert result["config"] == CONFIG and {"versions", "device"} <= set(result)


def test_found_is_compared_with_random_architectures(whole):
    result = whole[0]
    losses = [result["retrained"][f"random {i}"]["test_loss"][0] for i in range(3)]
    assert result["random"]["median_test_loss"] == sorted(losses)[1]
    assert result["random"]["better_than_found"] == sum(loss < result["random"]["found_test_loss"] for loss in losses)


def test_residual_network_has_about_as_many_parameters(whole):
    rows = whole[0]["retrained"]
    assert "architecture" not in rows["hand-made"]
    assert abs(rows["hand-made"]["parameters"] / rows["found"]["parameters"] - 1) < 0.5


def test_results_of_another_config_are_not_overwritten(whole):
    output = whole[1]
    before = output.read_bytes()
    with pytest.raises(ValueError, match=r"output: .*retrain.json holds results of another config; give another"):
        jaxnas.retrain({**CONFIG, "seed": 1}, FOUND, workdir=output.parent)
    assert output.read_bytes() == before
