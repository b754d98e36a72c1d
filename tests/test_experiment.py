"""A whole experiment: what it refuses before it begins, and what is kept when a later step fails."""

import errno
import json

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import evaluators, plots, tasks
from jaxnas.analysis import retraining, yardsticks
from jaxnas.check import InputError

pytestmark = pytest.mark.usefixtures("one_device")

TRAINED = {
    "seed": 0,
    "rounds": 2,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": f"{__name__}:waves"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "random_search", "budget": 2, "proposals": 2},
    "evaluator": {"name": "training", "batch_size": 8},
    "retrain": {"steps": 3, "seeds": 1},
}


def absolute_error(outputs, y):
    return jnp.abs(outputs - y).mean(-1)


def waves() -> tasks.Task:
    """Targets that are no classes, and a metric of one's own."""
    x = np.random.default_rng(0).normal(size=(60, 8, 8, 1)).astype("float32")
    y = np.sin(x).mean((1, 2))
    splits = {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}
    metric = tasks.mean_metric(absolute_error, higher_is_better=False, unit="m")
    return tasks.arrays(splits, loss=tasks.squared_error, metric=metric, outputs=1)


def on_a_table(fitness, **changes):
    return {
        "seed": 0,
        "rounds": 3,
        "space": {"name": "categorical", "decisions": {"a": [1, 2, 3], "b": [1, 2]}},
        "strategy": {"name": "random_search"},
        "evaluator": {"name": f"{__name__}:{fitness}"},
        **changes,
    }


def failing() -> evaluators.direct:
    return evaluators.direct(lambda key, genome: float("nan"), jittable=False)


def first_decision():
    return evaluators.direct(lambda key, genome: genome[0].astype(jnp.float32))


def test_a_metric_of_ones_own_is_printed_as_what_it_is(tmp_path, capsys):
    result = jaxnas.run(TRAINED, tmp_path)
    said = capsys.readouterr().out
    assert "test absolute error" in said and "%" not in said and "SVM" not in said
    row = result["retrained"]["found"]
    assert row["test_absolute_error"][0] > 0 and "test_accuracy" not in row and result["test_accuracy"] is None
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result)) and result["complete"]


