import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.strategies import knapsack

D, C, MOST = 6, 4, 12
FRONT = jax.jit(knapsack.front, static_argnums=3)


def instance(seed, budgets=1):
    """Scores, whole costs and a ragged mask; what is masked would be the best choice, and has no number at all."""
    rng = np.random.default_rng(seed)
    scores, costs = rng.normal(size=(D, C)).astype(np.float32), rng.integers(0, 5, size=(D, C, budgets))
    mask = np.arange(C) < rng.integers(1, C + 1, size=(D, 1))
    scores[~mask] = np.nan if seed % 2 else -100
    costs[:, 0] += 1  # so that nothing is feasible within the smallest budgets
    return scores, costs[..., 0] if budgets == 1 else costs, mask


def enumerated(scores, costs, mask):
    """`[N]` total scores and `[N, K]` total costs of all choices."""
    every = np.array(list(itertools.product(*[np.flatnonzero(row) for row in mask])))
    d = np.arange(D)
    return scores[d, every].sum(1), costs.reshape(D, C, -1)[d, every].sum(1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budgets", [1, 2])
def test_every_budget_is_solved_as_by_enumeration(seed, budgets):
    scores, costs, mask = instance(seed, budgets)
    most = MOST if budgets == 1 else (MOST, 7)
    score, choices = map(np.asarray, FRONT(scores, costs, mask, most))
    all_scores, all_costs = enumerated(scores, costs, mask)
    for budget in np.ndindex(score.shape):
        within = all_scores[(all_costs <= budget).all(1)]
        assert score[budget] == pytest.approx(within.min() if len(within) else np.inf, abs=1e-5)
        chosen = choices[budget]
        if not len(within):
            assert (chosen == -1).all()
            continue
        at = (np.arange(D), chosen)
        assert mask[at].all() and scores[at].sum() == pytest.approx(score[budget], abs=1e-5)
        assert (costs.reshape(D, C, -1)[at].sum(0) <= budget).all()


def test_nothing_is_feasible_within_the_smallest_budgets():
    scores, costs, mask = instance(1)
    cheapest = np.where(mask, costs, 99).min(1).sum()
    score = FRONT(scores, costs, mask, MOST).score
    assert cheapest > 0 and np.isinf(score[:cheapest]).all() and np.isfinite(score[cheapest:]).all()


@pytest.mark.parametrize("budgets", [1, 2])
def test_optimum_is_that_of_a_mixed_integer_programme(budgets):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(budgets)
    decisions, options, most = 20, 6, (60, 45)[:budgets]
    scores = rng.normal(size=(decisions, options))
    costs = rng.integers(0, 9, size=(decisions, options, budgets))
    one_each = np.kron(np.eye(decisions), np.ones(options))
    rows = costs.reshape(-1, budgets).T
    solution = optimize.milp(
        scores.ravel(),
        integrality=np.ones(scores.size),
        bounds=optimize.Bounds(0, 1),
        constraints=[optimize.LinearConstraint(one_each, 1, 1), optimize.LinearConstraint(rows, -np.inf, most)],
    )
    found = FRONT(scores, costs, np.ones(scores.shape, bool), most)
    assert found.score[most] == pytest.approx(solution.fun, abs=1e-4)
    np.testing.assert_array_equal(found.choices[most], solution.x.reshape(scores.shape).argmax(1))


def test_under_vmap_each_is_solved_by_itself():
    scores, costs, mask = instance(0)
    many = np.stack([scores, scores[::-1], -scores])
    together = jax.jit(jax.vmap(lambda s: knapsack.front(s, costs, mask, MOST)))(many)
    for alone, score, choices in zip(many, *together, strict=True):
        found = FRONT(alone, costs, mask, MOST)
        np.testing.assert_array_equal(found.score, score)
        np.testing.assert_array_equal(found.choices, choices)


def test_an_infinite_score_is_never_chosen():
    scores, costs, mask = np.zeros((2, 2)), np.ones((2, 2), int), np.ones((2, 2), bool)
    scores[0, 0] = np.inf
    found = knapsack.front(scores, costs, mask, 2)
    assert found.choices[2, 0] == 1 and np.isinf(found.score[:2]).all()


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["64 bits", "32 bits"])
def test_multiples_of_a_unit_are_whole_numbers_exactly(kind):
    integers, unit, least, exact = knapsack.quantized(kind([[3.2, 2.9, 3.5], [1.05, 1.2, 1.35]]), 20)
    np.testing.assert_array_equal(integers, [[2, 0, 4], [0, 1, 2]])
    assert exact and unit == pytest.approx(0.15, rel=1e-5) and least == pytest.approx(3.95)


def test_bytes_of_gigabytes_are_exact_where_the_grid_has_room():
    costs = 2.0**31 + 4096 * np.array([[0, 3, 999.0], [5, 0, 7]])
    assert knapsack.quantized(costs, 1006).unit == 4096
    assert not knapsack.quantized(costs, 1005).exact
    grid = knapsack.quantized(costs, 10, span=4096 * 10)
    assert grid.exact and grid.integers.tolist() == [[0, 3, 11], [5, 0, 7]]


def test_other_costs_are_rounded_up_so_that_no_budget_is_exceeded():
    rng = np.random.default_rng(0)
    costs, scores = rng.gamma(1.0, size=(D, C)), rng.normal(size=(D, C))
    mask = np.arange(C) < rng.integers(2, C + 1, size=(D, 1))
    grid = jax.jit(knapsack.quantized, static_argnums=1)(costs, 50, mask=mask)
    assert not grid.exact
    found = FRONT(scores, grid.integers, mask, 50)
    total = costs[np.arange(D), found.choices].sum(1)
    budget = grid.least + grid.unit * np.arange(51)
    assert (total <= budget + 1e-4).all() and total[0] == pytest.approx(float(grid.least), rel=1e-5)
    # No worse than the optimum of a budget that is D units smaller.
    all_scores, all_costs = enumerated(scores, costs, mask)
    for b in range(D, 51):
        within = all_scores[all_costs[:, 0] <= float(budget[b] - D * grid.unit)]
        assert found.score[b] <= within.min(initial=np.inf) + 1e-5


def test_costs_that_are_all_the_same_are_nothing():
    grid = knapsack.quantized(np.full((3, 2), 7.0), 10)
    assert grid.integers.tolist() == [[0, 0]] * 3 and grid.least == 21 and np.isfinite(grid.unit)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knapsack.front(np.ones((2, 3)), np.ones((2, 2)), np.ones((2, 3)), 4), "expected scores and mask"),
        (lambda: knapsack.front(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), (4, 4)), "most=\\(4, 4\\)"),
        (lambda: knapsack.front(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), -1), "most: expected at least 0"),
        (lambda: knapsack.quantized(np.ones((2, 3)), 0), "resolution: expected at least 1"),
        (lambda: knapsack.quantized(np.ones(3), 5), "costs: expected"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
