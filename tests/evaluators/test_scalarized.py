import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs, evaluators
from jaxnas.search import search
from jaxnas.spaces import categorical
from jaxnas.strategies import random_search
from jaxnas.types import propose

SPACE = categorical({"a": range(3), "b": range(2)})
FITNESS = np.array([0.0, 1, 2, 3, 4, 5])
MS, MJ = np.array([8.0, 4, 2, 1, np.nan, 16]), np.array([1.0, 2, 3, 4, 5, 6])
TABLE = evaluators.table(SPACE, FITNESS, costs={"ms": MS, "mj": MJ})
ALL = propose(jax.vmap(SPACE.from_index)(jnp.arange(6)), jnp.int32(0))


def answer(evaluator):
    key = jax.random.key(0)
    return jax.jit(evaluator.evaluate)(key, evaluator.init(key), ALL)[0]


def test_fitness_is_the_objective_and_the_metric_what_it_was():
    feedback = answer(evaluators.scalarized(TABLE, costs.weighted_product("ms", target=4.0, alpha=0, beta=-1)))
    np.testing.assert_allclose(feedback.fitness[jnp.array([0, 1, 2, 3, 5])], [0, 1, 2, 3, 5 / 4])
    np.testing.assert_array_equal(feedback.metrics["raw_fitness"], FITNESS)
    np.testing.assert_array_equal(feedback.cost, np.stack([MS, MJ], 1))


def test_a_cost_that_is_not_there_is_not_valid():
    np.testing.assert_array_equal(answer(TABLE).valid, [1, 1, 1, 1, 0, 1])
    one = evaluators.scalarized(TABLE, costs.penalty("mj", target=1.0, weight=1.0))
    np.testing.assert_array_equal(answer(one).valid, [1, 1, 1, 1, 0, 1])


def test_two_objectives_are_one_around_the_other():
    both = evaluators.scalarized(TABLE, costs.penalty("ms", target=4.0, weight=1.0))
    both = evaluators.scalarized(both, costs.penalty("mj", target=2.0, weight=10.0))
    feedback = answer(both)
    assert feedback.fitness[5] == 5 - 3 - 20 and feedback.metrics["raw_fitness"][5] == 5
    assert both.name == "penalty(penalty(table))"


def test_what_is_known_is_known_with_the_objective():
    one = evaluators.scalarized(TABLE, costs.constraint("ms", target=4.0, floor=0.0))
    known, feedback = one.known(), answer(one)
    for name in ("fitness", "valid", "cost"):
        np.testing.assert_array_equal(getattr(known, name), getattr(feedback, name))


def test_a_target_that_nobody_meets_is_refused_with_the_smallest_there_is():
    message = "weighted_product, target: no architecture in 'table' has ms of at most 0.5; the smallest is 1"
    with pytest.raises(ValueError, match=message):
        evaluators.scalarized(TABLE, costs.weighted_product("ms", target=0.5))


def test_limits_that_nobody_meets_at_once_are_refused():
    evaluators.attainable("limits", TABLE, {"ms": 1.0, "mj": 4.0})
    with pytest.raises(
        ValueError, match=r"has ms of at most 1 and mj of at most 3; the smallest is 1 \(ms\), 1 \(mj\)"
    ):
        evaluators.attainable("limits", TABLE, {"ms": 1.0, "mj": 3.0})


def test_a_loss_is_refused_for_a_product():
    losses = evaluators.table(SPACE, -FITNESS, costs={"ms": MS})
    with pytest.raises(ValueError, match="the fitness of 'table' goes down to -5, but weighted_product multiplies it"):
        evaluators.scalarized(losses, costs.weighted_product("ms", target=4.0))


def test_unknown_costs_are_refused_by_name():
    with pytest.raises(ValueError, match="penalty, cost: unknown 'm'. Did you mean 'm[js]'"):
        evaluators.scalarized(TABLE, costs.penalty("m", target=1.0, weight=1.0))
    with pytest.raises(ValueError, match="evaluator: 'table' gives no costs, which penalty needs"):
        evaluators.scalarized(evaluators.table(SPACE, FITNESS), costs.penalty("ms", target=1.0, weight=1.0))


def test_costs_are_added_to_those_there_are():
    more = evaluators.with_cost(TABLE, lambda genome: genome.sum() * 1.0, "sum")
    assert more.cost_names == ("ms", "mj", "sum")
    np.testing.assert_array_equal(answer(more).cost[:, 2], np.asarray(ALL.genome).sum(1))


def test_two_costs_of_a_genome_of_a_host_evaluator():
    host = evaluators.direct(lambda key, genome: float(genome[0]), jittable=False)
    two = evaluators.with_cost(host, lambda g: jnp.array([g[0] + 1.0, jnp.where(g[1] == 0, jnp.nan, 7)]), ("x", "y"))
    result = search(SPACE, random_search(SPACE, proposals=8), two, rounds=1, progress=False)
    for line in result.history:
        assert line["cost"] == {"x": line["genome"][0] + 1, "y": 7 if line["genome"][1] else None}
        assert line["valid"] == (line["genome"][1] == 1)


@pytest.mark.parametrize(
    ("cost", "names", "message"),
    [
        (lambda g: 1.0 * g, ("x",), r"cost: expected \[1\], of x, got \[2\]"),
        (lambda g: 1.0, "ms", "names: expected new names of costs, got ms twice"),
        (lambda g: 1.0, ("x", "x"), "names: expected new names of costs, got x twice"),
        (lambda g: 1.0, (), "names: expected new names of costs, got none"),
    ],
)
def test_costs_without_a_name_of_their_own_are_refused(cost, names, message):
    with pytest.raises(ValueError, match=message):
        answer(evaluators.with_cost(TABLE, cost, names))
