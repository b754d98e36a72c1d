import json

import numpy as np
import pytest

import jaxnas
from jaxnas import get_config, pareto, spaces, tables
from jaxnas.analysis import fronts

DECISIONS = {name: [0, 1, 2] for name in "abcd"}
SPACE = spaces.categorical(DECISIONS)
GENOMES = np.asarray(SPACE.from_index(np.arange(81)))
ACCURACY, MS = GENOMES.sum(1) + 1.0 + 0.1 * (GENOMES == 1).sum(1), (GENOMES == 2).sum(1) + 1.0
MS[0] = np.nan  # not supported


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    column = lambda values, **about: tables.Column(values[:, None, None], **about)
    cost = {"kind": "cost", "higher_is_better": False}
    columns = {"accuracy": column(ACCURACY), "ms": column(MS, **cost), "mj": column(10.0 - GENOMES[:, 0], **cost)}
    path = tmp_path_factory.mktemp("table") / "t.npz"
    tables.save(tables.Table("sums", {"name": "categorical", "decisions": DECISIONS}, np.arange(81), columns), path)
    return path


def config(file, costs="ms", **changes):
    config = get_config("hwnasbench")
    config["evaluator"] |= {"path": str(file), "fitness": "accuracy", "costs": costs}
    config["space"] = {"name": "categorical", "decisions": DECISIONS}
    return {**config, "rounds": 3, **changes}


@pytest.fixture(scope="module")
def done(file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return jaxnas.run(config(file), workdir), workdir


def test_result_has_the_front_of_all_that_was_evaluated(done):
    result, workdir = done
    assert json.loads((workdir / "result.json").read_text())["front"] == result["front"]
    lines = [json.loads(line) for line in (workdir / "history.jsonl").read_text().splitlines()]
    points = {(line["fitness"], line["cost"]["ms"]) for line in lines if line["valid"]}
    fitness, cost = np.array(sorted(points)).T
    on = np.asarray(pareto.front(fitness, cost[:, None]))
    assert [(m["fitness"], m["cost"]["ms"]) for m in result["front"]] == sorted(
        zip(fitness[on], cost[on], strict=True), key=lambda p: p[1]
    )
    for member in result["front"]:
        assert SPACE.from_string(member["architecture"]).tolist() == member["genome"]


def test_hypervolume_is_measured_from_the_worst_that_the_table_knows(done):
    result, _ = done
    # Without the one that is not supported, whose accuracy is 1.
    assert result["hypervolume_reference"] == {"fitness": pytest.approx(2.1), "ms": 5.0}
    # The most of ones, and then of twos, for each latency.
    assert result["true_front"]["size"] == 5
    assert result["true_front"]["hypervolume"] == pytest.approx(3.3 + 4.2 + 5.1 + 6.0, rel=1e-5)
    share = result["hypervolume"] / result["true_front"]["hypervolume"]
    assert 0.8 < share == pytest.approx(result["true_front"]["fraction_reached"])


def test_pictures_are_drawn(done):
    for name in ("front.png", "hypervolume.png"):
        assert (done[1] / name).stat().st_size > 10_000


def test_two_costs_an_objective_and_a_reference(file, tmp_path, capsys):
    changes = {
        "strategy": {"name": "random_search", "proposals": 20},
        "objective": {"name": "weighted_product", "cost": "ms", "target": 2.0},
        "reference_point": {"fitness": 0.0, "mj": 11.0},
    }
    result = jaxnas.run(config(file, costs="ms,mj", **changes), tmp_path)
    assert result["hypervolume_reference"] == {"fitness": 0.0, "ms": 5.0, "mj": 11.0}
    assert all(member["fitness"] in ACCURACY.astype(np.float32) for member in result["front"])  # not the objective
    assert result["fitness"] == pytest.approx(result["raw_fitness"] * (result["cost"]["ms"] / 2) ** -0.07, rel=1e-5)
    said = capsys.readouterr().out
    assert f"{result['raw_fitness']:.4f} before the objective; ms" in said and "of the true front's" in said
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_a_search_recommends_within_limits_and_is_set_beside_random_search(file, capsys):
    result = jaxnas.run(config(file, recommend={"ms": 2.0}, random_search=True))
    assert result["fitness"] == max(m["fitness"] for m in result["front"] if m["cost"]["ms"] <= 2)
    assert result["metric"] == {"name": "accuracy", "unit": "", "higher_is_better": True, "value": result["fitness"]}
    assert result["baseline"]["evaluations"] == result["evaluations"] == 60
    assert set(result["baseline"]["hypervolumes"]) == {"found", "random_search"}
    assert "random search at the same cost\n  hypervolume" in capsys.readouterr().out


def test_without_costs_the_front_is_the_one_that_was_found(file, tmp_path):
    result = jaxnas.run(config(file, costs="", strategy={"name": "random_search", "proposals": 4}), tmp_path)
    (member,) = result["front"]
    assert member["architecture"] == result["architecture"] and not (tmp_path / "front.png").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": "accuracy"}, "table 'sums', costs: unknown 'accuracy'. Known: ms, mj"),
        ({"costs": ""}, "costs: expected the names of one or more costs that the evaluator gives, got none"),
        ({"reference_point": {"msec": 1.0}}, "config.reference_point: unknown 'msec'. Did you mean 'ms'"),
        ({"reference_point": {"ms": "1"}}, "config.reference_point, ms: expected a number"),
        (
            {"strategy": {"name": "nsga2", "limits": {"ms": 0.5}}},
            "config.strategy.limits: no architecture in 'table' has ms of at most 0.5; the smallest is 1",
        ),
        ({"objective": {"name": "weighted", "cost": "ms"}}, "config.objective.name: unknown 'weighted'. Did you mean"),
        ({"objective": {"name": "penalty", "cost": "ms", "target": 1.0}}, "config.objective: 'penalty' needs weight"),
        (
            {"objective": {"name": "weighted_product", "cost": "ms", "target": 0.9}},
            "weighted_product, target: no architecture in 'table' has ms of at most 0.9; the smallest is 1",
        ),
    ],
)
def test_bad_settings_are_answered_before_anything_runs(file, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        jaxnas.run(config(file, **changes), tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_reference_that_nobody_reaches_has_no_share(file, tmp_path):
    result = jaxnas.run(config(file, reference_point={"fitness": 100.0}, rounds=1), tmp_path)
    assert result["hypervolume"] == 0 and result["true_front"]["fraction_reached"] is None


def test_of_equal_points_the_first_is_on_the_front():
    points = fronts.Points(np.array([1.0, 2, 2, 1], np.float32), np.array([[1.0], [2], [2], [3]], np.float32))
    assert fronts.front_of(points).tolist() == [True, True, False, False]
