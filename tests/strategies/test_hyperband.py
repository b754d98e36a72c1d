import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import direct, table
from jaxnas.loop.compatibility import check_pair
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import hyperband, successive_halving
from jaxnas.strategies._hyperband import brackets, halving, within
from jaxnas.types import Evaluator, scored

SPACE = categorical({"a": range(8), "b": range(8)})
VALUES = np.random.default_rng(0).normal(size=(64, 1, 4)).astype(np.float32)
BUDGETS = (1, 3, 9, 27)
FAILS = np.random.default_rng(1).random(64) < 0.5


HALVING = partial(successive_halving, SPACE, min_budget=1, max_budget=27)
HYPERBAND = hyperband(SPACE, max_budget=27)


@cache
def scanned(strategy, rounds):
    """A search as a function of a key and of what each genome (by index) is worth at each of `BUDGETS`."""

    def run(key, worth):
        def evaluate(key, state, proposal):
            at = jnp.searchsorted(jnp.array(BUDGETS), proposal.budget)
            return scored(worth[SPACE.index(proposal.genome), at]), state

        evaluator = Evaluator("worth", lambda key: (), evaluate, gives=frozenset({"fitness", "budget"}))
        return search_scan(strategy, evaluator, rounds)(key)

    return jax.jit(run)


def of_the_living(state, records):
    proposal, feedback = jax.tree.map(lambda leaf: np.concatenate(np.asarray(leaf)), records)
    lived = proposal.active
    return state.strategy, jax.tree.map(lambda leaf: leaf[lived], (proposal, feedback))


@cache
def halved(proposals):
    return HALVING(proposals=proposals), {1: 45, 4: 12, 40: 4}[proposals]


def run(strategy, rounds, worth=VALUES[:, 0]):
    return of_the_living(*scanned(strategy, rounds)(jax.random.key(0), jnp.asarray(worth, jnp.float32)))


SCHEDULE = [rung for bracket in brackets(27) for rung in bracket]
PASS = sum(n for n, _ in SCHEDULE) + 27  # and the first rung of the next


def rungs(proposal):
    """Positions of the members of each rung, in order."""
    return [np.flatnonzero(proposal.extra["turn"] == turn) for turn in range(proposal.extra["turn"].max() + 1)]


def test_rungs_of_the_paper():
    published = brackets(81)
    assert published[0] == ((81, 1), (27, 3), (9, 9), (3, 27), (1, 81))
    assert [bracket[0] for bracket in published] == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]
    assert published[3] == ((8, 27), (2, 81))


def test_smallest_budget_bounds_the_brackets():
    assert brackets(90, 3, 10) == (((9, 10), (3, 30), (1, 90)), ((5, 30), (1, 90)), ((3, 90),))


def test_rungs_of_one_bracket():
    assert halving(27, 1, 27) == ((27, 1), (9, 3), (3, 9), (1, 27))
    assert halving(10, 10, 90) == ((10, 10), (3, 30), (1, 90))


@pytest.mark.parametrize("proposals", [1, 4, 40])
def test_promoted_members_are_the_best_of_their_rung(proposals):
    _, (proposal, feedback) = run(*halved(proposals))
    members = rungs(proposal)
    assert [len(rung) for rung in members[:4]] == [27, 9, 3, 1]
    for rung, following in itertools.pairwise(members[:4]):
        best = rung[np.argsort(-feedback.fitness[rung], kind="stable")[: len(following)]]
        np.testing.assert_array_equal(proposal.parent[following, 0], proposal.id[best])
        np.testing.assert_array_equal(proposal.genome[following], proposal.genome[best])
        assert (proposal.budget[following] == 3 * proposal.budget[rung[0]]).all()


def test_end_of_a_rung_is_padded():
    _, records = scanned(*halved(4))(jax.random.key(0), VALUES[:, 0])
    np.testing.assert_array_equal(records.proposal.active.sum(1)[:12], [4] * 6 + [3] + [4, 4, 1] + [3] + [1])


def test_one_pass_of_hyperband_trains_its_brackets_and_then_begins_again():
    _, (proposal, _) = run(HYPERBAND, PASS)
    counted = [(len(rung), int(proposal.budget[rung[0]])) for rung in rungs(proposal)]
    assert counted == [*SCHEDULE, SCHEDULE[0]]
    assert (proposal.parent[-27:] == -1).all()


def test_while_answers_are_outstanding_none_is_promoted():
    strategy = successive_halving(SPACE, members=3, min_budget=1, max_budget=3, proposals=2)
    ask, tell = jax.jit(strategy.ask), jax.jit(strategy.tell)
    state = jax.jit(strategy.init)(jax.random.key(0))
    first, state = ask(jax.random.key(1), state)
    second, state = ask(jax.random.key(2), state)
    waiting, state = ask(jax.random.key(3), state)
    assert first.active.all() and second.active.tolist() == [True, False] and not waiting.active.any()
    state = tell(jax.random.key(4), state, second, scored(jnp.array([5.0, 9.0])))  # out of order
    assert not ask(jax.random.key(5), state)[0].active.any()
    state = tell(jax.random.key(6), state, first, scored(jnp.array([1.0, 2.0])))
    promoted, _ = ask(jax.random.key(7), state)
    assert promoted.active.tolist() == [True, False] and promoted.parent[0, 0] == second.id[0]
    np.testing.assert_array_equal(promoted.genome[0], second.genome[0])


