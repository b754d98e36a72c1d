import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.evaluators import direct
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import local_search
from jaxnas.types import scored

SPACE = categorical({"a": range(5), "b": range(5), "c": range(3)})


def hill(key, genome):
    return -jnp.sum((genome - jnp.array([3, 1, 2])) ** 2).astype(jnp.float32)


def test_reaches_the_top_of_a_hill_from_one_start():
    state, records = jax.jit(search_scan(local_search(SPACE), direct(hill), 60))(jax.random.key(0))
    np.testing.assert_array_equal(local_search(SPACE).recommend(state.strategy), [3, 1, 2])


def test_restarts_only_after_every_neighbor_was_tried():
    flat = direct(lambda key, genome: 0.0)
    _, records = jax.jit(search_scan(local_search(SPACE), flat, 25))(jax.random.key(0))
    neighbors = 4 + 4 + 2
    roots = np.flatnonzero(records.proposal.parent[:, 0, 0] == -1)
    np.testing.assert_array_equal(roots, [0, neighbors + 1, 2 * (neighbors + 1)])


def test_no_neighbor_is_tried_twice():
    flat = direct(lambda key, genome: 0.0)
    _, records = jax.jit(search_scan(local_search(SPACE), flat, 11))(jax.random.key(0))
    assert len({tuple(g) for g in records.proposal.genome[:, 0].tolist()}) == 11


def test_end_of_a_neighborhood_is_padded_with_inactive_members():
    flat = direct(lambda key, genome: 0.0)
    _, records = jax.jit(search_scan(local_search(SPACE, proposals=4), flat, 4))(jax.random.key(0))
    np.testing.assert_array_equal(records.proposal.active.sum(1), [4, 4, 4, 2])
    ids = records.proposal.id[records.proposal.active]
    assert len(set(ids.tolist())) == len(ids)


def test_stale_answers_do_not_move_the_center():
    strategy = local_search(SPACE)
    state = jax.jit(strategy.init)(jax.random.key(0))
    start, state = jax.jit(strategy.ask)(jax.random.key(1), state)
    state = jax.jit(strategy.tell)(jax.random.key(2), state, start, scored(jnp.array([0.0])))
    early, state = jax.jit(strategy.ask)(jax.random.key(3), state)
    late, state = jax.jit(strategy.ask)(jax.random.key(4), state)
    state = jax.jit(strategy.tell)(jax.random.key(5), state, early, scored(jnp.array([1.0])))
    moved = state.center
    state = jax.jit(strategy.tell)(jax.random.key(6), state, late, scored(jnp.array([2.0])))
    np.testing.assert_array_equal(state.center, moved)
    np.testing.assert_array_equal(strategy.recommend(state), late.genome[0])
