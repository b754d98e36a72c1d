from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, proxies, tasks
from jaxnas.evaluators._zero_cost import rank
from jaxnas.networks import Choice, Identity, ReLUConvBN
from jaxnas.search import search
from jaxnas.spaces import categorical
from jaxnas.strategies import regularized_evolution
from jaxnas.tasks import Batch
from jaxnas.types import propose

SPACE = categorical({"first": ["skip", "1x1", "3x3"], "second": ["skip", "1x1", "3x3"]}, name="tiny")
GENOMES = np.int32([[0, 0], [2, 1], [1, 2]])
KEY = jax.random.key(0)


class Network(nn.Module):
    classes: int = 10

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        for name in SPACE.decisions:
            options = {"skip": Identity, "1x1": partial(ReLUConvBN, 4, 1), "3x3": partial(ReLUConvBN, 4, 3)}
            x = Choice(options, name=name)(decisions[name], x, train)
        return nn.Dense(self.classes)(nn.relu(x).mean((1, 2)))


def built(proxies, **options):
    options = {"devices": jax.devices()[:1], **options}
    return evaluators.zero_cost(SPACE, Network(), tasks.digits(), proxies=proxies, batch_size=16, **options)


def evaluated(evaluator):
    state = jax.jit(evaluator.init)(KEY)
    return jax.jit(evaluator.evaluate)(KEY, state, propose(jnp.asarray(GENOMES), jnp.int32(0)))[0], state


def test_fitness_is_the_score_of_the_proxy_at_the_shared_initialization():
    """On two devices, of three members."""
    feedback, state = evaluated(built("synflow", devices=jax.devices()[:2]))
    batch = Batch(tasks.digits().train.inputs[state.chosen], None)
    variables = dict(state.variables)
    params = variables.pop("params")

    @jax.jit
    def score(genome):
        apply = lambda p, x: Network().apply({"params": p, **variables}, SPACE.unpack(genome), x, False)
        return proxies.PROXIES["synflow"](apply, params, batch, KEY)

    np.testing.assert_allclose(feedback.fitness, [score(jnp.asarray(genome)) for genome in GENOMES], rtol=1e-5)
    np.testing.assert_array_equal(feedback.metrics["synflow"], feedback.fitness)


def test_several_proxies_are_ranked_and_weighed():
    feedback, state = evaluated(built({"params": 2.0, "l2_norm": -1.0}, reference=9))
    ranks = {name: rank(feedback.metrics[name], state.ranks[name]) for name in ("params", "l2_norm")}
    np.testing.assert_allclose(feedback.fitness, 2 * ranks["params"] - ranks["l2_norm"], rtol=1e-6)


def test_a_negative_weight_seeks_low_scores():
    feedback, _ = evaluated(built({"params": -1}))
    np.testing.assert_array_equal(feedback.fitness, -np.asarray(feedback.metrics["params"]))
    assert len(np.unique(feedback.fitness)) == 2  # two have the same layers in another order


def test_rank_is_the_share_below_and_increases_beyond_the_reference():
    reference = jnp.array([1.0, 2.0, 4.0, 5.0])
    found = rank(jnp.array([0.0, 1.0, 2.0, 3.0, 5.0, 6.0]), reference)
    np.testing.assert_allclose(found, [-0.25, 0, 1 / 3, 0.5, 1, 1.25], atol=1e-6)


def test_a_score_that_is_not_finite_is_invalid():
    class Dead(Network):
        @nn.compact
        def __call__(self, decisions, x, train: bool):
            return Network(name="network")(decisions, x * 0 if train else x, train) * (decisions["first"] > 0)

    evaluator = evaluators.zero_cost(SPACE, Dead(), tasks.digits(), proxies="jacov", batch_size=16)
    feedback, _ = evaluated(evaluator)
    assert not feedback.valid.any() and not np.isfinite(feedback.fitness).any()


def test_evolution_finds_the_network_of_most_parameters():
    strategy = regularized_evolution(SPACE, population_size=6, tournament_size=3, proposals=4)
    assert search(SPACE, strategy, built("params"), rounds=10, progress=False).architecture == "first=3x3,second=3x3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxies": "synflo"}, "proxies: unknown 'synflo'. Did you mean 'synflow'"),
        ({"proxies": "snip", "batch_size": 2000}, r"batch_size: expected at most 1077 \(training examples\), got 2000"),
        ({"proxies": "nwot", "batch_size": 1}, "batch: nwot compares examples and needs at least 2"),
        ({"proxies": "snip", "plan": "bucket"}, "plan: unknown 'bucket'"),
        ({"proxies": ["snip", "nwot"], "reference": 1}, "reference: expected at least 2"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        evaluators.zero_cost(SPACE, Network(), tasks.digits(), **options)


METRIC = tasks.mean_metric(lambda out, y: -out[:, 0], name="first", higher_is_better=True)


def test_labels_that_a_proxy_cannot_use_are_refused_at_construction():
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 1))
    splits = dict.fromkeys(("train", "validation", "test"), (x, x.mean((1, 2, 3))))
    task = tasks.arrays(splits, loss=lambda out, y: (out[:, 0] - y) ** 2, metric=METRIC, outputs=1)
    with pytest.raises(ValueError, match="batch: epe_nas needs integer labels"):
        evaluators.zero_cost(SPACE, Network(classes=1), task, proxies="epe_nas", batch_size=8)
