from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import direct
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import mcts
from jaxnas.strategies._mcts import percentile, upper_confidence_bound
from jaxnas.types import Feedback, scored

SPACE = categorical({"a": range(3), "b": range(2), "c": range(4)})
STRATEGY = mcts(SPACE)
SUM = direct(lambda key, genome: genome.sum().astype(jnp.float32))


@cache
def searched(proposals):
    """Records of a search as a function of whether fitness is transformed."""

    def run(cubed):
        total = lambda genome: genome.sum().astype(jnp.float32)
        fitness = lambda key, genome: jnp.where(cubed, 1000 + total(genome) ** 3, total(genome))
        rounds = -(-24 // proposals) + 2
        return search_scan(mcts(SPACE, proposals=proposals), direct(fitness), rounds)(jax.random.key(0))[1]

    return jax.jit(run)


def run(strategy, evaluator, rounds, seed=0):
    return jax.jit(search_scan(strategy, evaluator, rounds))(jax.random.key(seed))


def test_bound_is_that_of_auer_et_al():
    bound = upper_confidence_bound(jnp.array([3.0, 0.0]), jnp.array([4, 0]), jnp.array([4, 0]), jnp.array(10), 0.5)
    assert float(bound[0]) == pytest.approx(3 / 4 + 0.5 * np.sqrt(np.log(10) / 4), rel=1e-6)
    assert bound[1] == jnp.inf


def test_reward_is_the_share_that_is_worse():
    seen = jnp.array([1.0, 2.0, 2.0, 5.0, jnp.nan])
    np.testing.assert_allclose(percentile(jnp.array([0.0, 2.0, 9.0]), seen), [0, 0.5, 1])


@pytest.mark.parametrize("proposals", [1, 5])
def test_every_genome_once_and_then_nothing(proposals):
    records = searched(proposals)(False)
    active = records.proposal.active
    genomes = records.proposal.genome[active]
    assert active.sum() == 24 and len(np.unique(genomes, axis=0)) == 24
    assert not active[-2:].any()


def test_first_descents_try_every_first_option():
    records = searched(1)(False)
    assert set(records.proposal.genome[:3, 0, 0].tolist()) == {0, 1, 2}


def test_good_branches_get_more_visits_than_bad_ones():
    wide = categorical({name: range(4) for name in "abcdef"})
    first = direct(lambda key, genome: (genome[0] == 2).astype(jnp.float32) + 0.01 * genome[1])
    _, records = run(mcts(wide), first, 200)
    assert (records.proposal.genome[100:, 0, 0] == 2).mean() > 0.6


def test_increasing_transforms_of_fitness_change_nothing():
    a, b = (searched(1)(cubed).proposal.genome for cubed in (False, True))
    np.testing.assert_array_equal(a, b)


def test_outstanding_asks_spread_and_may_be_told_in_any_order():
    strategy, state = STRATEGY, jax.jit(STRATEGY.init)(jax.random.key(0))
    asks = []
    for t in range(3):
        proposal, state = jax.jit(strategy.ask)(jax.random.key(t), state)
        asks.append(proposal)
    assert len({int(p.genome[0, 0]) for p in asks}) == 3  # each took another option of the first decision
    assert int(state.pending[0]) == 3
    for proposal in reversed(asks):
        state = jax.jit(strategy.tell)(jax.random.key(9), state, proposal, scored(jnp.array([1.0])))
    assert int(state.pending.sum()) == 0 and int(state.visits[0]) == 3


def test_what_failed_leaves_values_as_they_are():
    strategy, state = STRATEGY, jax.jit(STRATEGY.init)(jax.random.key(0))
    proposal, state = jax.jit(strategy.ask)(jax.random.key(1), state)
    failed = Feedback(jnp.array([jnp.nan]), jnp.zeros((1, 0)), jnp.array([False]))
    state = jax.jit(strategy.tell)(jax.random.key(2), state, proposal, failed)
    assert int(state.visits.sum()) == 0 and float(jnp.abs(state.values).sum()) == 0
    assert int(state.pending.sum()) == 0 and int(state.tries[0]) == 1


def test_full_tree_still_steers():
    wide = categorical({name: range(4) for name in "abcdef"})
    _, records = run(mcts(wide, capacity=10), SUM, 100)
    assert records.proposal.active.all()
    assert records.proposal.genome[50:, 0, 0].mean() > 2


def test_space_must_be_categorical():
    with pytest.raises(ValueError, match="strategy .mcts. needs a categorical space"):
        mcts(SPACE._replace(sample=lambda key: {"a": jnp.zeros(3)}))
