import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import table
from jaxnas.search import check_pair
from jaxnas.spaces import categorical
from jaxnas.strategies import random_search
from jaxnas.types import propose

SPACE = categorical({"a": range(3), "b": range(2)})
ROWS = np.arange(6.0)
BY_SEED = np.stack([ROWS, ROWS + 10], 1)
BY_BUDGET = BY_SEED[:, :, None] + np.array([100.0, 200.0, 300.0])
ALL = propose(jax.vmap(SPACE.from_index)(jnp.arange(6)), jnp.int32(0))


def answer(evaluator, proposal=ALL, seed=0, state=None):
    key = jax.random.key(seed)
    return evaluator.evaluate(key, evaluator.init(key) if state is None else state, proposal)


def budgets(*given):
    return ALL.replace(budget=jnp.array(given, jnp.int32))


def test_row_of_each_genome():
    feedback, _ = answer(table(SPACE, ROWS, metrics={"test": 10 * ROWS}))
    np.testing.assert_array_equal(feedback.fitness, ROWS)
    np.testing.assert_array_equal(feedback.metrics["test"], 10 * ROWS)


def test_missing_value_is_invalid():
    feedback, _ = answer(table(SPACE, np.array([0, 1, 2, np.nan, 4, 5])))
    np.testing.assert_array_equal(feedback.valid, [1, 1, 1, 0, 1, 1])


def test_mean_over_the_seeds_there_are():
    values = BY_SEED.copy()
    values[0, 1] = np.nan
    feedback, _ = answer(table(SPACE, values))
    np.testing.assert_array_equal(feedback.fitness, [0, 6, 7, 8, 9, 10])


def test_one_seed():
    np.testing.assert_array_equal(answer(table(SPACE, BY_SEED, seeds=1))[0].fitness, ROWS + 10)


def test_drawn_seed_is_the_same_in_all_columns_and_never_a_missing_one():
    values = BY_SEED.copy()
    values[:3, 0] = np.nan
    evaluator = table(SPACE, values, seeds="random", metrics={"test": -values})
    drawn = [answer(evaluator, seed=seed)[0] for seed in range(20)]
    fitness = np.stack([d.fitness for d in drawn])
    np.testing.assert_array_equal(fitness, -np.stack([d.metrics["test"] for d in drawn]))
    np.testing.assert_array_equal(fitness[:, :3], np.broadcast_to(ROWS[:3] + 10, (20, 3)))
    assert set(fitness[:, 3]) == {3.0, 13.0}


def test_largest_known_budget_within_the_one_asked_for():
    feedback, _ = answer(table(SPACE, BY_BUDGET, budgets=(10, 30, 90), seeds=0), budgets(5, 10, 29, 30, 1000, 0))
    np.testing.assert_array_equal(feedback.fitness - ROWS, [100, 100, 100, 200, 300, 300])


def test_only_a_table_of_several_budgets_honours_them():
    picky = random_search(SPACE, budget=3)._replace(needs=frozenset({"fitness", "budget"}))
    check_pair(picky, table(SPACE, BY_BUDGET, budgets=(10, 30, 90)))
    with pytest.raises(ValueError, match="needs budget"):
        check_pair(picky, table(SPACE, ROWS))


def test_simulated_time_ends_the_search_as_trainings_add_up():
    evaluator = table(SPACE, ROWS, seconds=np.full(6, 10.0), limit_seconds=75)
    first, state = answer(evaluator)
    second, state = answer(evaluator, state=state)
    assert first.valid.all() and float(state) == 80
    np.testing.assert_array_equal(second.valid, [1, 1, 0, 0, 0, 0])  # the one that starts at 70 is the last
    np.testing.assert_array_equal(second.metrics["simulated_seconds"], [70, 80, 80, 80, 80, 80])


def test_padding_takes_no_simulated_time():
    evaluator = table(SPACE, ROWS, seconds=np.full(6, 10.0))
    assert float(answer(evaluator, ALL.replace(active=jnp.arange(6) < 2))[1]) == 20


def test_costs_by_name():
    evaluator = table(SPACE, ROWS, costs={"latency": ROWS + 1, "parameters": ROWS + 2})
    assert evaluator.cost_names == ("latency", "parameters") and "cost" in evaluator.gives
    np.testing.assert_array_equal(answer(evaluator)[0].cost, np.stack([ROWS + 1, ROWS + 2], 1))


def test_a_cost_that_is_missing_is_not_valid():
    evaluator = table(SPACE, ROWS, costs={"latency": np.where(ROWS == 2, np.nan, ROWS)})
    np.testing.assert_array_equal(answer(evaluator)[0].valid, ROWS != 2)


def test_what_is_known_of_every_genome():
    values = BY_BUDGET.copy()
    values[1, 0, 2] = np.nan
    values[3, :, 2] = np.nan
    known = table(SPACE, values, budgets=(10, 30, 90), seeds="random", costs={"latency": ROWS + 1}).known()
    np.testing.assert_array_equal(known.fitness, [305, 311, 307, np.nan, 309, 310])  # the largest budget's mean
    np.testing.assert_array_equal(known.cost[:, 0], ROWS + 1)
    np.testing.assert_array_equal(known.valid, ROWS != 3)
    np.testing.assert_array_equal(table(SPACE, BY_SEED, seeds=1).known().fitness, ROWS + 10)


def test_wrong_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"fitness: expected \[6\], \[6, seeds\], a row for each genome, got \(5,\)"):
        table(SPACE, np.zeros(5))


def test_wrong_number_of_budgets_is_refused():
    with pytest.raises(ValueError, match=r"\[6, seeds, 2\].* got \(6, 2, 3\)"):
        table(SPACE, BY_BUDGET, budgets=(10, 30))


@pytest.mark.parametrize("seeds", ["median", 2, -1])
def test_unknown_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds"):
        table(SPACE, BY_SEED, seeds=seeds)


def test_limit_without_seconds_is_refused():
    with pytest.raises(ValueError, match="no column of seconds"):
        table(SPACE, ROWS, limit_seconds=10)


def test_space_too_large_to_enumerate_is_refused():
    with pytest.raises(ValueError, match="has no index"):
        table(categorical({str(i): range(10) for i in range(12)}), np.zeros(1))
