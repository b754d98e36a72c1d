import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import pareto


def random_points(seed, n=24, costs=1, levels=6):
    """Small integers, so that there are ties and equals; some are not valid, and hold what must not be read."""
    rng = np.random.default_rng(seed)
    fitness, cost = (
        rng.integers(0, levels, n).astype(np.float32),
        rng.integers(0, levels, (n, costs)).astype(np.float32),
    )
    valid = rng.random(n) < 0.8
    return np.where(valid, fitness, np.nan), np.where(valid[:, None], cost, np.inf), valid


def beats(a, b):
    """Plain Python: of two `(fitness, *costs)`."""
    signed = [(-a[0], -b[0]), *zip(a[1:], b[1:], strict=True)]
    return all(x <= y for x, y in signed) and any(x < y for x, y in signed)


def peeled(fitness, cost, valid, beats=beats):
    rank, left, r = np.full(len(fitness), len(fitness)), set(np.flatnonzero(valid)), 0
    points = [(f, *c) for f, c in zip(fitness, cost, strict=True)]
    while left:
        first = {i for i in left if not any(beats(points[j], points[i]) for j in left)}
        rank[list(first)], left, r = r, left - first, r + 1
    return rank


@pytest.mark.parametrize(("costs", "seed"), itertools.product((1, 2, 3), range(3)))
def test_ranks_and_front_are_those_of_peeling_by_hand(costs, seed):
    fitness, cost, valid = random_points(seed, costs=costs)
    expected = peeled(fitness, cost, valid)
    np.testing.assert_array_equal(pareto.ranks(fitness, cost, valid), expected)
    np.testing.assert_array_equal(jax.jit(pareto.ranks)(fitness, cost, valid), expected)
    np.testing.assert_array_equal(pareto.front(fitness, cost, valid), expected == 0)


def test_everybody_is_valid_by_default():
    assert pareto.ranks(jnp.array([1.0, 2.0, 0.0]), jnp.array([[1.0], [2.0], [2.0]])).tolist() == [0, 0, 1]


def test_equals_do_not_dominate_each_other():
    assert pareto.front(jnp.ones(3), jnp.ones((3, 2))).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_feasible_dominate_and_less_violation_dominates_more(seed):
    fitness, cost, valid = random_points(seed, costs=2)
    violation = np.asarray(pareto.violation(cost, jnp.array([2.0, jnp.inf])))
    expected_violation = np.maximum(cost[:, 0] / 2 - 1, 0)
    np.testing.assert_allclose(violation[valid], expected_violation[valid])

    def constrained(a, b):
        over = [max(p[1] / 2 - 1, 0) for p in (a, b)]
        return over[0] < over[1] if max(over) > 0 else beats(a, b)

    expected = peeled(fitness, cost, valid, constrained)
    np.testing.assert_array_equal(pareto.ranks(fitness, cost, valid, violation), expected)


def test_crowding_of_a_front_by_hand():
    fitness, cost = jnp.array([1.0, 2.0, 4.0, 5.0]), jnp.array([[10.0], [30.0], [40.0], [50.0]])
    order = jnp.array([2, 0, 3, 1])
    distance = pareto.crowding(fitness[order], cost[order], jnp.zeros(4, jnp.int32))
    expected = [3 / 4 + 20 / 40, np.inf, np.inf, 3 / 4 + 30 / 40]
    np.testing.assert_allclose(distance, expected)


def test_crowding_looks_at_the_own_front_only_and_not_at_the_invalid():
    fitness = jnp.array([1.0, 2.0, 3.0, 1.5, jnp.nan, 0.5, 1.7])
    cost = jnp.array([[1.0], [2.0], [3.0], [9.0], [2.0], [8.0], [9.5]])
    rank = jnp.array([0, 0, 0, 1, 7, 1, 1])
    distance = np.asarray(pareto.crowding(fitness, cost, rank))
    np.testing.assert_allclose(distance, [np.inf, 2, np.inf, 2, 0, np.inf, np.inf])


def test_a_front_of_equals_is_crowded_but_at_its_ends():
    distance = np.asarray(pareto.crowding(jnp.ones(4), jnp.ones((4, 1)), jnp.zeros(4, jnp.int32)))
    np.testing.assert_array_equal(distance, [np.inf, 0, 0, np.inf])


def cells(fitness, cost, valid, reference):
    """Volume on the grid of integers, cell by cell."""
    sides = [range(int(reference[0]), 6), *(range(int(r)) for r in reference[1:])]
    points = [(f, *c) for f, c, v in zip(fitness, cost, valid, strict=True) if v]
    # A cell [f, f+1] × [c, c+1] … is dominated where fitness reaches its top and the costs its lower corner.
    return sum(any(p[0] > at[0] and all(c <= x for c, x in zip(p[1:], at[1:], strict=True)) for p in points)
               for at in itertools.product(*sides))  # fmt: skip


@pytest.mark.parametrize(("costs", "seed"), itertools.product((1, 2, 3), range(3)))
def test_hypervolume_is_the_number_of_cells_dominated(costs, seed):
    fitness, cost, valid = random_points(seed, n=9, costs=costs)
    reference = np.array([1.0, *[5.0] * costs], np.float32)
    expected = cells(fitness, cost, valid, reference)
    for hypervolume in (pareto.hypervolume, jax.jit(pareto.hypervolume)):
        assert hypervolume(fitness, cost, reference, valid) == expected


def test_hypervolumes_are_those_of_each_beginning():
    fitness, cost, valid = random_points(0, n=10, costs=2)
    reference = jnp.array([0.0, 6.0, 6.0])
    found = pareto.hypervolumes(fitness, cost, reference, valid)
    expected = [pareto.hypervolume(fitness[:n], cost[:n], reference, valid[:n]) for n in (2, 6, 10)]
    np.testing.assert_allclose(found[jnp.array([1, 5, 9])], expected)


def test_who_is_not_better_than_the_reference_adds_nothing():
    fitness, cost = jnp.array([5.0, 1.0, 0.5]), jnp.array([[9.0], [1.0], [0.0]])
    assert pareto.hypervolume(fitness, cost, jnp.array([0.5, 4.0])) == 0.5 * 3


def test_what_is_not_known_is_never_best():
    fitness, cost = jnp.array([9.0, 1.0, jnp.nan, 0.5]), jnp.array([[jnp.nan], [5.0], [0.1], [6.0]])
    assert pareto.front(fitness, cost).tolist() == [False, True, False, False]
    assert pareto.ranks(fitness, cost).tolist() == [4, 0, 4, 1]
    assert not pareto.dominates(fitness, cost)[jnp.array([0, 2])].any()
    assert pareto.hypervolume(fitness, cost, jnp.array([0.0, 7.0])) == 1 * 2 + 0  # of the second, which has the last
    np.testing.assert_array_equal(pareto.hypervolumes(fitness, cost, jnp.array([0.0, 7.0])), [0, 2, 2, 2])
