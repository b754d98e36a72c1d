import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import direct
from jaxnas.predictors import Predictor
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import bananas
from jaxnas.types import scored

SPACE = categorical({name: range(4) for name in "abcdef"})
SUM = direct(lambda key, genome: genome.sum().astype(jnp.float32))


def stand_in(predict):
    """A predictor that knows; nothing is fitted, so tests compile at once."""
    return Predictor(lambda key, x, y, mask: {"y": y, "mask": mask, "x": x}, predict)


def true_sum(params, x):
    return x @ jnp.tile(jnp.arange(4.0), 6), jnp.zeros(len(x))


def run(strategy, rounds, seed=0):
    return jax.jit(search_scan(strategy, SUM, rounds))(jax.random.key(seed))


@pytest.fixture(scope="module")
def records():
    strategy = bananas(SPACE, initial=20, proposals=5, candidates=100, predictor=stand_in(true_sum))
    return run(strategy, 30)[1]


def test_random_at_first_then_by_the_predictor(records):
    fitness = records.feedback.fitness[:12]
    assert fitness[:4].mean() == pytest.approx(9, abs=1.5)
    assert fitness[4:].mean() > 13.5 and fitness.max() == 18


def test_nothing_is_asked_for_twice_while_there_are_others(records):
    genomes = records.proposal.genome.reshape(-1, 6)
    after = genomes[20:]  # the random ones may repeat each other
    assert len(np.unique(after, axis=0)) == len(after)


def test_uncertain_candidates_are_tried_too():
    def predict(params, x):
        return jnp.zeros(len(x)), 100.0 * x[:, 3]  # nothing is known of networks with a=3

    strategy = bananas(SPACE, initial=10, proposals=5, predictor=stand_in(predict))
    genomes = run(strategy, 10)[1].proposal.genome[2:, :, 0]
    assert (genomes == 3).mean() > 0.9


def test_what_failed_is_not_learned_from_and_not_asked_for_again():
    strategy = bananas(SPACE, initial=4, proposals=4, predictor=stand_in(true_sum))
    state = jax.jit(strategy.init)(jax.random.key(0))
    proposal, state = jax.jit(strategy.ask)(jax.random.key(1), state)
    feedback = scored(jnp.array([1.0, jnp.nan, 3.0, jnp.inf]))
    state = jax.jit(strategy.tell)(jax.random.key(2), state, proposal, feedback)
    np.testing.assert_array_equal(np.sort(state.fitness)[-3:], [-np.inf, 1, 3])
    again = jax.vmap(lambda key: strategy.ask(key, state)[0].genome)(jax.random.split(jax.random.key(3), 20))
    assert not (again.reshape(-1, 1, 6) == proposal.genome).all(-1).any()


def test_archive_that_is_full_forgets_the_oldest():
    strategy = bananas(SPACE, capacity=6, initial=4, proposals=4, parents=2, predictor=stand_in(true_sum))
    state = jax.jit(strategy.init)(jax.random.key(0))
    for t in range(2):
        proposal, state = jax.jit(strategy.ask)(jax.random.key(t), state)
        state = jax.jit(strategy.tell)(jax.random.key(t), state, proposal, scored(jnp.arange(4.0) + 4 * t))
    np.testing.assert_array_equal(np.sort(state.fitness), [2, 3, 4, 5, 6, 7])


def test_features_of_the_users_own_reach_the_predictor():
    seen = []

    def fit(key, x, y, mask):
        seen.append(x.shape)
        return x

    predictor = Predictor(fit, lambda params, x: (x[:, 0], jnp.zeros(len(x))))
    strategy = bananas(SPACE, capacity=40, features=lambda g: g[:2].astype(jnp.float32), predictor=predictor)
    jax.eval_shape(lambda key: jax.jit(strategy.ask)(key, strategy.init(key)), jax.random.key(0))
    assert seen == [(40, 2)]


def test_the_default_ensemble_finds_the_top():
    state, _ = run(bananas(SPACE, initial=20, candidates=100, capacity=150), 15)
    assert float(state.strategy.best.fitness) >= 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": 5}, "candidates: expected at least 10 .the proposals., got 5"),
        ({"capacity": 5}, "capacity: expected at least 10"),
        ({"parents": 1000}, "parents: expected .*500"),
        ({"initial": 0}, "initial: expected at least 1, got 0"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bananas(SPACE, **arguments)
