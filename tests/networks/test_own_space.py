"""A user's own space and network, written outside the library with its public names."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import search
from jaxnas.evaluators import training
from jaxnas.networks import BatchNorm, Choice, Identity, ReLUConvBN, conv, exists, extract, width
from jaxnas.spaces import categorical
from jaxnas.strategies import random_search
from jaxnas.tasks import digits
from tests.support.variables import of_shapes

WIDTHS, DEPTHS = (4, 2, 6), (1, 3)
SPACE = categorical({"kernel": (1, 3), "width": WIDTHS, "depth": DEPTHS}, name="own")


class Own(nn.Module):
    """A convolution of chosen kernel, one of chosen width, and a chosen number of layers after it."""

    @nn.compact
    def __call__(self, decisions, x, train):
        kernels = {"1x1": partial(ReLUConvBN, 4, 1), "3x3": partial(ReLUConvBN, 4, 3)}
        x = Choice(kernels, name="kernel")(decisions["kernel"], x, train)
        features, mask = width(decisions["width"], WIDTHS)
        x = BatchNorm(name="norm")(conv(features, 3, 2, name="wide")(x), train) * mask
        options = {"skip": Identity, "layer": partial(ReLUConvBN, features, 3)}
        for i in range(max(DEPTHS)):
            x = Choice(options, name=f"layer_{i}")(exists(decisions["depth"], DEPTHS, i), x, train) * mask
        return nn.Dense(10, name="head")(x.mean((1, 2)))


X = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
GENOMES = [np.array(g) for g in ([0, 0, 0], [1, 1, 1], [0, 2, 1], [1, 0, 1])]


def init(genome):
    return Own().init(jax.random.key(1), SPACE.unpack(genome), X, False)


def both(variables, genome):
    """Outputs in training and in scoring, and the statistics of training."""
    decisions = SPACE.unpack(genome)
    outputs, updates = Own().apply(variables, decisions, X, True, mutable=["batch_stats"])
    return outputs, Own().apply(variables, decisions, X, False), updates


@pytest.fixture(scope="module")
def variables():
    return of_shapes(jax.eval_shape(init, jnp.asarray(GENOMES[0])))


@pytest.fixture(scope="module")
def static(variables):
    own = [extract(variables, jax.eval_shape(partial(init, genome))) for genome in GENOMES]
    return [(v, jax.jit(partial(both, genome=g))(v)) for v, g in zip(own, GENOMES, strict=True)]


@pytest.mark.parametrize("choose", [jnp.asarray, lambda g: np.eye(3, dtype=np.float32)[g]], ids=["traced", "one-hot"])
def test_one_program_agrees_with_every_stand_alone_network(variables, static, choose):
    run = jax.jit(lambda variables, choice: both(variables, choice))
    for genome, (own, expected) in zip(GENOMES, static, strict=True):
        outputs, scores, updates = run(variables, choose(genome))
        ours = (outputs, scores, extract(updates, {"batch_stats": own["batch_stats"]}))
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), ours, expected)
    assert run._cache_size() == 1


def test_narrow_and_shallow_network_is_cut_from_the_population(static):
    narrow = static[1][0]["params"]
    assert narrow["wide"]["kernel"].shape == (3, 3, 4, 2)
    assert narrow["layer_2"]["layer"]["conv"]["kernel"].shape == (3, 3, 2, 2)
    assert narrow["head"]["kernel"].shape == (2, 10)
    assert set(static[0][0]["params"]) == {"kernel", "wide", "norm", "layer_0", "head"}


def test_search_runs_on_it():
    evaluator = training(SPACE, Own(), digits(), batch_size=16, devices=jax.devices()[:1])
    result = search(SPACE, random_search(SPACE, proposals=2, budget=1), evaluator, rounds=1, progress=False)
    assert result.evaluations == 2 and result.invalid == 0
    assert result.fitness == max(line["fitness"] for line in result.history)
    np.testing.assert_array_equal(SPACE.from_string(result.architecture), result.genome)
