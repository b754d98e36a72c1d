"""Progressive dynamic hurdles: who is trained on, and from when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.check import InputError
from jaxnas.evaluators import table
from jaxnas.search import search
from jaxnas.spaces import categorical
from jaxnas.strategies import hurdles
from jaxnas.types import scored

SPACE = categorical({name: range(4) for name in "abcd"})
RNG = np.random.default_rng(0)
FITNESS = RNG.normal(size=(SPACE.size, 1, 3)).cumsum(2).astype(np.float32)
TABLE = table(SPACE, FITNESS, budgets=(10, 30, 90))
SMALL = {"stages": (10, 30, 90), "children": 6, "population_size": 8, "tournament_size": 3}


def history(proposals=1, rounds=120):
    return search(SPACE, hurdles(SPACE, proposals=proposals, **SMALL), TABLE, rounds=rounds, progress=False)


def run(one, fitness, rounds):
    """States after each round of answers `fitness(proposal)`."""
    ask, tell = jax.jit(one.ask), jax.jit(one.tell)
    state, seen = one.init(jax.random.key(0)), []
    for i in range(rounds):
        proposal, state = ask(jax.random.key(i), state)
        state = tell(jax.random.key(i), state, proposal, scored(fitness(proposal)))
        seen.append((proposal, state))
    return seen


def test_the_first_hurdle_is_the_mean_of_those_before_it():
    seen = run(hurdles(SPACE, **SMALL), lambda p: p.id.astype(jnp.float32) ** 2, 6)
    assert all(p.budget[0] == 10 for p, _ in seen)
    assert np.isinf(seen[-2][1].hurdles).all()
    np.testing.assert_allclose(seen[-1][1].hurdles, [np.mean(np.arange(6) ** 2), np.inf])


def test_who_is_above_goes_on_and_who_is_not_stops():
    answers = iter([0, 2, 4, 6, 8, 10, 4.9, 5.1, 7, 3.0])  # the hurdle is 5
    seen = run(hurdles(SPACE, **SMALL), lambda p: jnp.full(1, next(answers), jnp.float32), 10)
    budgets = [int(p.budget[0]) for p, _ in seen]
    assert budgets == [10] * 8 + [30, 10]
    above, again = seen[7][0], seen[8][0]
    assert again.parent[0, 0] == above.id[0] and again.id[0] != above.id[0]
    np.testing.assert_array_equal(again.genome, above.genome)


def test_the_next_hurdle_is_of_those_trained_as_far():
    seen = run(hurdles(SPACE, **SMALL), lambda p: p.id.astype(jnp.float32), 40)
    bars = np.array([state.hurdles for _, state in seen])
    (first,) = np.flatnonzero(np.diff(np.isfinite(bars[:, 1]).astype(int)) == 1) + 1
    trained = [int(p.id[0]) for p, _ in seen[: first + 1] if p.budget[0] == 30]
    state = seen[first][1]
    alive = [i for i in trained if i in np.asarray(state.id)]
    np.testing.assert_allclose(bars[first, 1], np.mean(alive))


@pytest.mark.parametrize("proposals", [1, 3])
def test_every_child_that_passes_is_trained_on_once(proposals):
    rows = list(history(proposals).history)
    by_id = {row["id"]: row for row in rows}
    again = [row for row in rows if row["budget"] > 10]
    assert len(again) > 10 and {row["budget"] for row in rows} == {10, 30, 90}
    for row in again:
        before = by_id[row["parent"][0]]
        assert before["architecture"] == row["architecture"]
        assert (before["budget"], row["budget"]) in ((10, 30), (30, 90))
    assert len({row["parent"][0] for row in again}) == len(again)


def test_it_recommends_the_best_of_the_largest_budget():
    result = history()
    whole = [row for row in result.history if row["budget"] == 90]
    assert result.fitness == max(row["fitness"] for row in whole)


def test_a_failed_child_neither_lives_nor_goes_on():
    fail = lambda p: jnp.where(p.id % 2 == 0, jnp.nan, p.id.astype(jnp.float32))
    seen = run(hurdles(SPACE, **SMALL), fail, 30)
    assert (np.asarray(seen[-1][1].id) % 2 != 0).all()
    assert np.isfinite(seen[-1][1].hurdles[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": (10,)}, "stages: expected two or more numbers"),
        ({"stages": (30, 10)}, "stages: expected increasing integers"),
        ({"stages": (10, 20), "budgets": (10, 30)}, "stages: the evaluator knows 10, 30 steps, got 20"),
        ({"children": 0}, "children: expected at least 1"),
    ],
)
def test_wrong_stages_are_named(changed, message):
    with pytest.raises(InputError, match=message):
        hurdles(SPACE, **{**SMALL, **changed})
