"""Strategies that descend on logits: what they ask for, and their gradients against enumeration."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import categorical
from jaxnas.strategies import binary_gates, darts, early_stopping, gdas
from jaxnas.types import scored

SPACE = categorical({"first": ["a", "b", "c"], "second": ["a", "b"]}, name="small")
KEY = jax.random.key(0)
LOGITS = np.float32([[0.3, -0.2, 0.9], [0.1, 0.6, 5.0]])
SLOPE = np.float32([[1.0, -2.0, 0.5], [0.3, 0.7, 0.0]])


def feedback(gradient, curvature=None):
    answer = scored(jnp.zeros(1)).replace(gradient=gradient[None])
    return answer if curvature is None else answer.replace(curvature=curvature[None])


def at(strategy, logits=LOGITS):
    return jax.jit(strategy.init)(KEY).replace(logits=logits)


@partial(jax.jit, static_argnums=0)
def descended(strategy, state, gradient):
    proposal, state = strategy.ask(KEY, state)
    return proposal, strategy.tell(KEY, state, proposal, feedback(gradient))


def plain_softmax(logits):
    return jax.nn.softmax(jnp.where(SPACE.mask, logits, -jnp.inf), -1)


def adams_first_step(gradient):
    """Its sign, where it is not 0."""
    return np.sign(np.asarray(gradient))


def test_darts_asks_for_the_softmax_and_what_would_be_derived():
    strategy = darts(SPACE)
    proposal, _ = jax.jit(strategy.ask)(KEY, at(strategy))
    np.testing.assert_allclose(proposal.weights[0], plain_softmax(LOGITS), rtol=1e-6)
    assert np.asarray(proposal.weights[0])[~SPACE.mask] == 0 and proposal.genome.tolist() == [[2, 1]]


def test_darts_leaves_the_first_weight_step_out():
    strategy = darts(SPACE)
    state, ask, budgets = jax.jit(strategy.init)(KEY), jax.jit(strategy.ask), []
    for _ in range(3):
        proposal, state = ask(KEY, state)
        budgets.append(int(proposal.budget[0]))
    assert budgets == [0, 1, 1]


def test_darts_descends_along_the_gradient_through_the_softmax():
    strategy = darts(SPACE, learning_rate=0.01, weight_decay=0.0)
    _, after = descended(strategy, at(strategy), SLOPE)
    slope = jax.jit(jax.grad(lambda a: (plain_softmax(a) * SLOPE).sum()))(LOGITS)
    np.testing.assert_allclose(after.logits - LOGITS, -0.01 * adams_first_step(slope), atol=1e-5)


def test_darts_only_trains_weights_in_warm_up():
    strategy = darts(SPACE, warm_up=2)
    state = at(strategy)
    for round_ in range(3):
        _, state = descended(strategy, state, SLOPE)
        assert (state.logits == LOGITS).all() == (round_ < 2)


def test_gdas_asks_for_one_option_each_with_the_probability_of_the_softmax():
    strategy = gdas(SPACE, rounds=10)
    state = at(strategy)
    proposals = jax.jit(jax.vmap(lambda k: strategy.ask(k, state)[0]))(jax.random.split(KEY, 20_000))
    proposals = jax.tree.map(np.asarray, proposals.replace(extra=None))
    assert (proposals.weights.sum(-1) == 1).all() and ((proposals.weights > 0) == proposals.gates).all()
    share = proposals.weights[:, 0].mean(0)
    np.testing.assert_allclose(share, plain_softmax(LOGITS), atol=5 * 0.5 / np.sqrt(20_000))


def test_gdas_chains_through_the_soft_sample_of_the_same_noise():
    strategy = gdas(SPACE, rounds=10, temperature=2.0, learning_rate=0.01, weight_decay=0.0)
    proposal, after = descended(strategy, at(strategy), SLOPE)
    noise = proposal.extra["noise"][0]
    soft = lambda a: jax.nn.softmax((jax.nn.log_softmax(jnp.where(SPACE.mask, a, -jnp.inf)) + noise) / 2.0, -1)
    slope = jax.jit(jax.grad(lambda a: (soft(a) * SLOPE).sum()))(LOGITS)
    np.testing.assert_allclose(after.logits - LOGITS, -0.01 * adams_first_step(slope), atol=1e-5)


def test_gdas_cools_linearly_and_stays_cool():
    strategy = gdas(SPACE, rounds=4, temperature=5.0, final_temperature=1.0)
    state, ask, tau = jax.jit(strategy.init)(KEY), jax.jit(strategy.ask), []
    for _ in range(6):
        proposal, state = ask(KEY, state)
        tau.append(float(proposal.extra["temperature"][0]))
    assert tau == [5, 4, 3, 2, 1, 1]


def test_binary_gates_alternate_between_a_path_and_a_pair():
    strategy = binary_gates(SPACE, weight_rounds=2)
    state, ask, seen = jax.jit(strategy.init)(KEY), jax.jit(strategy.ask), []
    for i in range(6):
        proposal, state = ask(jax.random.fold_in(KEY, i), state)
        proposal = jax.tree.map(np.asarray, proposal.replace(extra=None))
        assert (proposal.weights.sum(-1) == 1).all() and not (proposal.weights[~proposal.gates] > 0).any()
        assert not proposal.gates[0][~SPACE.mask].any()
        seen.append((int(proposal.budget[0]), int(proposal.gates[0].sum())))
    assert seen == [(1, 2), (1, 2), (0, 4)] * 2


def test_gate_gradient_equals_enumeration_of_its_two_path_estimator():
    """A loss that is linear in the gates: the mean over the pair's output of the loss, differentiated by the logits."""
    strategy = binary_gates(SPACE, learning_rate=1.0)
    state = at(strategy).replace(asked=jnp.int32(1))
    proposal, asked = jax.jit(strategy.ask)(KEY, state)
    pair = np.asarray(proposal.gates[0])

    def expected(logits):
        total = 0.0
        options = [np.flatnonzero(row) for row in pair]
        for chosen in itertools.product(*options):
            probability, loss = 1.0, 0.0
            for d, c in enumerate(chosen):
                within = jnp.where(pair[d], logits[d], -jnp.inf)
                probability *= jax.nn.softmax(within)[c]
                loss += SLOPE[d, c]
            total += probability * loss
        return total

    slope = np.asarray(jax.jit(jax.grad(expected))(LOGITS))
    answer = feedback(np.where(pair, SLOPE, 0))
    # Adam hides the size of a gradient, not its part in the first moment.
    moment = jax.jit(strategy.tell)(KEY, asked, proposal, answer).optimizer[1][0].mu
    np.testing.assert_allclose(moment, slope, atol=1e-6)


