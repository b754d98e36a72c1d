import json

import numpy as np
import pytest

import jaxnas
from jaxnas import tables
from jaxnas.analysis import correlate

pytestmark = pytest.mark.usefixtures("one_device")

CONFIG = {
    "seed": 0,
    "rounds": 4,
    "space": {"name": "tests.support.parts:mine"},
    "task": {"name": "digits"},
    "network": {"name": "tests.support.parts:Mine"},
    "strategy": {"name": "random_search", "budget": 1, "proposals": 2},
    "evaluator": {"name": "supernet", "steps": 8, "learning_rate": 0.1},
    "retrain": {"steps": 5, "seeds": 1},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    jaxnas.run({k: v for k, v in CONFIG.items() if k != "retrain"}, workdir)
    before = (workdir / "history.jsonl").read_bytes()
    result = correlate(workdir, CONFIG, architectures=4)
    return workdir, before, result


def test_the_finished_search_is_read_and_not_continued(done):
    workdir, before, _ = done
    assert before == (workdir / "history.jsonl").read_bytes()


def test_distinct_architectures_are_scored_and_retrained(done):
    workdir, _, result = done
    assert json.loads((workdir / "correlate.json").read_text()) == json.loads(json.dumps(result))
    skips = [name for name in result["architectures"] if "skip" in name]
    assert len(set(result["architectures"])) == 4 and len(skips) == 1  # all of which are one network
    assert all(f < 0 for f in result["fitness"]) and all(0 <= t <= 1 for t in result["truth"])
    assert (workdir / "correlate.png").stat().st_size > 5000


def test_correlations_have_intervals(done):
    for value in done[2]["correlation"].values():
        assert -1 <= value["low"] <= value["high"] <= 1


def test_too_many_and_too_few_architectures_are_refused(done):
    with pytest.raises(ValueError, match="architectures: expected at least 3, got 2"):
        correlate(done[0], CONFIG, architectures=2)
    with pytest.raises(ValueError, match=r"expected at most 4 \(distinct networks found\), got 5"):
        correlate(done[0], CONFIG, architectures=5)


def test_a_table_needs_a_column(done):
    with pytest.raises(ValueError, match="metric: expected a column of --table"):
        correlate(done[0], CONFIG, architectures=3, table="nasbench201_digits")


def test_a_fitness_made_of_a_column_of_which_less_is_better_ranks_as_it_does(tmp_path):
    space = {"name": "categorical", "decisions": {"a": [0, 1, 2], "b": [0, 1, 2]}}
    column = tables.Column(np.arange(9.0)[:, None, None], higher_is_better=False)
    tables.save(tables.Table("t", space, np.arange(9), {"loss": column}), tmp_path / "t.npz")
    evaluator = {"name": "table", "path": str(tmp_path / "t.npz"), "fitness": "loss"}
    config = {"seed": 0, "rounds": 2, "space": space, "strategy": {"name": "random_search"}, "evaluator": evaluator}
    jaxnas.run(config, tmp_path / "run")
    options = {"architectures": 8, "table": str(tmp_path / "t.npz"), "metric": "loss"}
    result = correlate(tmp_path / "run", config, **options)
    assert result["correlation"]["spearman"]["value"] == 1 and not result["truth_higher_is_better"]
