"""Pure functions and NNX modules are searched as Linen modules are, and what is found can be had as either."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxnas import evaluators, networks, spaces, tasks
from jaxnas.networks import Choice, Functions, Identity, ReLUConvBN, as_nnx, exists, stand_alone, width
from jaxnas.types import propose

KEY, ONE = jax.random.key(0), jax.devices()[:1]
random = np.random.default_rng(0)
PAIR = random.normal(size=(60, 4, 4, 3)).astype(np.float32), random.integers(0, 3, 60)
TASK = tasks.arrays(dict.fromkeys(("train", "validation", "test"), PAIR))
WIDTHS, DEPTHS = (4, 8), (1, 2)
SPACE = spaces.categorical({"kernel": [1, 3], "width": WIDTHS, "depth": DEPTHS})
GENOMES = jnp.array([[0, 1, 0], [1, 0, 1]], jnp.int32)


def init_fn(key, decisions, x):
    return {"w": jax.random.normal(key, (48, 3)) / 7, "b": jnp.zeros(3)}


def apply_fn(params, decisions, x, train):
    x = x.reshape(len(x), -1)
    x = jnp.where(jnp.asarray(decisions["kernel"]) == 1, jnp.tanh(x), x)
    return x @ params["w"] + params["b"]


class Linen(nn.Module):
    """Every kind of decision that a network has."""

    @nn.compact
    def __call__(self, decisions, x, train):
        features, mask = width(decisions["width"], WIDTHS)
        kernels = {"1x1": partial(ReLUConvBN, features, 1), "3x3": partial(ReLUConvBN, features, 3)}
        x = Choice(kernels, name="stem")(decisions["kernel"], x, train) * mask
        for i in range(max(DEPTHS)):
            layer = {"skip": Identity, "layer": partial(ReLUConvBN, features, 3)}
            x = Choice(layer, name=f"layer_{i}")(exists(decisions["depth"], DEPTHS, i), x, train) * mask
        return nn.Dense(3, name="head")(x.mean((1, 2)))


class Stem(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train):
        features, mask = width(decisions["width"], WIDTHS)
        kernels = {"1x1": partial(ReLUConvBN, features, 1), "3x3": partial(ReLUConvBN, features, 3)}
        return Choice(kernels, name="choice")(decisions["kernel"], x, train) * mask


class Nnx(nnx.Module):
    """NNX layers around a choice that is written in Linen."""

    def __init__(self, *, rngs):
        self.scale = nnx.Param(jnp.ones(3))
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        blank = {"kernel": jnp.int32(0), "width": jnp.int32(0)}
        self.stem = nnx.bridge.ToNNX(Stem(), rngs=rngs).lazy_init(blank, jnp.zeros((1, 4, 4, 3)), False)
        self.head = nnx.Linear(max(WIDTHS), 3, rngs=rngs)

    def __call__(self, decisions, x, train):
        x = self.norm(x * self.scale[...], use_running_average=not train)
        x = self.stem({name: decisions[name] for name in ("kernel", "width")}, x, train)
        return self.head(x.mean((1, 2)))


NETWORKS = {"functions": lambda: Functions(init_fn, apply_fn), "nnx": lambda: nnx.bridge.to_linen(Nnx)}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_population_of_it_trains(name):
    evaluator = evaluators.training(SPACE, NETWORKS[name](), TASK, batch_size=20, devices=ONE, learning_rate=0.05)
    feedback, _ = jax.jit(evaluator.evaluate)(KEY, (), propose(GENOMES, jnp.int32(0), budget=60))
    untrained, _ = jax.jit(evaluator.evaluate)(KEY, (), propose(GENOMES, jnp.int32(0), budget=0))
    assert (feedback.metrics["loss"] < untrained.metrics["loss"]).all() and feedback.metrics["loss"][
        0
    ] != feedback.metrics["loss"][1]


@pytest.mark.parametrize("name", NETWORKS)
def test_its_weights_are_shared(name):
    evaluator = evaluators.supernet(SPACE, NETWORKS[name](), TASK, steps=3, batch_size=20, recalibrate=0)
    state = jax.jit(evaluator.init)(KEY)
    feedback, _ = jax.jit(evaluator.evaluate)(KEY, state, propose(GENOMES, jnp.int32(0), budget=1))
    assert feedback.valid.all() and feedback.metrics["train_loss"][0] != feedback.metrics["train_loss"][1]


def test_the_architecture_found_is_a_linen_module_and_an_nnx_module_of_the_same_function():
    network, genome = Linen(), np.array([1, 0, 0])
    decisions, x = SPACE.unpack(genome), TASK.test.inputs[:5]
    whole = jax.jit(lambda key: network.init(key, SPACE.unpack(jnp.asarray(genome)), x, False))(KEY)
    alone = networks.extract(whole, jax.eval_shape(lambda key: network.init(key, decisions, x, False), KEY))
    expected = network.apply(alone, decisions, x, False)
    linen = stand_alone(network, decisions)
    np.testing.assert_array_equal(linen.apply(alone, x), expected)
    assert jax.tree.structure(jax.eval_shape(linen.init, KEY, x)) == jax.tree.structure(alone)
    for variables in (alone, whole):
        np.testing.assert_allclose(as_nnx(network, decisions, variables, x)(x), expected, rtol=1e-6)


def test_variables_of_another_network_are_refused():
    variables = {"params": {"other": {"kernel": jnp.ones((3, 3))}}}
    with pytest.raises(ValueError, match="variables: .* is not there; are they of another network"):
        as_nnx(Linen(), SPACE.unpack(np.array([1, 0, 0])), variables, TASK.test.inputs[:1])
