import itertools

import jax
import numpy as np
import pytest

from jaxnas import pareto

RANKS, FRONT, CROWDING = jax.jit(pareto.ranks), jax.jit(pareto.front), jax.jit(pareto.crowding)
HYPERVOLUME, HYPERVOLUMES = jax.jit(pareto.hypervolume), jax.jit(pareto.hypervolumes)


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
    np.testing.assert_array_equal(RANKS(fitness, cost, valid), expected)
    np.testing.assert_array_equal(FRONT(fitness, cost, valid), expected == 0)


def test_everybody_is_valid_by_default():
    fitness, cost = np.float32([1, 2, 0]), np.float32([[1], [2], [2]])
    for ranks in (pareto.ranks, RANKS):
        assert ranks(fitness, cost).tolist() == [0, 0, 1]


def test_equals_do_not_dominate_each_other():
    assert FRONT(np.ones(3, np.float32), np.ones((3, 2), np.float32)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_feasible_dominate_and_less_violation_dominates_more(seed):
    fitness, cost, valid = random_points(seed, costs=2)
    violation = np.asarray(pareto.violation(cost, np.float32([2, np.inf])))
    expected_violation = np.maximum(cost[:, 0] / 2 - 1, 0)
    np.testing.assert_allclose(violation[valid], expected_violation[valid])

    def constrained(a, b):
        over = [max(p[1] / 2 - 1, 0) for p in (a, b)]
        return over[0] < over[1] if max(over) > 0 else beats(a, b)

    expected = peeled(fitness, cost, valid, constrained)
    np.testing.assert_array_equal(RANKS(fitness, cost, valid, violation), expected)


def test_crowding_of_a_front_by_hand():
    fitness, cost = np.float32([1, 2, 4, 5]), np.float32([[10], [30], [40], [50]])
    order = np.array([2, 0, 3, 1])
    distance = CROWDING(fitness[order], cost[order], np.zeros(4, np.int32))
    expected = [3 / 4 + 20 / 40, np.inf, np.inf, 3 / 4 + 30 / 40]
    np.testing.assert_allclose(distance, expected)


def test_crowding_looks_at_the_own_front_only_and_not_at_the_invalid():
    fitness = np.float32([1, 2, 3, 1.5, np.nan, 0.5, 1.7])
    cost = np.float32([[1], [2], [3], [9], [2], [8], [9.5]])
    rank = np.int32([0, 0, 0, 1, 7, 1, 1])
    distance = np.asarray(CROWDING(fitness, cost, rank))
    np.testing.assert_allclose(distance, [np.inf, 2, np.inf, 2, 0, np.inf, np.inf])


def test_a_front_of_equals_is_crowded_but_at_its_ends():
    distance = CROWDING(np.ones(4, np.float32), np.ones((4, 1), np.float32), np.zeros(4, np.int32))
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
    assert HYPERVOLUME(fitness, cost, reference, valid) == expected


def test_hypervolumes_are_those_of_each_beginning():
    fitness, cost, valid = random_points(0, n=10, costs=2)
    reference = np.float32([0, 6, 6])
    found = HYPERVOLUMES(fitness, cost, reference, valid)
    expected = [HYPERVOLUME(fitness, cost, reference, valid & (np.arange(10) < n)) for n in (2, 6, 10)]
    np.testing.assert_allclose(np.asarray(found)[[1, 5, 9]], expected)


def test_members_not_better_than_the_reference_add_nothing():
    fitness, cost = np.float32([5, 1, 0.5]), np.float32([[9], [1], [0]])
    for hypervolume in (pareto.hypervolume, HYPERVOLUME):
        assert hypervolume(fitness, cost, np.float32([0.5, 4])) == 0.5 * 3


def test_what_is_not_known_is_never_best():
    fitness, cost = np.float32([9, 1, np.nan, 0.5]), np.float32([[np.nan], [5], [0.1], [6]])
    assert FRONT(fitness, cost).tolist() == [False, True, False, False]
    assert RANKS(fitness, cost).tolist() == [4, 0, 4, 1]
    assert not np.asarray(jax.jit(pareto.dominates)(fitness, cost))[[0, 2]].any()
    reference = np.float32([0, 7])
    assert HYPERVOLUME(fitness, cost, reference) == 1 * 2 + 0  # of the second, which has the last
    np.testing.assert_array_equal(HYPERVOLUMES(fitness, cost, reference), [0, 2, 2, 2])
