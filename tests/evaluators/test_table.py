import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.check import InputError
from jaxnas.evaluators import table
from jaxnas.loop.compatibility import check_pair
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


def test_member_whose_time_is_unknown_is_not_valid_and_takes_none():
    seconds = np.where(ROWS == 2, np.nan, 10.0)
    feedback, state = answer(table(SPACE, ROWS, seconds=seconds, limit_seconds=45))
    np.testing.assert_array_equal(feedback.valid, [1, 1, 0, 1, 1, 1])
    assert float(state) == 50


def test_names_of_costs_and_metrics_are_their_own():
    names = {"fitness": -ROWS, "seconds": ROWS + 3}
    feedback, _ = answer(table(SPACE, ROWS, costs=names, metrics=names, seconds=np.ones(6)))
    np.testing.assert_array_equal(feedback.fitness, ROWS)
    np.testing.assert_array_equal(feedback.cost, np.stack(list(names.values()), 1))
    np.testing.assert_array_equal(feedback.metrics["fitness"], -ROWS)
    np.testing.assert_array_equal(feedback.metrics["training_seconds"], np.ones(6))


def test_metric_named_as_what_simulated_time_records_is_refused():
    with pytest.raises(ValueError, match="metrics: 'simulated_seconds' is the name"):
        table(SPACE, ROWS, seconds=ROWS, metrics={"simulated_seconds": ROWS})


def test_offset_that_eats_the_resolution_is_refused():
    with pytest.raises(InputError, match=r"1234567890\.0 and 1234567900\.0 are one number in float32.* an offset"):
        table(SPACE, 1234567890 + 2 * ROWS)
    np.testing.assert_array_equal(answer(table(SPACE, 2 * ROWS))[0].fitness, 2 * ROWS)


def test_only_seeds_that_are_looked_up_must_be_told_apart():
    values = np.stack([1234567890 + ROWS, ROWS], 1)
    table(SPACE, values, seeds=1)
    with pytest.raises(InputError, match="one number in float32"):
        table(SPACE, values, seeds=0)


@pytest.mark.parametrize(
    "column",
    [
        np.array([7.8e7, 1.53e9, 1.53e9 + 1, 2.2e8, 5e8, 9e8]),  # parameters, or FLOPs
        np.array([10.0, 91.6, 91.6 + 1e-7, 91.333333333, 90.123456789, 50]),  # percent
        np.array([0.1, 0.1 + 1e-17, 0.3, 0.1 + 0.2, np.nan, -np.inf]),
        np.full(6, 1234567891.0),
        np.full(6, np.nan),
        np.float32(16777216) + np.float32([0, 2, 4, 6, 8, 10]),
    ],
)
def test_numbers_close_for_the_column_s_range_are_ties(column):
    np.testing.assert_array_equal(answer(table(SPACE, column))[0].fitness, column.astype(np.float32))


@pytest.mark.parametrize("given", [{"fitness": 1e39 * ROWS}, {"fitness": ROWS, "costs": {"ms": 1e39 * ROWS}}])
def test_numbers_beyond_float32_are_refused(given):
    with pytest.raises(InputError, match=r"(fitness|ms).*: 1e\+39 is beyond float32"):
        table(SPACE, **given)


def test_mean_over_seeds_is_of_what_float64_says():
    values = np.stack([1234567890 + ROWS, -1234567890 + ROWS], 1)
    np.testing.assert_array_equal(answer(table(SPACE, values))[0].fitness, ROWS)


EVERYTHING = {
    "budgets": (10, 30, 90),
    "seeds": "random",
    "seconds": np.linspace(1, 2, 36).reshape(6, 2, 3),
    "limit_seconds": np.float64(11.3),
    "costs": {"ms": ROWS / 3},
    "metrics": {"test": BY_BUDGET / 7},
}


def scanned(**given):
    """Feedback of every round, and the state at the end, of a scan over ten evaluations with budgets of all kinds."""
    evaluator = table(SPACE, **given)

    def body(state, key):
        proposal = ALL.replace(budget=jax.random.randint(key, (6,), 0, 100, jnp.int32))
        feedback, state = evaluator.evaluate(key, state, proposal)
        return state, feedback

    return jax.jit(lambda key: jax.lax.scan(body, evaluator.init(key), jax.random.split(key, 10)))(jax.random.key(0))


@pytest.mark.parametrize(
    "given", [{"fitness": BY_BUDGET / 3, **EVERYTHING}, {"fitness": BY_SEED / 3}, {"fitness": BY_SEED, "seeds": 1}]
)
def test_same_feedback_bit_for_bit_in_64_bit_mode(given):
    single = scanned(**given)
    with jax.enable_x64(True):
        double = scanned(**given)
    for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert a.dtype == b.dtype and a.dtype in (bool, np.int32, np.float32)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("costs", [{}, {"ms": ROWS / 3}])
def test_what_is_known_is_the_same_in_64_bit_mode(costs):
    single = table(SPACE, BY_SEED / 3, costs=costs).known()
    with jax.enable_x64(True):
        double = table(SPACE, BY_SEED / 3, costs=costs).known()
    for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert a.dtype == b.dtype and a.dtype in (bool, np.float32)
        np.testing.assert_array_equal(a, b)


def test_what_is_no_number_is_refused():
    with pytest.raises(InputError, match="fitness: expected numbers, got <U1"):
        table(SPACE, np.array(list("abcdef")))


def test_cost_by_seed_is_refused():
    with pytest.raises(InputError, match=r"costs\['ms'\]: expected \[6\], one for each genome, got \(6, 2\)"):
        table(SPACE, ROWS, costs={"ms": BY_SEED})


@pytest.mark.parametrize("seeds", ["random", 1])
def test_other_number_of_seeds_is_refused_where_one_is_looked_up(seeds):
    three = np.stack([ROWS] * 3, 1)
    with pytest.raises(InputError, match="seconds: expected 1 or 2 seeds, as fitness has them, got 3"):
        table(SPACE, BY_SEED, seeds=seeds, seconds=three)
    np.testing.assert_array_equal(answer(table(SPACE, BY_SEED, seconds=three))[0].metrics["training_seconds"], ROWS)


@pytest.mark.parametrize("budgets", [(10, 3_000_000_000), (10, 20.5), (-1, 10)])
def test_budgets_that_no_proposal_can_have_are_refused(budgets):
    with pytest.raises(InputError, match="budgets: expected"):
        table(SPACE, BY_BUDGET[:, :, :2], budgets=budgets)


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
    with pytest.raises(ValueError, match="evaluator 'table' needs a space with an enumeration"):
        table(categorical({str(i): range(10) for i in range(12)}), np.zeros(1))
