import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import table
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import beam_search
from jaxnas.types import scored

SPACE = categorical({"a": ["x", "y"], "b": range(3), "c": ["x", "y"], "d": range(3), "e": ["x", "y"]})
GENOMES = np.asarray(SPACE.from_index(np.arange(SPACE.size)))
START, GOAL = "a=x,b=0,c=x,d=2,e=x", [1, 2, 1, 0, 1]
GAINS = np.array([-1.0, 3.0, 0.5, 2.0, -4.0])
"""What the change of each decision to its value in the goal adds to fitness."""
ADDITIVE = (GENOMES == GOAL) @ GAINS
RANDOM = np.random.default_rng(0).normal(size=len(GENOMES))


def searched(fitness, rounds, **options):
    strategy = beam_search(SPACE, start=START, goal=GOAL, **options)
    state, records = jax.jit(search_scan(strategy, table(SPACE, fitness), rounds))(jax.random.key(0))
    active = np.asarray(records.proposal.active)
    return strategy, state.strategy, records, np.asarray(records.proposal.genome)[active]


def reachable():
    start = SPACE.from_string(START)
    return {tuple(np.where(some, GOAL, start).tolist()) for some in itertools.product([False, True], repeat=5)}


def test_width_1_finds_the_best_of_each_level_where_changes_add_up():
    strategy, state, records, genomes = searched(ADDITIVE, 16, width=1, proposals=3)
    best = np.append(0, np.cumsum(np.sort(GAINS)[::-1]))
    np.testing.assert_allclose(state.level_best.fitness, best)
    changes = (state.level_best.genome != SPACE.from_string(START)).sum(1)
    np.testing.assert_array_equal(changes, np.arange(6))
    assert len(genomes) == 1 + 5 * 6 / 2
    assert strategy.recommend(state).tolist() == state.level_best.genome[3].tolist()
    assert SPACE.to_string(state.level_best.genome[5]) == "a=y,b=2,c=y,d=0,e=y"


def test_a_wide_beam_sees_every_combination_once():
    _, state, _, genomes = searched(RANDOM, 16, width=100, proposals=4)
    assert {tuple(g) for g in genomes.tolist()} == reachable() and len(genomes) == 32
    index = np.asarray(SPACE.index(genomes))
    changes = (genomes != SPACE.from_string(START)).sum(1)
    best = [RANDOM[index[changes == level]].max() for level in range(6)]
    np.testing.assert_allclose(state.level_best.fitness, np.float32(best))


@pytest.mark.parametrize("proposals", [1, 3, 8])
def test_levels_are_the_same_however_many_are_asked_for_at_a_time(proposals):
    levels = searched(RANDOM, 40, width=2, proposals=proposals)[1].level_best
    np.testing.assert_array_equal(levels.fitness, searched(RANDOM, 8, width=2, proposals=20)[1].level_best.fitness)


def test_a_level_is_padded_at_its_end_and_nothing_is_proposed_twice():
    _, _, records, genomes = searched(RANDOM, 12, width=2, proposals=4)
    active = np.asarray(records.proposal.active)
    assert active.sum(1)[:4].tolist() == [1, 4, 1, 4] and not active[-1].any()
    assert (np.sort(active, 1)[:, ::-1] == active).all()
    assert len(np.unique(genomes, axis=0)) == len(genomes)
    np.testing.assert_array_equal(np.asarray(records.proposal.id)[active], np.arange(len(genomes)))


def test_children_have_one_change_more_than_their_parent():
    _, _, records, genomes = searched(RANDOM, 12, width=2, proposals=4)
    parents = np.asarray(records.proposal.parent)[np.asarray(records.proposal.active)]
    assert (parents[0] == -1).all() and (parents[:, 1] == -1).all()
    assert ((genomes[1:] != genomes[parents[1:, 0]]).sum(1) == 1).all()


def test_only_the_fittest_have_children():
    _, _, records, genomes = searched(RANDOM, 12, width=2, proposals=10)
    parents = np.asarray(records.proposal.parent)[np.asarray(records.proposal.active)][:, 0]
    fitness = RANDOM[np.asarray(SPACE.index(genomes))]
    level = (genomes != SPACE.from_string(START)).sum(1)
    for before in range(1, 4):
        members = np.flatnonzero(level == before)
        fittest = members[np.argsort(-fitness[members])[:2]]
        assert set(parents[level == before + 1]) <= set(fittest.tolist())


def test_members_that_failed_come_last_and_do_not_end_the_search():
    fails = np.where((GENOMES == GOAL)[:, 1], np.nan, ADDITIVE)  # the change that would be the best
    strategy, state, _, genomes = searched(fails, 16, width=2, proposals=8)
    assert strategy.recommend(state)[1] == 0 and state.best.fitness == 2.5
    assert state.level_best.fitness[5] == -jnp.inf and (genomes[-1] == GOAL).all()
    nothing = searched(np.full(len(GENOMES), np.nan), 16, width=2, proposals=8)
    assert (nothing[3][-1] == GOAL).all() and (nothing[1].best.genome == SPACE.from_string(START)).all()


def test_a_level_waits_for_its_last_answer():
    strategy = beam_search(SPACE, start=START, goal=GOAL, proposals=3)
    ask, tell, key = jax.jit(strategy.ask), jax.jit(strategy.tell), jax.random.key(0)
    proposal, state = ask(key, jax.jit(strategy.init)(key))
    state = tell(key, state, proposal, scored(jnp.zeros(3)))
    early, state = ask(key, state)
    late, state = ask(key, state)
    nothing, state = ask(key, state)
    assert late.active.tolist() == [True, True, False] and not nothing.active.any()
    state = tell(key, state, late, scored(jnp.array([1.0, 2.0, 99.0])))
    assert state.level == 1
    state = tell(key, state, early, scored(jnp.array([5.0, 0.0, 0.0])))
    assert state.level == 2 and state.level_best.fitness[1] == 5
    again, _ = ask(key, state)
    assert again.active.all() and set(again.parent[:, 0].tolist()) == {int(early.id[0])}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "a=z,b=0,c=x,d=2,e=x"}, "decision 'a': unknown 'z'"),
        ({"start": [0, 0, 0]}, "start: expected a genome's string or 5 integers, got \\[0, 0, 0\\]"),
        ({"goal": [0, 0, 0, 3, 0]}, "goal: expected a position in \\[0, 2\\] for decision 'd', got 3"),
        ({"goal": START}, "goal: expected another genome than start"),
        ({"width": 0}, "width: expected at least 1"),
        ({"proposals": 0}, "proposals: expected at least 1"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_search(SPACE, **{"start": START, "goal": GOAL, **arguments})
