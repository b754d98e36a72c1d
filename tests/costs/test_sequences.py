"""Costs of a transformer that decodes: its cache exactly, prefill and decoding as networks that can be timed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs, spaces
from jaxnas.check import InputError
from jaxnas.costs import on_device, sizes
from jaxnas.networks import DecodeStep, Layers, Transformer, decoder

OPTIONS = {
    "layers": 2,
    "mixers": ("attention", "window", "delta", "ssm", "none"),
    "heads": (2, 4),
    "groups": (1, 4),
    "head_sizes": (4,),
    "widths": (8,),
    "depths": (1, 2),
}
SPACE = spaces.transformer(**OPTIONS)
NETWORK = Transformer(**OPTIONS, classes=7, window=16)
GENOMES = [np.asarray(SPACE.sample(jax.random.key(seed))) for seed in range(6)]


def test_the_cache_is_that_of_the_decoder():
    cost = sizes.cache_size(SPACE, NETWORK, None, length=64)
    for genome in GENOMES:
        expected = decoder(NETWORK, SPACE.unpack(genome)).cache_bytes(64) / 1e3
        assert float(cost.cost(jnp.asarray(genome))) == pytest.approx(expected)
    one_hot = jax.nn.one_hot(np.stack(GENOMES), SPACE.mask.shape[1])
    each = jax.vmap(cost.cost)(jnp.stack(GENOMES))
    np.testing.assert_allclose(jax.vmap(cost.expected_cost)(one_hot), each, rtol=1e-5)


def test_parameters_are_those_of_the_stand_alone_network():
    options = {**OPTIONS, "mixers": ("attention", "delta"), "heads": (4,), "ratios": (2, 0), "widths": (8, 12)}
    space, network = spaces.transformer(**options), Transformer(**options, classes=7)
    cost = jax.jit(sizes.parameter_count(space, network, None).cost)
    for seed in range(5):
        genome = np.asarray(space.sample(jax.random.key(seed)))
        own = lambda genome=genome: network.init(jax.random.key(0), space.unpack(genome), jnp.zeros((1, 3), int), False)
        count = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(own)["params"]))
        assert float(cost(jnp.asarray(genome))) == pytest.approx(count / 1e3)


def test_a_step_is_a_network_with_its_cache_among_the_variables():
    step = DecodeStep(NETWORK, 64)
    x = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    (compiled,) = costs.compile_networks(SPACE, step, GENOMES[:1], x)
    assert compiled.call().shape == (1, 1, 7) and compiled.reads
    variables = jax.tree.map(jnp.zeros_like, compiled.arguments[0])
    own = decoder(NETWORK, SPACE.unpack(GENOMES[0])).state(1, 64)["cache"]
    assert jax.tree.map(jnp.shape, variables.get("cache", {})) == jax.tree.map(jnp.shape, own)


@pytest.mark.slow  # operations of both are traced and timed
@pytest.mark.parametrize("cost", [on_device.prefill_latency, on_device.decode_latency])
def test_what_is_timed_predicts_what_is_measured(cost, one_device):
    made = cost(SPACE, NETWORK, None, length=64, networks=8)
    made.prepare()
    lines = made.measure(GENOMES)
    (name,) = made.names
    assert all(0 < line[name]["predicted"] < 20 * line[name]["measured"] for line in lines)


def test_only_transformers_of_tokens_have_a_cache():
    with pytest.raises(InputError, match="cache_size is that of a Transformer of tokens, the network is a Layers"):
        sizes.cache_size(SPACE, Layers(("dense", "gated")), None)
    with pytest.raises(InputError, match="config.cost.length: expected at least 1"):
        on_device.decode_latency(SPACE, NETWORK, None, length=0)
