"""Searches that begin with given architectures, or with what is known of others."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas.check import InputError
from jaxnas.config.registry import make
from jaxnas.evaluators import table
from jaxnas.search import search, search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import (
    beam_search,
    hurdles,
    hyperband,
    nsga2,
    ppo,
    random_search,
    regularized_evolution,
    trials_of,
    warm_start,
)
from jaxnas.types import Evaluator, scored

SPACE = categorical({name: range(4) for name in "abcdef"})
GENOMES = np.asarray(SPACE.from_index(np.arange(SPACE.size)))
FITNESS = -((GENOMES - np.array([1, 2, 3, 0, 1, 2])) ** 2).sum(1).astype(np.float32)
COST = GENOMES.sum(1).astype(np.float32)
TABLE = table(SPACE, FITNESS)
BEST, GOOD, BAD = "a=1,b=2,c=3,d=0,e=1,f=2", "a=1,b=2,c=3,d=0,e=0,f=2", "a=3,b=0,c=0,d=3,e=3,f=0"
LARGE = categorical({f"d{i}": range(4) for i in range(12)})
TARGET = np.arange(12) % 4
DISTANCE = Evaluator(
    "distance",
    lambda key: (),
    lambda key, state, proposal: (scored(-((proposal.genome - TARGET) ** 2).sum(1).astype(jnp.float32)), state),
)
EVOLUTION = {"population_size": 8, "tournament_size": 4, "proposals": 4}


def begun(strategy, rounds=3, **given):
    return search(SPACE, warm_start(strategy, SPACE, **given), TABLE, rounds=rounds, progress=False)


@pytest.mark.parametrize(
    "name", ["random_search", "regularized_evolution", "local_search", "bananas", "reinforce", "ppo"]
)
def test_initial_architectures_come_first(name):
    options = {"bananas": {"initial": 4, "capacity": 12, "candidates": 6}, "regularized_evolution": EVOLUTION}
    one = make("strategy", {"name": name, "proposals": 4, **options.get(name, {})}, {"space": SPACE})
    result = begun(one, initial=[GOOD, np.asarray(SPACE.from_string(BAD))])
    assert [row["architecture"] for row in result.history[:2]] == [GOOD, BAD]
    assert result.history.column("initial").sum() == 2 and result.history[0]["parent"] == [-1, -1]
    assert result.fitness >= -1


def test_more_than_one_ask_of_initial_architectures():
    names = [SPACE.to_string(GENOMES[i]) for i in range(7)]
    result = begun(random_search(SPACE, proposals=3), initial=names)
    assert [row["architecture"] for row in result.history[:7]] == names


def test_hyperband_tries_them_in_its_first_rung_alone():
    many = np.tile(FITNESS[:, None, None], (1, 1, 2))
    strategy = hyperband(SPACE, max_budget=3, min_budget=1, proposals=2)
    of_budgets = table(SPACE, many, budgets=(1, 3))
    names = [SPACE.to_string(GENOMES[i]) for i in range(9)]
    result = search(SPACE, warm_start(strategy, SPACE, initial=names), of_budgets, rounds=12, progress=False)
    given = [row for row in result.history if row["initial"]]
    assert [row["architecture"] for row in given] == names
    assert all(row["parent"] == [-1, -1] for row in given)


def test_hurdles_try_them_all_between_trainings_that_go_on():
    many = np.tile(FITNESS[:, None, None], (1, 1, 2))
    strategy = hurdles(SPACE, stages=(1, 3), children=3, population_size=4, tournament_size=2, proposals=3)
    names = [SPACE.to_string(GENOMES[i]) for i in np.argsort(FITNESS)[::300][:13]]
    evaluator = table(SPACE, many, budgets=(1, 3))
    result = search(SPACE, warm_start(strategy, SPACE, initial=names), evaluator, rounds=12, progress=False)
    given = [row["architecture"] for row in result.history if row["initial"]]
    assert given == names and any(row["budget"] == 3 for row in result.history[:13])


def test_what_a_policy_is_told_of_initial_architectures_is_their_own_probability():
    one = warm_start(ppo(SPACE, proposals=3), SPACE, initial=[BEST])
    proposal, _ = one.ask(jax.random.key(0), one.init(jax.random.key(1)))
    probability = proposal.extra["own"]["log_prob"]
    np.testing.assert_allclose(probability, -6 * np.log(4), atol=0.5)  # nearly uniform in the beginning
    plain, _ = ppo(SPACE, proposals=3).ask(jax.random.key(0), one.init(jax.random.key(1)).inner)
    assert probability[0] != plain.extra["log_prob"][0] and probability[1] == plain.extra["log_prob"][1]


def test_neat_tries_them_too():
    space = jaxnas.spaces.graph(2, 1, hidden=4, connections=12)
    xor = jaxnas.problems.xor()
    net = jaxnas.networks.GraphNetwork()
    strategy = make("strategy", {"name": "neat", "proposals": 6}, {"space": space})
    evaluator = jaxnas.evaluators.direct(xor.fitness, network=net)
    given = space.sample(jax.random.key(5))
    result = search(space, warm_start(strategy, space, initial=[given]), evaluator, rounds=2, progress=False)
    assert result.history[0]["architecture"] == space.to_string(jax.tree.map(np.asarray, given))
    assert result.history.column("initial").tolist() == [True] + [False] * 11


def test_trials_fill_the_population_and_are_not_evaluated_again():
    rows = [{"architecture": SPACE.to_string(GENOMES[i]), "fitness": float(FITNESS[i])} for i in range(10)]
    rows.append({"architecture": GOOD, "fitness": -1.0})
    one = warm_start(regularized_evolution(SPACE, **EVOLUTION), SPACE, trials=rows)
    state = one.init(jax.random.key(0))
    assert state.inner.born == 11 and state.inner.best.fitness == -1.0
    assert SPACE.to_string(np.asarray(one.recommend(state))) == GOOD
    result = search(SPACE, one, TABLE, rounds=2, progress=False)
    assert min(result.history.column("id")) >= 11 and "initial" not in result.history[0]
    assert (result.history.column("parent")[:, 0] >= 0).all()


def test_trials_come_from_the_folder_of_a_search_or_a_csv_file(tmp_path):
    first = search(SPACE, random_search(SPACE, proposals=4), TABLE, rounds=3, workdir=tmp_path / "run", progress=False)
    with (tmp_path / "known.csv").open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(["architecture", "fitness"])
        written.writerows([row["architecture"], row["fitness"]] for row in first.history)
        written.writerow([BEST, ""])  # failed
    for source in (tmp_path / "run", tmp_path / "known.csv", first.history):
        trials = trials_of(SPACE, source)
        np.testing.assert_array_equal(trials.genomes, first.history.genomes)
        np.testing.assert_allclose(trials.fitness, first.history.column("fitness"))


def test_of_a_warm_up_and_scores_the_scores_count(tmp_path):
    text = "architecture,fitness,phase,budget,valid,relaxed\n{0},-3,0,1,True,False\n{0},-1,1,0,True,False\n"
    (tmp_path / "known.csv").write_text((text + "{0},-9,1,30.0,True,\n{0},-2,1,0,False,\n").format(f'"{BEST}"'))
    np.testing.assert_array_equal(trials_of(SPACE, tmp_path / "known.csv").fitness, [-1.0])
    (tmp_path / "known.csv").write_text(f'architecture,fitness,valid\n"{BEST}",1,perhaps\n')
    with pytest.raises(InputError, match="trials: row 1: expected true or false for 'valid', got 'perhaps'"):
        trials_of(SPACE, tmp_path / "known.csv")


def test_costs_of_trials_are_read_where_the_strategy_reads_them():
    evaluator = table(SPACE, FITNESS, costs={"size": COST})
    first = search(SPACE, nsga2(SPACE, costs="size", population_size=4), evaluator, rounds=3, progress=False)
    one = warm_start(nsga2(SPACE, costs="size", population_size=4), SPACE, trials=first.history)
    state = one.init(jax.random.key(0))
    rows = np.asarray(jax.vmap(SPACE.index)(state.inner.genomes))
    np.testing.assert_allclose(state.inner.cost[:, 0], COST[rows])
    with pytest.raises(InputError, match="trials: row 1 has no cost 'size'"):
        warm_start(nsga2(SPACE, costs="size"), SPACE, trials=[{"architecture": BEST, "fitness": 0.0}])


@pytest.mark.statistical
def test_a_good_start_saves_evaluations_and_a_bad_one_recovers():
    def reached(**given):
        run = regularized_evolution(LARGE, population_size=40, tournament_size=20, proposals=4)
        run = warm_start(run, LARGE, **given) if given else run
        keys = jax.random.split(jax.random.key(0), 64)
        fitness = jax.jit(jax.vmap(lambda key: search_scan(run, DISTANCE, 400)(key)[1].feedback.fitness))(keys)
        found = np.asarray(fitness).reshape(64, -1) == 0
        return np.median(np.where(found.any(1), found.argmax(1), found.shape[1]))

    def near(changes):
        return np.where(np.arange(12) < changes, 3 - TARGET, TARGET)

    cold, warm = reached(), reached(initial=[near(2)] * 4)
    assert warm < 0.85 * cold  # of the 40 that it begins with, 36 are random all the same
    assert reached(initial=[near(12)] * 40) < 1.6 * cold


@pytest.mark.parametrize(
    ("strategy", "given", "message"),
    [
        (random_search, {}, "warm_start: expected initial architectures, or trials, got neither"),
        (random_search, {"initial": ["a=9"]}, "a=9"),
        (
            random_search,
            {"initial": [np.zeros(5, int)]},
            "warm_start.initial: expected a genome of space 'categorical'",
        ),
        (random_search, {"initial": [np.full(6, 7)]}, "expected a genome of space"),
        (random_search, {"trials": "nowhere"}, "trials: .*nowhere is not there; expected the folder of a search"),
        (random_search, {"trials": [{"fitness": 1.0}]}, "trials: row 1 has no 'architecture'"),
        (random_search, {"trials": [{"architecture": "a=9", "fitness": 1.0}]}, "trials: row 1: "),
        (
            random_search,
            {"trials": [{"architecture": BEST, "fitness": "good"}]},
            "row 1: expected a number for 'fitness'",
        ),
        (random_search, {"trials": [{"architecture": BEST, "fitness": None}]}, "none of 1 rows has a fitness"),
        (
            lambda space: hyperband(space, max_budget=3),
            {"trials": [{"architecture": BEST, "fitness": 0.0}]},
            "can make nothing of answers that it has not asked for",
        ),
        (
            lambda space: beam_search(space, start=np.zeros(6, int), goal=np.ones(6, int)),
            {"initial": [BEST]},
            "learns from its own proposals alone, give its argument start",
        ),
    ],
)
def test_what_a_search_cannot_begin_with_is_named(strategy, given, message):
    with pytest.raises(InputError, match=message):
        warm_start(strategy(SPACE), SPACE, **given)


def test_a_config_says_what_a_search_begins_with(tmp_path):
    def config(**changed):
        return {
            "seed": 0,
            "rounds": 3,
            "space": {"name": "nasbench201"},
            "strategy": {"name": "regularized_evolution", **EVOLUTION},
            "evaluator": {"name": "table", "path": "nasbench201_digits", "fitness": "validation_loss"},
            **changed,
        }

    jaxnas.run(config(), tmp_path / "first")
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    warm = {"initial": [cell], "trials": str(tmp_path / "first")}
    jaxnas.run(config(warm_start=warm), tmp_path / "second")
    rows = [json.loads(line) for line in (tmp_path / "second" / "history.jsonl").read_text().splitlines()]
    assert rows[0]["architecture"] == cell and rows[0]["initial"] and rows[0]["id"] == 12
    with pytest.raises(InputError, match="unknown 'intial'. Did you mean 'initial'"):
        jaxnas.run(config(warm_start={"intial": [cell]}), tmp_path / "third")
