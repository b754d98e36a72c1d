"""Strategies that train shared weights by sampled paths."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import categorical, darts
from jaxnas.strategies import enas, fair_paths, independent_policy, lstm_policy, mcts, sandwich
from jaxnas.strategies.policy import log_prob
from jaxnas.types import scored

SPACE = categorical({"first": ["a", "b", "c"], "second": ["a", "b"]}, name="small")
KEY = jax.random.key(0)
ENAS = enas(SPACE, rounds=6, weight_rounds=2, proposals=2, hidden=4)


def rounds(strategy, count, fitness=lambda proposal, i: jnp.zeros(proposal.id.shape)):
    ask, tell = jax.jit(strategy.ask), jax.jit(strategy.tell)
    state, proposals = jax.jit(strategy.init)(KEY), []
    for i in range(count):
        key = jax.random.fold_in(KEY, i)
        proposal, state = ask(key, state)
        state = tell(key, state, proposal, scored(fitness(proposal, i)))
        proposals.append(proposal)
    return proposals, state


def test_fair_paths_have_every_option_equally_often():
    proposals, _ = rounds(fair_paths(SPACE), 2)
    genomes = np.concatenate([p.genome for p in proposals])
    for p in proposals:
        assert sorted(p.genome[:, 0].tolist()) == [0, 1, 2] and (p.budget == 1).all()
    assert np.bincount(genomes[:, 1]).tolist() == [3, 3]


SIZES = categorical({"kernel": [3, 7, 5], "depth": [1, 2], "norm": ["rms", "none"]}, name="sizes")


def test_a_sandwich_is_of_the_largest_any_and_the_smallest():
    proposals, state = rounds(one := sandwich(SIZES, between=3), 4)
    for p in proposals:
        assert p.genome[0].tolist() == [1, 1, 0] and p.genome[-1].tolist() == [0, 0, 1] and len(p.id) == 5
    between = np.concatenate([p.genome[1:-1] for p in proposals])
    assert [len(set(column)) for column in between.T] == [3, 2, 2]
    assert one.recommend(state).tolist() == [1, 1, 0]


def test_equal_paths_of_a_sandwich_step_once():
    proposals, _ = rounds(sandwich(SIZES, shrink={"*": (1, 2)}), 2)
    assert proposals[0].active.tolist() == [True, False, False, False] and proposals[1].active.sum() > 1


def test_progressive_shrinking_lets_smaller_options_in_one_after_another():
    proposals, _ = rounds(sandwich(SIZES, between=8, shrink={"kernel": (1, 3), "depth": (2,)}), 5)
    drawn = [[set(column) for column in p.genome[:, :2].T.tolist()] for p in proposals]
    assert drawn[:2] == [[{1}, {1}], [{1, 2}, {1}]]
    assert drawn[2] == [{1, 2}, {0, 1}] and drawn[3] == drawn[4] == [{0, 1, 2}, {0, 1}]


@pytest.mark.parametrize(
    ("shrink", "message"),
    [
        ({"kernels": [3]}, "shrink: no decision matches 'kernels'; there are kernel, depth, norm"),
        ({"kernel": [3, 2]}, "shrink, kernel: expected increasing integers"),
    ],
)
def test_a_wrong_order_of_shrinking_is_named(shrink, message):
    with pytest.raises(ValueError, match=message):
        sandwich(SIZES, shrink=shrink)


@pytest.mark.parametrize("make", [fair_paths, mcts, sandwich])
def test_strategies_that_combine_any_options_refuse_a_space_that_restricts_them(make):
    with pytest.raises(ValueError, match=f"strategy '{make.__name__}' .* space 'darts' restricts combinations"):
        make(darts())


def test_enas_trains_weights_then_the_policy_then_only_scores():
    proposals, _ = rounds(ENAS, 8)
    assert [int(p.budget[0]) for p in proposals] == [1, 1, 0, 1, 1, 0, 0, 0]


def test_enas_learns_from_scores_alone():
    climbing = lambda proposal, i: jnp.arange(2.0)
    start, two, three = (rounds(ENAS, count, climbing)[1].controller.params for count in (0, 2, 3))
    same = lambda a, b: all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))
    assert same(start, two) and not same(two, three)


def test_enas_recommends_the_best_of_the_final_scores_even_where_earlier_ones_were_higher():
    strategy = enas(SPACE, rounds=3, weight_rounds=1, proposals=3, hidden=4)
    falling = lambda proposal, i: -i * 10.0 + proposal.genome.sum(1)
    proposals, state = rounds(strategy, 6, falling)
    last = proposals[3].genome
    assert (last[jnp.argmax(last.sum(1))] == strategy.recommend(state)).all()


def restricted():
    """Two of three decisions are 1, the last among them only where it must."""
    space = categorical({name: [0, 1] for name in "xyz"}, name="restricted")

    def allowed(genome, d):
        before = jnp.where(jnp.arange(3) < d, genome, 0).sum()
        return jnp.array([before + (2 - d) >= 2, before < 2])

    return space._replace(allowed=allowed)


@pytest.mark.parametrize("make", [independent_policy, lambda space: lstm_policy(space, hidden=4)])
def test_a_policy_gives_no_probability_to_what_the_space_excludes(make):
    policy = make(restricted())
    params = jax.tree.map(lambda a: a + jax.random.normal(KEY, a.shape, a.dtype), policy.init(KEY))
    genomes = jnp.array(list(itertools.product([0, 1], repeat=3)))
    probability = np.exp(jax.jit(jax.vmap(lambda g: log_prob(policy, params, g)))(genomes))
    there = genomes.sum(1) == 2
    np.testing.assert_allclose(probability[there].sum(), 1, rtol=1e-5)
    assert (probability[~there] == 0).all()
    samples = jax.jit(jax.vmap(lambda k: policy.sample(k, params)))(jax.random.split(KEY, 4000))
    share = (np.asarray(samples)[:, None] == np.asarray(genomes)).all(-1).mean(0)
    np.testing.assert_allclose(share, probability, atol=5 * 0.5 / np.sqrt(4000))


def test_a_policy_on_the_darts_space_samples_genomes_of_it():
    space = darts()
    policy = lstm_policy(space, hidden=4)
    params = jax.jit(policy.init)(KEY)
    genomes = jax.jit(jax.vmap(lambda k: policy.sample(k, params)))(jax.random.split(KEY, 50))
    for genome in np.asarray(genomes):
        np.testing.assert_array_equal(space.from_string(space.to_string(genome)), genome)
    assert np.isfinite(jax.jit(jax.vmap(lambda g: log_prob(policy, params, g)))(genomes)).all()
