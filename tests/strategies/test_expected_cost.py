"""Expected cost in the gradient of the strategies that descend on logits."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import binary_gates, darts, gdas
from jaxnas.types import Evaluator, population_of, scored

SPACE = categorical({"first": ["a", "b", "c"], "second": ["a", "b"], "third": ["a", "b", "c"]}, name="small")
COSTS = jnp.array([[1.0, 2.0, 4.0], [0.5, 3.0, 0.0], [2.0, 0.0, 1.0]])
ROUNDS = 400
FACTORIES = {
    "darts": partial(darts, learning_rate=0.05, weight_decay=0.0),
    "gdas": partial(gdas, rounds=ROUNDS, temperature=2.0, final_temperature=0.5, learning_rate=0.05, weight_decay=0.0),
    "binary_gates": partial(binary_gates, learning_rate=0.05),
}


def expected(probabilities):
    return (probabilities * COSTS * SPACE.mask).sum()[None]


def losing(slope):
    """An evaluator whose loss is linear in the weights."""

    def evaluate(key, state, proposal):
        P = population_of(proposal)
        return scored(jnp.zeros(P)).replace(gradient=jnp.broadcast_to(slope, (P, *slope.shape))), state

    gives = frozenset({"fitness", "gradient", "shared", "budget"})
    return Evaluator("losing", lambda key: jnp.zeros(()), evaluate, gives=gives)


@cache
def program(name, **costs):
    """Logits and genome after a search whose loss falls by `slope` for each unit of cost spent, as a function of it."""
    strategy = FACTORIES[name](SPACE, **costs)

    def run(slope):
        # Dear options differ in what they are worth, so that a weight does not turn all of them at once.
        worth = slope * COSTS * jnp.array([[0.5], [1.0], [2.0]])
        state = search_scan(strategy, losing(-worth), rounds=ROUNDS)(jax.random.key(3))[0].strategy
        return state.logits, strategy.recommend(state)

    return jax.jit(run)


@cache
def searched(name, weight, slope=1.0):
    return tuple(map(np.asarray, program(name, expected_cost=expected, cost_weight=weight)(slope)))


def cost_of(genome):
    return float(COSTS[jnp.arange(3), genome].sum())


def softmax(logits):
    return jax.nn.softmax(jnp.where(SPACE.mask, logits, -jnp.inf), -1)


EXPECTED = jax.jit(lambda logits: expected(softmax(logits)))


@pytest.mark.parametrize("name", FACTORIES)
def test_without_a_loss_the_cheapest_is_found(name):
    assert searched(name, 1.5, slope=0.0)[1].tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", FACTORIES)
def test_expected_cost_falls_as_its_weight_rises(name):
    runs = [searched(name, 0.0), *(searched(name, 1.5, slope) for slope in (2.0, 1.0, 0.5))]  # as 0.75, 1.5, 3 of 1
    found = [float(EXPECTED(logits)[0]) for logits, _ in runs]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4, found
    assert cost_of(runs[0][1]) == 9.0 and cost_of(runs[-1][1]) == 1.5


@pytest.mark.parametrize("name", FACTORIES)
def test_no_weight_is_as_no_cost(name):
    assert np.array_equal(program(name)(1.0)[0], searched(name, 0.0)[0])


def test_a_mixtures_step_is_that_of_the_loss_and_the_weighted_cost():
    weight, logits = 0.3, jnp.array([[0.3, -0.2, 0.9], [0.1, 0.6, 5.0], [0.0, 0.4, -0.3]])
    square = lambda p: jnp.stack([expected(p)[0] ** 2, p[0, 0]])
    slope = jnp.array([[1.0, -2.0, 0.5], [0.3, 0.7, 0.0], [0.1, 0.2, -0.4]])
    strategy = darts(SPACE, learning_rate=0.01, weight_decay=0.0, expected_cost=square, cost_weight=weight)
    state = jax.jit(strategy.init)(jax.random.key(0)).replace(logits=logits)
    proposal, state = jax.jit(strategy.ask)(jax.random.key(0), state)
    after = jax.jit(strategy.tell)(
        jax.random.key(0), state, proposal, scored(jnp.zeros(1)).replace(gradient=slope[None])
    )
    total = lambda a: (softmax(a) * slope).sum() + weight * square(softmax(a)).sum()
    np.testing.assert_allclose(after.optimizer[1][0].mu, 0.5 * jax.grad(total)(logits), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FACTORIES)
def test_refusals(name):
    with pytest.raises(ValueError, match="cost_weight: .*nothing to weigh; give expected_cost"):
        FACTORIES[name](SPACE, cost_weight=0.1)
    with pytest.raises(ValueError, match="cost_weight"):
        FACTORIES[name](SPACE, expected_cost=expected, cost_weight=-0.1)


@pytest.mark.parametrize("name", FACTORIES)
def test_an_option_of_unknown_cost_is_refused(name):
    table = np.where(SPACE.mask, 1.0, 0.0)
    table[0, 1] = np.nan
    with pytest.raises(ValueError, match="expected_cost: .* it is nan; the cost of every option must be known"):
        FACTORIES[name](SPACE, expected_cost=lambda p: (p * table).sum(), cost_weight=0.1)
