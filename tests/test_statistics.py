import itertools

import jax
import numpy as np
import pytest
from scipy import stats

from jaxnas import pareto, statistics


def test_incumbent_is_the_best_that_was_paid_for():
    fitness = np.array([[1.0, 3.0, np.nan, 2.0, 4.0]])
    best = statistics.incumbents(fitness, fitness, np.array([[1, 2, 3, 4, 5]]), at=[1, 2, 4, 5, 9])
    np.testing.assert_array_equal(best, [[1, 3, 3, 4, 4]])


def test_what_is_reported_of_the_incumbent_is_its_value_not_its_fitness():
    fitness, value = np.array([[1.0, 3.0, 2.0]]), np.array([[10.0, 5.0, 7.0]])
    np.testing.assert_array_equal(statistics.incumbents(fitness, value, np.array([[1, 2, 3]]), [1, 2, 3]), [[10, 5, 5]])


def test_nothing_before_the_first_that_counts():
    fitness = np.array([[np.nan, np.nan, 2.0]])
    best = statistics.incumbents(fitness, fitness, np.array([[0.1, 0.2, 1.2]]), at=[0.05, 0.2, 1.2])
    np.testing.assert_array_equal(best, [[np.nan, np.nan, 2]])


def test_earlier_incumbent_stays_on_ties():
    fitness, value = np.array([[1.0, 1.0]]), np.array([[7.0, 8.0]])
    assert statistics.incumbents(fitness, value, np.array([[1, 2]]), [2])[0, 0] == 7


def test_ranks_share_ties():
    found = statistics.ranks({"a": np.array([3.0, 2.0]), "b": np.array([1.0, 2.0]), "c": np.array([2.0, 0.0])})
    assert found == {"a": 1.25, "b": 2.25, "c": 2.5}


def test_holm_of_a_textbook_case():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_difference_is_found_where_there_is_one_and_only_there():
    random = np.random.default_rng(0)
    a = random.normal(size=200)
    found = statistics.differences({"a": a, "b": a + random.normal(size=200), "c": a + 0.5 + random.normal(size=200)})
    assert not found["a", "b"].significant
    assert found["a", "c"].significant and found["a", "c"].mean < 0


def test_bootstrap_interval_is_that_of_the_mean():
    d = np.random.default_rng(0).normal(1, 2, size=1000)
    found = statistics.differences({"a": d, "b": np.zeros(1000)}, resamples=4000)["a", "b"]
    error = 1.96 * d.std() / np.sqrt(1000)
    np.testing.assert_allclose([found.low, found.high], [d.mean() - error, d.mean() + error], atol=0.03)
    assert found.p == stats.wilcoxon(d).pvalue


def test_equal_results_are_not_told_apart():
    assert statistics.differences({"a": np.ones(5), "b": np.ones(5)})["a", "b"].p == 1


def test_pairs_are_compared_over_the_seeds_that_both_have():
    a, b = np.arange(6.0), np.array([1.0, 3.0, 5.0])
    found = statistics.differences({"a": a, "b": b})["a", "b"]
    assert found.mean == -2 and (found.low, found.high) > (-3.01, -1.01)


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="as many seeds of each"):
        statistics.ranks({"a": np.ones(3), "b": np.ones(4)})


def test_rank_correlation_is_scipys_and_its_interval_covers_the_true_one():
    x = np.random.default_rng(0).normal(size=(2, 300))
    a, b = x[0], 0.6 * x[0] + 0.8 * x[1]
    found = statistics.rank_correlation(a, b)
    assert found["kendall"].value == stats.kendalltau(a, b).statistic
    assert found["spearman"].value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    true = 6 / np.pi * np.arcsin(0.3)  # Spearman's of a normal pair with correlation .6
    assert found["spearman"].low < true < found["spearman"].high < found["spearman"].low + 0.25


def test_rank_correlation_of_two_pairs_is_refused():
    with pytest.raises(ValueError, match="three or more"):
        statistics.rank_correlation([1, 2], [2, 1])


def test_spearman_is_scipys_with_ties_too_and_undefined_for_a_constant():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 4, 50) / 3, random.normal(size=50).round(1)
    found = statistics.rank_correlation(a, b, measures=["spearman"], resamples=20, seed=1)
    random = np.random.default_rng(1)
    drawn = [random.integers(0, 50, 50) for _ in range(20)]
    low, high = np.quantile([stats.spearmanr(a[rows], b[rows]).statistic for rows in drawn], [0.025, 0.975])
    assert set(found) == {"spearman"}
    np.testing.assert_allclose(found["spearman"], [stats.spearmanr(a, b).statistic, low, high], atol=1e-12)
    assert np.isnan(statistics.rank_correlation(np.ones(9), np.arange(9))["spearman"]).all()


def test_unknown_measure_of_correlation_is_refused():
    with pytest.raises(ValueError, match="measures: unknown 'pearson'"):
        statistics.rank_correlation(range(4), range(4), measures=["pearson"])


def test_hypervolume_of_all_evaluations_up_to_each():
    fitness, cost = np.array([[1.0, np.nan, 0.5, 2.0, 2.0], [np.nan] * 5]), np.ones((2, 5, 1))
    cost[0, :, 0] = [3, 1, 3, 2, np.nan]
    found = statistics.hypervolumes(fitness, cost, [0.0, 4.0])
    np.testing.assert_array_equal(found, [[1, 1, 1, 4, 4], [0] * 5])


def test_hypervolumes_of_two_costs_are_those_of_each_beginning():
    rng = np.random.default_rng(0)
    fitness, cost, reference = rng.random((3, 30)), rng.random((3, 30, 2)), np.array([0.1, 0.9, 0.9])
    found = statistics.hypervolumes(fitness, cost, reference)
    hypervolume = jax.jit(pareto.hypervolume)
    for s, n in itertools.product(range(3), (1, 7, 30)):
        expected = hypervolume(fitness[s], cost[s], reference, np.arange(30) < n)
        assert found[s, n - 1] == pytest.approx(float(expected), 1e-5)
