import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs

FITNESS, COST = jnp.array([0.9, 0.9, 0.9, 0.5]), jnp.array([40.0, 80.0, 160.0, 80.0])


def test_weighted_product_is_equation_2_with_the_soft_exponent():
    found = costs.weighted_product("ms", target=80.0).value(FITNESS, COST)
    np.testing.assert_allclose(found, [0.9 * 0.5**-0.07, 0.9, 0.9 * 2**-0.07, 0.5], rtol=1e-6)
    assert found[2] / 0.9 == pytest.approx(0.95, abs=0.003)  # twice the cost, 5 % of accuracy


def test_hard_exponents_ignore_what_is_within_the_target():
    found = costs.weighted_product("ms", target=80.0, alpha=0, beta=-1).value(FITNESS, COST)
    np.testing.assert_allclose(found, [0.9, 0.9, 0.45, 0.5], rtol=1e-6)


def test_weighted_product_of_a_loss_or_of_no_cost_has_no_meaning():
    found = costs.weighted_product("ms", target=80.0).value(jnp.array([-0.1, 0.9, 0.0]), jnp.array([80.0, 0.0, 80.0]))
    np.testing.assert_array_equal(np.isnan(found), [True, True, False])


def test_penalty_takes_its_weight_for_each_target_above():
    found = costs.penalty("ms", target=80.0, weight=0.2).value(FITNESS, COST)
    np.testing.assert_allclose(found, [0.9, 0.9, 0.7, 0.5], rtol=1e-6)


def test_constraint_puts_the_feasible_above_and_the_nearer_above_the_farther():
    value = costs.constraint("ms", target=80.0, floor=0.0).value
    found = value(jnp.array([0.1, 0.0, 0.9, 0.8]), jnp.array([10.0, 80.0, 81.0, 160.0]))
    np.testing.assert_allclose(found, [0.1, 0.0, -1 / 80, -1.0], rtol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: costs.weighted_product("ms", target=0), "target: expected a positive number, got 0"),
        (lambda: costs.weighted_product("ms", target=float("nan")), "target: expected a number"),
        (lambda: costs.weighted_product("ms", target="80"), "target: expected a number"),
        (lambda: costs.weighted_product("ms", target=80, beta=0.07), "beta: expected a number in .*, got 0.07"),
        (lambda: costs.penalty("ms", target=80, weight=-1), "weight: expected a number"),
        (lambda: costs.constraint("ms", target=-1, floor=0), "target: expected a positive number, got -1"),
        (lambda: costs.constraint("ms", target=1, floor=float("inf")), "floor: expected a number"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