def test_options_left_out_of_the_pair_keep_their_probability():
    strategy = binary_gates(SPACE, learning_rate=0.5)
    proposal, after = descended(strategy, at(strategy).replace(asked=jnp.int32(1)), SLOPE)
    left_out = ~np.asarray(proposal.gates[0]) & SPACE.mask
    assert left_out.sum() == 1 and np.abs(after.logits - LOGITS).max() > 0.1
    before, after = (np.asarray(jax.jit(plain_softmax)(logits)) for logits in (LOGITS, after.logits))
    np.testing.assert_allclose(after[left_out], before[left_out], rtol=1e-5)


@pytest.mark.parametrize("make", [darts, binary_gates, lambda space: gdas(space, rounds=5)])
def test_descent_finds_the_option_of_least_slope(make):
    strategy = make(SPACE)

    def body(i, state):
        key = jax.random.fold_in(KEY, i)
        proposal, state = strategy.ask(key, state)
        open_ = SLOPE if proposal.gates is None else jnp.where(proposal.gates[0], SLOPE, 0)
        return strategy.tell(key, state, proposal, feedback(open_))

    state = jax.jit(lambda s: jax.lax.fori_loop(0, 3000, body, s))(strategy.init(KEY))
    assert strategy.recommend(state).tolist() == [1, 0]


def test_a_gradient_that_is_not_finite_moves_nothing():
    for strategy in (darts(SPACE), gdas(SPACE, rounds=3), binary_gates(SPACE)):
        state = at(strategy).replace(asked=jnp.int32(1))
        _, after = descended(strategy, state, np.float32([[np.nan, -2.0, 0.5], [0.3, 0.7, 0.0]]))
        np.testing.assert_array_equal(after.logits, LOGITS)


def run_with(curvatures, **options):
    """States of an early-stopped search whose logits move on in every round."""
    strategy = early_stopping(darts(SPACE, learning_rate=1.0), **options)

    @jax.jit
    def step(state, slope, curvature):
        proposal, state = strategy.ask(KEY, state)
        return proposal, strategy.tell(KEY, state, proposal, feedback(slope, curvature))

    state, states = jax.jit(strategy.init)(KEY), []
    for i, value in enumerate(curvatures):
        proposal, state = step(state, SLOPE * (-1) ** (i // 2), np.float32(value))
        states.append((state, bool(proposal.active[0]), strategy.recommend(state).tolist()))
    return states


def test_growing_curvature_stops_the_search_and_returns_to_before():
    states = run_with([1.0, 1.0, np.nan, 1.0, 1.2, 4.0, 4.0], window=2, ratio=0.75, start=0)
    assert [bool(s.stopped) for s, _, _ in states] == [False] * 5 + [True] * 2
    assert [active for _, active, _ in states] == [True] * 6 + [False]
    # Of the measurements 1, 1, 1, 1.2, 4, two before the last is the third, in round 3.
    assert states[-1][2] == states[3][2]


def test_level_curvature_never_stops():
    assert not any(bool(s.stopped) for s, _, _ in run_with([1.0, 1.1, 0.9, 1.0, 1.1, 1.0], window=2, start=0))


def test_growth_from_the_start_is_let_pass():
    curvatures = [0.1, 0.2, 0.4, np.nan, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0]
    assert any(bool(s.stopped) for s, _, _ in run_with(curvatures[:-2], window=2, start=0))
    states = run_with(curvatures, window=2, start=3)
    assert [bool(s.stopped) for s, _, _ in states] == [False] * 9 + [True] * 2
    assert states[-1][2] == states[7][2]


def test_early_stopping_of_what_samples_paths_is_refused():
    with pytest.raises(ValueError, match="expected one that asks for whole mixtures, got 'gdas'"):
        early_stopping(gdas(SPACE, rounds=3))
