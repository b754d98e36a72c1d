import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import Choice, initialize, lecun_normal

X = jnp.zeros((1, 64))


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(64, kernel_init=lecun_normal())(x)


class Network(nn.Module):
    """A choice, a stack of five layers, and a layer that draws its parameters itself."""

    @nn.compact
    def __call__(self, decision, x, train):
        x = Choice({"one": Layer, "two": Layer}, name="choice")(decision, x, train)
        stack = nn.scan(
            lambda layer, x, _: (layer(x, train), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=5,
        )
        return nn.Dense(3, name="own")(stack(Layer(name="stack"), x, None)[0])


def drawn(seed, decision):
    variables = jax.jit(lambda key: initialize(Network(), key, decision, X, False))(jax.random.key(seed))
    return {jax.tree_util.keystr(path): np.asarray(v) for path, v in jax.tree_util.tree_leaves_with_path(variables)}


@pytest.fixture(scope="module")
def all_options():
    return drawn(0, jnp.int32(0))


def test_it_gives_the_parameters_of_init(all_options):
    like = jax.eval_shape(lambda key: Network().init(key, jnp.int32(0), X, False), jax.random.key(0))
    like = {jax.tree_util.keystr(path): v for path, v in jax.tree_util.tree_leaves_with_path(like)}
    assert {k: (v.shape, v.dtype) for k, v in all_options.items()} == {k: (v.shape, v.dtype) for k, v in like.items()}


def test_kernels_have_the_moments_of_lecun_normal_and_nothing_in_common(all_options):
    kernels = [v for k, v in all_options.items() if "kernel" in k and "own" not in k]
    values = np.concatenate([k.reshape(-1, 64 * 64) for k in kernels]) * 8  # the stack's layers have a fan-in of 64 too
    assert len(values) == 7
    np.testing.assert_allclose(values.mean(1), 0, atol=4 / 64)
    np.testing.assert_allclose(values.std(1), 1, atol=4 / 64)
    assert np.abs(np.corrcoef(values) - np.eye(7)).max() < 4 / 64
    assert 2.2 < np.abs(values).max() < 2 / 0.87962


def test_a_value_depends_on_its_path_alone_not_on_what_is_beside(all_options):
    static = drawn(0, 1)
    assert not any("one" in path for path in static) and any("two" in path for path in static)
    for path, value in static.items():
        np.testing.assert_array_equal(value, all_options[path])


def test_another_key_draws_others(all_options):
    other = drawn(1, jnp.int32(0))
    path = next(path for path in other if "two" in path and "kernel" in path)
    assert abs(np.corrcoef(other[path].ravel(), all_options[path].ravel())[0, 1]) < 4 / 64


def test_parameters_of_others_are_as_init_draws_them(all_options):
    own = jax.jit(lambda key: Network().init(key, jnp.int32(0), X, False)["params"]["own"])(jax.random.key(0))
    np.testing.assert_allclose(all_options["['params']['own']['kernel']"], own["kernel"], rtol=1e-6)