def test_unusable_members_are_promoted_last():
    _, (proposal, feedback) = run(*halved(1), np.where(FAILS[:, None], np.nan, VALUES[:, 0]))
    first, second = rungs(proposal)[:2]
    assert 9 <= feedback.valid[first].sum() < 27 and feedback.valid[second].all()


def test_rung_of_failures_goes_on():
    state, (proposal, _) = run(*halved(1), np.full((64, 4), np.nan))
    assert [len(rung) for rung in rungs(proposal)] == [27, 9, 3, 1, 5]
    assert state.best.fitness == -jnp.inf


def test_recommends_the_best_of_the_largest_budget_only():
    shrinks = np.arange(64)[:, None] / 100 - np.array(BUDGETS)
    state, (proposal, feedback) = run(HYPERBAND, PASS, shrinks)
    whole = proposal.budget == 27
    best = proposal.genome[whole][np.argmax(feedback.fitness[whole])]
    np.testing.assert_array_equal(HYPERBAND.recommend(state), best)


def test_budgets_must_be_honoured():
    with pytest.raises(ValueError, match="'hyperband' needs budget"):
        check_pair(hyperband(SPACE, max_budget=27), direct(lambda key, genome: 0.0))


def test_seeds_are_vmapped():
    keys = jax.vmap(jax.random.key)(jnp.array([1, 2, 0]))
    one = scanned(HYPERBAND, PASS)
    together, single = jax.jit(jax.vmap(one, (0, None)))(keys, VALUES[:, 0])[1], one(keys[2], VALUES[:, 0])[1]
    for ours, alone in zip(*map(jax.tree.leaves, (together, single)), strict=True):
        np.testing.assert_array_equal(ours[2], alone)


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        (hyperband, {"max_budget": 0}, "max_budget: expected at least 1"),
        (hyperband, {"max_budget": 9, "min_budget": 10}, r"at least 10 \(the min_budget\)"),
        (
            hyperband,
            {"max_budget": 9, "budgets": (12, 200)},
            r"max_budget: expected at least 12 .the smallest of budgets",
        ),
        (hyperband, {"max_budget": 9, "budgets": (3, 3)}, r"budgets: expected increasing integers, got .3, 3."),
        (hyperband, {"max_budget": 9, "budgets": (0, 3)}, "budgets: expected at least 1"),
        (hyperband, {"max_budget": 9, "reduction": 1}, "reduction: expected at least 2"),
        (successive_halving, {"max_budget": 27, "min_budget": 1, "members": 20}, "members: expected at least 27"),
        (successive_halving, {"max_budget": 27, "min_budget": 1, "proposals": 0}, "proposals: expected at least 1"),
    ],
)
def test_sizes_out_of_range_are_refused(factory, arguments, message):
    with pytest.raises(ValueError, match=message):
        factory(SPACE, **arguments)


WITHIN = (
    hyperband(SPACE, max_budget=200, budgets=[12, 200]),
    successive_halving(SPACE, min_budget=12, max_budget=200, budgets=(12, 200)),
)


@cache
def of_two(strategy):
    evaluator = table(SPACE, VALUES[..., :2], budgets=(12, 200))
    return of_the_living(*jax.jit(search_scan(strategy, evaluator, 60))(jax.random.key(0)))


@pytest.mark.parametrize("strategy", WITHIN, ids=["hyperband", "successive_halving"])
def test_only_budgets_that_there_are_are_asked_for(strategy):
    _, (proposal, feedback) = of_two(strategy)
    assert set(proposal.budget.tolist()) == {12, 200}
    members = rungs(proposal)
    first, second = members[0], members[1]
    assert (proposal.budget[first] == 12).all() and (proposal.budget[second] == 200).all()
    best = first[np.argsort(-feedback.fitness[first], kind="stable")[: len(second)]]
    np.testing.assert_array_equal(proposal.parent[second, 0], proposal.id[best])


def test_rungs_of_the_same_budget_are_one_with_the_members_of_the_first():
    assert within(((9, 22), (3, 66), (1, 200)), (12, 200)) == ((9, 12), (1, 200))
    assert within(((27, 11), (9, 33), (3, 99), (1, 300)), (10, 40, 120)) == ((27, 10), (3, 40), (1, 120))
    assert within(((5, 66), (1, 200)), (50,)) == ((5, 50),)


def test_a_pass_within_given_budgets():
    """From 12, three brackets: 22, 66 and 200 steps; 66 and 200; 200."""
    _, (proposal, _) = of_two(WITHIN[0])
    counted = [(len(rung), int(proposal.budget[rung[0]])) for rung in rungs(proposal)]
    assert counted[:5] == [(9, 12), (1, 200), (5, 12), (1, 200), (3, 200)]


def test_budgets_in_a_geometric_series_are_the_ones_planned():
    given = hyperband(SPACE, max_budget=27, budgets=BUDGETS)
    (_, (a, _)), (_, (b, _)) = (run(strategy, PASS) for strategy in (HYPERBAND, given))
    np.testing.assert_array_equal(a.budget, b.budget)
    np.testing.assert_array_equal(a.genome, b.genome)