def test_accuracy_is_printed_in_percent():
    rows = {"found": {"test_accuracy": [0.5, 1.0], "test_loss": [1.0, 1.0]}}
    assert "test accuracy" in (said := retraining.table(rows, tasks.accuracy)) and "75.00 ± 25.00 %" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retrain": {"steps": 3, "seeds": 1, "lerning_rate": 1.0}}, "config.retrain: unknown 'lerning_rate'. Did you"),
        ({"retrain": {"seeds": 1}}, "config.retrain.steps: expected an integer, got None"),
        ({"retrain": {"steps": 3, "seeds": 1, "network": {"chanels": 3}}}, "argument of .* unknown 'chanels'"),
        ({"retrain": {"steps": 3, "seeds": 1, "drop_path": 0.5}}, "it has no paths to drop"),
        ({"reference": "layer=no"}, "config.reference: "),
        ({"rounds": 0}, "config.rounds: expected at least 1, got 0"),
        ({"retrian": {}}, "config: unknown 'retrian'. Did you mean 'retrain'"),
        ({"task": [1]}, r"config.task: expected a dict with a name, got \[1\]"),
        ({"retrain": 3}, "config.retrain: expected a dict, got 3"),
        ({"table": "nasbench201_digits"}, "config.table: expected a dict, got 'nasbench201_digits'"),
    ],
)
def test_what_comes_after_a_search_is_refused_before_it(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        jaxnas.run({**TRAINED, **changes}, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_what_comes_after_a_search_is_no_part_of_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(retraining, "retrained", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jaxnas.run(TRAINED, tmp_path)
    assert "the same command repeats what comes after it" in capsys.readouterr().out
    kept = json.loads((tmp_path / "result.json").read_text())
    assert kept["architecture"] and not kept["complete"]
    history = (tmp_path / "history.jsonl").read_bytes()
    monkeypatch.undo()
    again = jaxnas.run({**TRAINED, "retrain": {"steps": 4, "seeds": 1}}, tmp_path)
    assert again["complete"] and again["architecture"] == kept["architecture"]
    assert (tmp_path / "history.jsonl").read_bytes() == history


def test_a_full_disk_while_drawing_leaves_the_result_and_the_same_call_finishes(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    config = on_a_table("first_decision")
    with monkeypatch.context() as patch:
        patch.setattr(plots, "architecture", full)
        with pytest.raises(InputError, match="No space left on device"):
            jaxnas.run(config, tmp_path)
    assert "the same command repeats what comes after it" in capsys.readouterr().out
    kept = json.loads((tmp_path / "result.json").read_text())
    assert kept["architecture"] and not kept["complete"]
    rounds: list[dict] = []
    again = jaxnas.run(config, tmp_path, on_round=rounds.append)
    assert again["complete"] and again["architecture"] == kept["architecture"] and not rounds
    assert (tmp_path / "architecture.png").exists()


def test_from_a_config_to_its_front_in_a_few_lines_of_python(tmp_path):
    config = jaxnas.get_config("hwnasbench:small", {"rounds": 3})
    result = jaxnas.run(config, tmp_path, say=lambda text: None)
    accuracies = [member["fitness"] for member in result["front"]]
    seconds = [member["cost"]["seconds"] for member in result["front"]]
    assert result["metric"]["name"] == "validation_accuracy" and result["metric"]["value"] == max(accuracies)
    assert seconds == sorted(seconds) and accuracies == sorted(accuracies)


@pytest.mark.slow
def test_darts_is_run_retrained_and_read_in_ten_lines_of_python(tmp_path):
    few = {"rounds": 4, "evaluator.momentum": 0.95, "retrain.steps": 10, "random_search": False}
    config = jaxnas.get_config("darts:small", few)
    result = jaxnas.run(config, tmp_path)
    rows = jaxnas.retrain(workdir=tmp_path, random=1)["retrained"]
    assert set(rows) == {"found", "random 0"} and rows["found"]["architecture"] == result["architecture"]
    assert result["front"][0]["architecture"] == result["architecture"]
    assert result["metric"]["name"] == "test accuracy" and 0 <= result["metric"]["value"] <= 1


def test_random_search_scores_with_the_weights_that_the_warm_up_has_trained(tmp_path):
    supernet = {"name": "supernet", "steps": 4, "batch_size": 8, "recalibrate": 0}
    warm_up = {"name": "random_search", "budget": 1, "proposals": 2, "rounds": 2}
    scored = {"name": "random_search", "proposals": 8}
    config = {**TRAINED, "evaluator": supernet, "warm_up": warm_up, "strategy": scored, "rounds": 1, "retrain": None}
    jaxnas.run({**config, "random_search": True}, tmp_path)
    losses = {}
    for folder in (tmp_path, tmp_path / "random_search"):
        lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        losses[folder] = {line["architecture"]: line["loss"] for line in lines if not line["budget"]}
        trained = sum(line["budget"] for line in lines)
        assert trained == (4 if folder == tmp_path else 0)
    both = set.intersection(*map(set, losses.values()))
    assert both and all(len({of[name] for of in losses.values()}) == 1 for name in both)


def test_a_hand_made_network_beside_inherited_weights_begins_afresh(tmp_path):
    supernet = {"name": "supernet", "steps": 2, "batch_size": 8, "recalibrate": 0}
    warm_up = {"name": "random_search", "budget": 1, "proposals": 2, "rounds": 1}
    retrain = {"steps": 2, "seeds": 1, "inherit": True}
    yardstick = {"name": "resnet", "blocks": 1, "scaled": "filters"}
    config = {**TRAINED, "evaluator": supernet, "warm_up": warm_up, "strategy": {"name": "random_search"}}
    result = jaxnas.run({**config, "rounds": 1, "retrain": retrain, "yardstick": yardstick}, tmp_path)
    assert "before_test_loss" in result["retrained"]["found"] and "hand-made" in result["retrained"]


def test_without_a_workdir_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jaxnas.run(on_a_table("first_decision"), say=lambda text: None)["complete"] and not list(tmp_path.iterdir())


def test_a_part_made_in_python_takes_the_place_of_the_configs(tmp_path):
    config = {key: value for key, value in on_a_table("").items() if key != "evaluator"}
    with pytest.raises(InputError, match="config.evaluator: expected a value, the config has none"):
        jaxnas.run(config, tmp_path)
    result = jaxnas.run(config, tmp_path, parts={"evaluator": first_decision()})
    assert result["complete"] and result["metric"]["name"] == "fitness"
    assert json.loads((tmp_path / "config.json").read_text())["parts"] == {"evaluator": "direct"}


def test_a_search_in_which_nothing_succeeds_fails(tmp_path):
    with pytest.raises(InputError, match=r"none of the 3 evaluations succeeded, .* They are in .*history.jsonl"):
        jaxnas.run(on_a_table("failing"), tmp_path)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3 and not (tmp_path / "result.json").exists()


def test_a_search_that_never_left_its_random_start_says_so(tmp_path, capsys):
    evolution = {"name": "regularized_evolution", "population_size": 6, "tournament_size": 2}
    jaxnas.run(on_a_table("first_decision", strategy=evolution), tmp_path)
    assert "begins with 6 random architectures (population_size): of 3" in capsys.readouterr().out


def test_yardsticks_that_would_take_hours_are_left_out():
    wide = tasks.digits(augment=False)._replace(prepare=lambda x: jnp.repeat(x, 400, -1))
    assert list(yardsticks.classical(wide)) == ["nearest neighbour"]
    assert set(yardsticks.classical(tasks.digits())) == {"nearest neighbour", "SVM (RBF)"}
    assert set(yardsticks.classical(waves())) == {"ridge regression", "5 nearest neighbours"}
