import json

import numpy as np
import pytest

from jaxnas import get_config, tables
from jaxnas.config import run_program

pytestmark = pytest.mark.usefixtures("one_device")


def config():
    return {
        "name": "tiny",
        "seed": 0,
        "space": {"name": "tests.support.parts:mine"},
        "task": {"name": "digits", "augment": False},
        "network": {"name": "tests.support.parts:Mine"},
        "evaluator": {"name": "training", "batch_size": 32, "learning_rate": 0.1},
        "budgets": (2, 8),
        "curve": (2, 5, 8),
        "seeds": 2,
        "proposals": 2,
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tabulate")
    return run_program("tabulate", config(), workdir), workdir


def test_every_distinct_network_is_trained_once_for_each_seed_and_budget(done):
    table, workdir = done
    assert len((workdir / "history.jsonl").read_text().splitlines()) == 4 * 2 * 2
    assert table.columns["test_accuracy"].values.shape == (4, 2, 2)
    np.testing.assert_array_equal(table.rows, [0, 0, 0, 1, 2, 3])
    assert all(np.isfinite(column.values).all() for column in table.columns.values())


def test_longer_trainings_are_better_and_seeds_differ(done):
    loss = done[0].columns["validation_loss"].values
    assert (loss[:, :, 1] < loss[:, :, 0]).all() and (loss[:, 0] != loss[:, 1]).all()


def test_a_learning_curve_ends_where_its_training_does_and_is_not_that_of_a_shorter_schedule(done):
    columns = done[0].columns
    curve, ends = columns["validation_loss_curve"], columns["validation_loss"]
    assert curve.budgets == (2, 5, 8) and curve.seconds is None
    np.testing.assert_array_equal(curve.values[:, :, -1], ends.values[:, :, 1])
    assert (curve.values[:, :, 0] != ends.values[:, :, 0]).all()


def test_provenance_and_noise_are_beside_the_table(done):
    note = json.loads((done[1] / "tiny.json").read_text())
    assert note["trainings"] == 16 and note["config"]["name"] == "tiny" and "device" in note
    assert set(note["spearman_between_seeds"]["validation_loss"]) == {"2", "8"}


def test_the_same_command_again_changes_nothing(done):
    table, workdir = done
    again = run_program("tabulate", config(), workdir)
    for name in table.columns:
        np.testing.assert_array_equal(again.columns[name].values, table.columns[name].values)


def test_compare_reads_it(done, tmp_path):
    settings = {**compare_config(), "table": str(done[1] / "tiny.npz"), "strategies": "random_search,local_search"}
    with pytest.raises(ValueError, match="which is code: if you know it, name it in config.space"):
        run_program("compare", settings, tmp_path)
    settings["space"] = "tests.support.parts:mine"
    result = run_program("compare", settings, tmp_path)
    assert result["strategies"]["local_search"]["hit_rate"] == 1
    assert tables.is_table(done[1] / "tiny.npz")


def compare_config():
    return {**get_config("compare"), "seeds": 4, "evaluations": 20}
