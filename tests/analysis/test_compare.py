import json

import jax
import numpy as np
import pytest

from jaxnas import build, get_config, tables
from jaxnas.analysis import comparison
from jaxnas.config import run_program
from jaxnas.search import search_scan
from jaxnas.spaces import categorical

DECISIONS = {name: [0, 1, 2] for name in "abcd"}
SPACE = categorical(DECISIONS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """81 genomes; validation falls with the sum of the choices, two budgets, two seeds."""
    genomes = np.asarray(SPACE.from_index(np.arange(81)))
    loss = genomes.sum(1)[:, None, None] + np.array([[0.0], [0.5]]) + np.array([0.25, 0.0])
    columns = {
        "validation_loss": tables.Column(loss, budgets=(10, 30), seeds=(0, 1), seconds="s", higher_is_better=False),
        "test_loss": tables.Column(loss + 100, budgets=(10, 30), seeds=(0, 1), higher_is_better=False),
        "accuracy": tables.Column(genomes.sum(1)[:, None, None] + 1.0),
        "ms": tables.Column(genomes.sum(1)[:, None, None] + 1.0, kind="cost", higher_is_better=False),
        "once": tables.Column(loss[:, :1, :1]),
        "s": tables.Column(np.ones((81, 1, 2)) * [10.0, 30.0], "", "seconds", (10, 30), ("mean",)),
    }
    path = tmp_path_factory.mktemp("table") / "t.npz"
    tables.save(tables.Table("sums", {"name": "categorical", "decisions": DECISIONS}, np.arange(81), columns), path)
    return path


def config(file, **changes):
    small = {"table": str(file), "seeds": 20, "evaluations": 40, "population_size": 10, "tournament_size": 3}
    return {**get_config("compare"), **small, **changes}


@pytest.fixture(scope="module")
def done(file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    chosen = "random_search,regularized_evolution,local_search(seeds=10),hyperband"
    return run_program("compare", config(file, strategies=chosen, test_metric="test_loss"), workdir), workdir


def test_fields_that_scripts_rely_on(done):
    result, workdir = done
    assert json.loads((workdir / "compare.json").read_text()) == json.loads(json.dumps(result))
    assert (workdir / "compare.png").stat().st_size > 10_000
    for row in result["strategies"].values():
        assert {"curve", "hit_rate", "evaluations_per_second", "seconds"} <= set(row)
        assert set(row["curve"]["40"]) == {"mean", "stderr"}


def test_losses_are_reported_as_losses_and_fall(done):
    for row in done[0]["strategies"].values():
        means = [row["curve"][str(n)]["mean"] for n in (10, 20, 40) if str(n) in row["curve"]]
        assert means == sorted(means, reverse=True) and means[-1] < 3
    assert done[0]["optimum"] == 0.25


def test_regret_is_the_distance_to_the_optimum(done):
    row = done[0]["strategies"]["random_search"]
    assert row["regret"]["40"]["mean"] == pytest.approx(row["curve"]["40"]["mean"] - 0.25, abs=1e-5)


def test_local_search_solves_a_sum_and_is_told_apart(done):
    result = done[0]
    assert result["strategies"]["local_search"]["hit_rate"] == 1
    verdicts = {frozenset((d["a"], d["b"])): d for d in result["differences"]["40"]}
    assert verdicts[frozenset(("random_search", "local_search"))]["significant"]
    assert result["ranked_seeds"] == 10
    ranks = result["ranks"]["40"]
    assert min(ranks, key=ranks.get) == "local_search"


def test_hidden_metric_is_that_of_what_was_recommended(done):
    row = done[0]["strategies"]["random_search"]
    assert row["test"]["40"]["mean"] == pytest.approx(100 + row["curve"]["40"]["mean"], abs=1e-4)


def test_lower_budgets_count_for_their_share(done):
    rows = done[0]["strategies"]
    assert rows["hyperband"]["evaluations"] > rows["random_search"]["evaluations"] == 800


def test_simulated_time_stops_a_search(file, tmp_path):
    found = run_program("compare", config(file, strategies="random_search,local_search", limit_seconds=300.0), tmp_path)
    assert found["strategies"]["random_search"]["curve"]["10"] == found["strategies"]["random_search"]["curve"]["40"]


def test_what_needs_several_budgets_is_left_out_where_there_is_one(file, tmp_path, capsys):
    chosen = config(file, metric="once", strategies="hyperband,random_search")
    assert list(run_program("compare", chosen, tmp_path)["strategies"]) == ["random_search"]
    assert "hyperband: left out, it needs several budgets and column 'once' has one" in capsys.readouterr().out


def test_a_hidden_metric_is_the_mean_of_the_seeds_that_are_there(tmp_path):
    test = np.full((4, 2, 1), 93.0)
    test[:, 1] = np.nan
    columns = {"seen": tables.Column(np.arange(4.0)[:, None, None]), "hidden": tables.Column(test, seeds=(0, 1))}
    space = {"name": "categorical", "decisions": {"a": [0, 1], "b": [0, 1]}}
    tables.save(tables.Table("t", space, np.arange(4), columns), tmp_path / "t.npz")
    chosen = config(tmp_path / "t.npz", metric="seen", test_metric="hidden", strategies="random_search")
    found = run_program("compare", chosen, tmp_path / "run")
    assert found["strategies"]["random_search"]["test"]["40"] == {"mean": 93.0, "stderr": 0.0}


def test_hyperband_trains_for_budgets_that_the_table_has(tmp_path):
    columns = {"accuracy": tables.Column(np.arange(8.0).reshape(4, 1, 2), budgets=(12, 200))}
    space = {"name": "categorical", "decisions": {"a": [0, 1], "b": [0, 1]}}
    tables.save(tables.Table("t", space, np.arange(4), columns), tmp_path / "t.npz")
    config = {"space": space, "strategy": {"name": "hyperband", "max_budget": 200, "min_budget": 12}}
    evaluator = {"name": "table", "path": str(tmp_path / "t.npz"), "fitness": "accuracy"}
    parts = build({**config, "evaluator": evaluator})
    asked = search_scan(parts.strategy, parts.evaluator, 40, record=lambda r: r.proposal.budget)(jax.random.key(0))[1]
    assert set(np.asarray(asked).ravel().tolist()) == {12, 200}


def test_what_is_left_of_a_strategy_is_its_random_start_is_said(file, tmp_path, capsys):
    chosen = config(file, strategies="random_search,regularized_evolution(population_size=40)")
    found = run_program("compare", chosen, tmp_path)["strategies"]
    said = capsys.readouterr().out
    assert "(81 of 81 genomes" in said  # of each, whatever the number of budgets
    note = found["regularized_evolution(population_size=40)"]["note"]
    assert "random search under another name" in note and note in said and "note" not in found["random_search"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "once", "strategies": "hyperband"}, "config.strategies: nothing to run of 'hyperband'"),
        ({"table": "nasbench201_digit"}, "Did you mean 'nasbench201_digits'"),
        ({"metric": "validation_los"}, "Did you mean 'validation_loss'"),
        ({"metric": "s"}, "config.metric: 's' holds training times"),
        ({"strategies": "random"}, "config.strategies: unknown 'random'. Did you mean 'random_search'"),
        ({"strategies": "random_search;mcts"}, "expected names separated by commas"),
        ({"strategies": "mcts,mcts"}, "mcts is there twice"),
        ({"strategies": "mcts(explore=1)"}, "unknown 'explore'"),
        ({"evaluatons": 3}, "config: unknown 'evaluatons'. Did you mean 'evaluations'"),
        ({"seeds": 1}, "config.seeds: expected at least 2, got 1"),
        ({"noise": "median"}, "config.noise: unknown 'median'"),
        ({"published": "nats/x/y"}, "config.published: unknown 'nats/x/y'"),
    ],
)
def test_bad_settings_are_answered_before_anything_runs(file, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run_program("compare", config(file, **changes), tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_strategies_with_arguments():
    assert comparison.calls("a, b(x=1, y='z'),c()") == [("a", {}), ("b", {"x": 1, "y": "z"}), ("c", {})]
    with pytest.raises(ValueError, match="expected names separated by commas"):
        comparison.calls("a(x=open('f'))")


def test_with_costs_searches_are_measured_by_the_front_they_find(file, tmp_path):
    chosen = config(file, strategies="random_search,nsga2(population_size=8)", metric="accuracy", costs="ms")
    result = run_program("compare", chosen, tmp_path)
    for row in result["strategies"].values():
        means = [row["curve"][n]["mean"] for n in ("1", "10", "40")]
        assert 0 <= means[0] < means[1] < means[2] <= 1
    assert result["optimum"] == 1 and result["true_front"] == 9
    assert (tmp_path / "compare.png").stat().st_size > 10_000


def test_with_an_objective_they_are_measured_by_the_best_within_its_target(file, tmp_path):
    hard = {"name": "weighted_product", "cost": "ms", "target": 5.0, "alpha": 0.0, "beta": -1.0}
    chosen = config(file, strategies="local_search", metric="accuracy", costs="ms", objective=hard)
    result = run_program("compare", chosen, tmp_path)
    row = result["strategies"]["local_search"]
    assert result["optimum"] == row["curve"]["40"]["mean"] == 5 and row["within_1_percent"] == row["hit_rate"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": "once"}, "table 'sums', costs: unknown 'once'. Known: ms, s"),
        ({"objective": {"name": "penalty", "cost": "s", "target": 1.0, "weight": 1.0}}, "'table' gives no costs"),
        ({"costs": "ms", "test_metric": "test_loss"}, "config.test_metric: a front has no test metric"),
        ({"costs": "ms", "reference_point": {"ms": 0.5}}, "config.reference_point: none is better than"),
        ({"costs": "ms", "strategies": "nsga2(limits={'ms': 0.1})"}, "ms of at most 0.1; the smallest is 1"),
    ],
)
def test_bad_settings_of_costs_are_answered_before_anything_runs(file, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run_program(
            "compare", config(file, **{"metric": "accuracy", "strategies": "mcts", **changes}), tmp_path / "never"
        )
    assert not (tmp_path / "never").exists()
