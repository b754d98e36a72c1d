import json

import pytest

from tests.support.programs import run

CONFIG = {
    "seed": 0,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": "digits"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "random_search", "budget": 5},
    "evaluator": {"name": "training", "learning_rate": 0.1},
    "retrain": {"steps": 20, "seeds": 1},
}
FOUND = "layer=dense,power=2"


@pytest.mark.parametrize("form", ["--workdir={} --config.retrain.steps={}", "--workdir {} --config.retrain.steps {}"])
def test_config_of_the_search_is_found_and_can_be_changed(tmp_path, form):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    given = (*form.format(tmp_path, 0).split(), f"--architecture={FOUND}")
    status, said = run("launch.retrain", *given)
    assert status == 1 and "steps: expected at least 1, got 0" in said


def test_a_workdir_without_a_search_is_named(tmp_path):
    status, said = run("launch.retrain", f"--workdir={tmp_path}")
    assert status == 1 and f"no config.json in {tmp_path}; finish a search there, or give a config" in said
