from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnas.networks import BatchNorm, Choice, Gated, Identity, exists, extract, width
from jaxnas.networks.choice import is_static, switch


class Layer(nn.Module):
    """Dense, normalized: an option with parameters and statistics."""

    features: int = 3

    @nn.compact
    def __call__(self, x, train):
        return BatchNorm(name="norm")(nn.Dense(self.features, name="dense")(x), train)


class Noisy(nn.Module):
    """An option with randomness of its own."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(0.5, deterministic=not train)(x)


class Undefined(nn.Module):
    """An option that must not be computed: NaN, and its gradient too."""

    @nn.compact
    def __call__(self, x, train):
        return x * self.param("scale", nn.initializers.ones, ()) * jnp.nan


CHOICE = Choice({"skip": Identity, "layer": Layer, "other": partial(Layer, 3)}, name="choice")
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@partial(jax.jit, static_argnums=2)
def applied(variables, decision, train):
    return CHOICE.apply(variables, decision, X, train, mutable=["batch_stats"])


@cache
def initial(decision):
    """Variables of the choice: static for an integer, of all options for None."""
    return jax.jit(lambda key: CHOICE.init(key, jnp.int32(0) if decision is None else decision, X, False))(
        jax.random.key(1)
    )


@pytest.fixture(scope="module")
def variables():
    variables = initial(None)
    stats = jax.tree.map(lambda v: np.asarray(v) + np.float32(0.3), variables["batch_stats"])
    return {"params": variables["params"], "batch_stats": stats}


@cache
def standing_alone(decision, train):
    return jax.jit(lambda own: CHOICE.apply(own, decision, X, train, mutable=["batch_stats"]))


def alone(variables, decision, train):
    """The stand-alone network of a decision, with the parameters it has in the population network."""
    return standing_alone(decision, train)(extract(variables, initial(decision)))


def test_python_and_numpy_integers_are_static_and_jax_is_not():
    assert is_static(1) and is_static(np.int32(1)) and is_static(np.int64(1))
    assert not is_static(jnp.int32(1)) and not is_static(jnp.array([0.0, 1.0])) and not is_static(np.array([0.0, 1.0]))


def test_static_choice_has_only_the_chosen_option():
    assert list(initial(2)["params"]) == ["other"]
    assert "params" not in initial(0)


def test_traced_choice_has_every_option_whatever_it_is_initialized_with(variables):
    assert set(variables["params"]) == {"layer", "other"}
    again = jax.jit(lambda key: CHOICE.init(key, jnp.int32(2), X, False))(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, again["params"], variables["params"])


def test_static_parameters_are_those_of_the_population_network(variables):
    for decision, option in ((1, "layer"), (2, "other")):
        jax.tree.map(np.testing.assert_array_equal, initial(decision)["params"], {option: variables["params"][option]})


@pytest.mark.parametrize(("train", "jitted"), [(False, True), (True, True), (True, False)])
def test_static_traced_and_one_hot_agree(variables, train, jitted):
    def apply(variables, decision):
        if jitted:
            return applied(variables, decision, train)[0]
        return CHOICE.apply(variables, decision, X, train, mutable=["batch_stats"])[0]

    for decision in range(3):
        expected, _ = alone(variables, decision, train)
        np.testing.assert_allclose(apply(variables, jnp.int32(decision)), expected, atol=1e-6)
        one_hot = jax.nn.one_hot(decision, 3)
        np.testing.assert_allclose(apply(variables, one_hot), expected, atol=1e-6)
        np.testing.assert_allclose(apply(variables, Gated(one_hot, one_hot > 0)), expected, atol=1e-6)


def test_traced_choice_updates_the_statistics_of_the_option_taken_alone(variables):
    _, updates = applied(variables, jnp.int32(1), True)
    _, expected = alone(variables, 1, True)
    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-6),
        updates["batch_stats"]["layer"],
        expected["batch_stats"]["layer"],
    )
    jax.tree.map(np.testing.assert_array_equal, updates["batch_stats"]["other"], variables["batch_stats"]["other"])


def test_soft_weights_give_the_weighted_sum(variables):
    weights = jnp.array([0.2, 0.5, 0.3])
    mixture, _ = applied(variables, weights, True)
    expected = sum(w * alone(variables, d, True)[0] for d, w in enumerate(weights))
    np.testing.assert_allclose(mixture, expected, atol=1e-6)


def test_gradient_of_weights_is_the_finite_difference(variables):
    loss = jax.jit(lambda w: (CHOICE.apply(variables, w, X, False) ** 2).sum())
    weights, h = np.float32([0.2, 0.5, 0.3]), 1e-2
    gradient = jax.jit(jax.grad(loss))(weights)
    for slope, step in zip(gradient, h * np.eye(3, dtype=np.float32), strict=True):
        np.testing.assert_allclose(slope, (loss(weights + step) - loss(weights - step)) / (2 * h), rtol=1e-3)


def test_options_not_taken_get_exactly_zero_gradient(variables):
    loss = lambda params: (CHOICE.apply({**variables, "params": params}, jnp.int32(1), X, False) ** 2).sum()
    gradient = jax.jit(jax.grad(loss))(variables["params"])
    assert jnp.abs(gradient["layer"]["dense"]["kernel"]).max() > 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["other"]))


def test_members_of_a_vmapped_population_take_their_own_option(variables):
    outputs = jax.jit(jax.vmap(lambda d: CHOICE.apply(variables, d, X, False)))(jnp.array([2, 0, 1]))
    for output, decision in zip(outputs, (2, 0, 1), strict=True):
        np.testing.assert_allclose(output, alone(variables, decision, False)[0], atol=1e-6)


@pytest.mark.parametrize(
    "decision",
    [1, jnp.int32(1), jnp.array([0.0, 1.0]), Gated(jnp.array([0.0, 1.0]), jnp.array([False, True]))],
    ids=["static", "traced", "one-hot", "gated"],
)
def test_options_may_draw_random_numbers(decision):
    choice = Choice({"skip": Identity, "noisy": Noisy}, name="choice")
    run = jax.jit(lambda key: choice.apply({}, decision, jnp.ones((20, 20)), True, rngs={"dropout": key}))
    a, b = run(jax.random.key(0)), run(jax.random.key(1))
    assert set(np.unique(a)) == {0.0, 2.0}
    assert (np.asarray(a) != b).any()


WEIGHTS = jnp.asarray(np.float32([0.2, 0.5, 0.3]))


@pytest.mark.parametrize("train", [False, True])
def test_open_options_are_the_mixture(variables, train):
    run = lambda decision: applied(variables, decision, train)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), run(Gated(WEIGHTS, jnp.ones(3, bool))), run(WEIGHTS))


def test_closed_option_is_not_computed():
    choice = Choice({"skip": Identity, "layer": Layer, "undefined": Undefined}, name="choice")
    variables = jax.jit(lambda key: choice.init(key, WEIGHTS, X, False))(jax.random.key(1))

    def loss(params, weights, x, gates):
        outputs = choice.apply({**variables, "params": params}, Gated(weights, gates), x, False)
        return (outputs**2).sum()

    run = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    closed = run(variables["params"], WEIGHTS, X, jnp.array([True, True, False]))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(closed))
    assert closed[1][0]["undefined"]["scale"] == 0
    assert jnp.isnan(run(variables["params"], WEIGHTS, X, jnp.ones(3, bool))[0])


def test_gradient_of_an_open_weight_is_the_product_with_its_option_and_of_a_closed_one_zero(variables):
    run = lambda weights: CHOICE.apply(variables, Gated(weights, jnp.array([True, False, True])), X, False)
    g = np.cos(np.arange(X.size, dtype=np.float32)).reshape(X.shape)

    @jax.jit
    def with_gradient(weights):
        outputs, pullback = jax.vjp(run, weights)
        return outputs, pullback(g)[0]

    outputs, gradient = with_gradient(WEIGHTS)
    options = [np.asarray(alone(variables, d, False)[0]) for d in range(3)]
    np.testing.assert_allclose(outputs, 0.2 * options[0] + 0.3 * options[2], atol=1e-6)
    expected = [np.vdot(g, options[0]), 0, np.vdot(g, options[2])]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_statistics_of_a_closed_option_stay(variables):
    decision = Gated(WEIGHTS, jnp.array([True, True, False]))
    stats = applied(variables, decision, True)[1]["batch_stats"]
    before, after = variables["batch_stats"], alone(variables, 1, True)[1]["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, stats["other"], before["other"])
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), stats["layer"], after["layer"])
    assert (np.asarray(stats["layer"]["norm"]["mean"]) != before["layer"]["norm"]["mean"]).any()


def test_members_of_a_vmapped_population_have_gates_of_their_own(variables):
    gates = jnp.array([[True, False, False], [False, True, True]])
    outputs = jax.jit(jax.vmap(lambda g: CHOICE.apply(variables, Gated(WEIGHTS, g), X, False)))(gates)
    options = [np.asarray(alone(variables, d, False)[0]) for d in range(3)]
    np.testing.assert_allclose(outputs[0], 0.2 * options[0], atol=1e-6)
    np.testing.assert_allclose(outputs[1], 0.5 * options[1] + 0.3 * options[2], atol=1e-6)


@pytest.mark.parametrize("decision", [WEIGHTS[:2], Gated(WEIGHTS[:2], jnp.ones(2, bool))], ids=["mixture", "gated"])
def test_another_number_of_weights_is_refused(variables, decision):
    with pytest.raises(ValueError, match="decision of choice: expected 3 weights, got 2"):
        CHOICE.apply(variables, decision, X, False)


@pytest.mark.parametrize("decision", [3, -1])
def test_static_decision_out_of_range_is_refused_by_name(decision):
    with pytest.raises(ValueError, match=f"decision of choice: expected at .*, got {decision}"):
        CHOICE.init(jax.random.key(0), decision, X, False)


def test_switch_has_the_gradient_of_lax_switch():
    branches = [lambda o: jnp.sin(o["a"]) * o["b"], lambda o: o["a"] ** 2, lambda o: jnp.exp(o["b"]).sum() + o["a"]]
    operands = {"a": X, "b": X[0]}
    both = [jax.jit(jax.value_and_grad(lambda o, i, f=f: f(i, branches, o).sum())) for f in (switch, lax.switch)]
    for index in range(3):
        ours, theirs = (f(operands, jnp.int32(index)) for f in both)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), ours, theirs)


def test_switch_stores_no_residuals_of_its_branches():
    branches = [lambda x: jnp.sin(jnp.sin(jnp.sin(x))), jnp.exp]
    _, pullback = jax.vjp(lambda x: switch(jnp.int32(0), branches, x), X)
    kept = sum(leaf.size for leaf in jax.tree.leaves(pullback) if jnp.issubdtype(leaf.dtype, jnp.floating))
    assert kept <= X.size


def test_static_width_is_just_that_wide():
    assert [width(d, (2, 4, 6)) for d in range(3)] == [(2, 1.0), (4, 1.0), (6, 1.0)]


def test_traced_width_masks_the_rest_of_the_widest():
    features, mask = jax.jit(partial(width, widths=(2, 6, 4)))(jnp.int32(2))
    assert features == 6
    np.testing.assert_array_equal(mask, [1, 1, 1, 1, 0, 0])


def test_soft_width_mixes_masks():
    features, mask = width(jnp.array([0.25, 0.75]), (1, 3))
    assert features == 3
    np.testing.assert_allclose(mask, [1.0, 0.75, 0.75])


def test_gated_width_mixes_masks_by_its_weights():
    features, mask = width(Gated(jnp.array([0.25, 0.75]), jnp.array([True, True])), (1, 3))
    assert features == 3
    np.testing.assert_allclose(mask, [1.0, 0.75, 0.75])


@pytest.mark.parametrize("layer", range(4))
def test_depth_says_which_layers_are_there(layer):
    depths = (1, 4, 2)
    expected = [int(depth > layer) for depth in depths]
    assert [exists(d, depths, layer) for d in range(3)] == expected
    assert [int(exists(jnp.int32(d), depths, layer)) for d in range(3)] == expected
    one_hot = [exists(jax.nn.one_hot(d, 3), depths, layer).tolist() for d in range(3)]
    assert one_hot == [[1 - e, e] for e in expected]


def test_soft_depth_sums_the_weights_of_depths_with_and_without_the_layer():
    np.testing.assert_allclose(exists(jnp.array([0.2, 0.3, 0.5]), (1, 2, 3), 1), [0.2, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("gates", "without", "with_it"), [((1, 0, 0), True, False), ((0, 1, 1), False, True), ((1, 0, 1), True, True)]
)
def test_gates_of_a_depth_are_open_where_one_of_its_depths_is(gates, without, with_it):
    decision = exists(Gated(WEIGHTS, jnp.array(gates, bool)), (1, 2, 3), 1)
    assert decision.gates.tolist() == [without, with_it]
    np.testing.assert_allclose(decision.weights, [0.2, 0.8], rtol=1e-6)


def test_extract_cuts_to_the_narrower_layer():
    wide = {"params": {"dense": {"kernel": jnp.arange(12.0).reshape(3, 4)}, "unused": jnp.zeros(2)}}
    narrow = extract(wide, {"params": {"dense": {"kernel": jax.ShapeDtypeStruct((2, 3), jnp.float32)}}})
    np.testing.assert_array_equal(narrow["params"]["dense"]["kernel"], [[0, 1, 2], [4, 5, 6]])
    assert list(narrow["params"]) == ["dense"]


def test_extract_names_what_is_missing(variables):
    with pytest.raises(ValueError, match="params/elsewhere/kernel is not there"):
        extract(variables, {"params": {"elsewhere": {"kernel": jnp.zeros(2)}}})


def test_options_of_different_shapes_are_named():
    choice = Choice({"narrow": Layer, "wide": partial(Layer, 4)}, name="choice")
    with pytest.raises(ValueError, match=r"options of choice: expected .* one type and shape.*narrow.*3\).*wide.*4\)"):
        jax.eval_shape(lambda: choice.init(jax.random.key(0), jnp.int32(0), jnp.ones((1, 4)), False))


def test_a_module_in_place_of_its_factory_is_named():
    with pytest.raises(ValueError, match=r"option 'layer': expected what makes a module, partial\(Layer, …\)"):
        Choice({"layer": Layer(4)})
