"""The Evolved Transformer as a network: static, traced and side by side agree; published cells are themselves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.check import InputError
from jaxnas.execution import execution
from jaxnas.networks import EvolvedTransformer, extract

OPTIONS = {
    "encoder_blocks": 3,
    "decoder_blocks": 4,
    "layers": ("conv_1", "conv_3", "separable_5", "lightweight_3_r4", "attention_2", "glu", "identity", "dead"),
    "dims": (1, 2, 4),
    "activations": ("swish", "relu", "none"),
    "cells": (1, 2),
    "widest": 6,
}
V, WIDTH = 11, 16
SPACE = spaces.evolved_transformer(**OPTIONS)
NETWORK = EvolvedTransformer(**OPTIONS, width=WIDTH, heads=2, classes=V, padding=0)
DRAW = np.random.default_rng(0)
INPUTS = {"source": DRAW.integers(1, V, (2, 9)), "target": DRAW.integers(0, V, (2, 6))}
TRANSFORMER = SPACE.from_string(
    spaces.transformer_cell(encoder_blocks=3, decoder_blocks=4, heads=2, hidden=4, cells=(2, 1))
)
MIXED = (
    "encoder:2|concat(0.layer.conv_3.1.relu,0.none.identity.2.none)"
    "|multiply(1.layer.separable_5.4.swish,1.none.lightweight_3_r4.2.none)"
    "|add(2.layer.glu.1.relu,0.none.identity.2.none)"
    "|decoder:2|multiply(0.layer.attention_2.2.none,0.layer.attend_to_encoder.4.none)"
    "|concat(1.none.conv_1.1.swish,1.layer.lightweight_3_r4.4.relu)|add(0.none.identity.1.none,2.layer.conv_3.1.none)"
    "|concat(2.none.separable_5.2.none,1.none.dead.2.none)"
)
"""Of every layer, combiner and size; the decoder's output is wider than the network."""


def init(network, space, genome):
    return network.init(jax.random.key(0), space.unpack(genome), INPUTS, False)


def drawn(network, space):
    """Variables that are like none in the beginning, where scales are 1 and biases 0."""
    shapes = jax.eval_shape(partial(init, network, space), jnp.zeros(len(space.decisions), jnp.int32))
    draw = np.random.default_rng(0)
    of = lambda leaf: draw.uniform(0.5, 1.5, leaf.shape) if leaf.ndim == 1 else draw.normal(0, 0.3, leaf.shape)
    return jax.tree.map(lambda leaf: np.asarray(of(leaf), np.float32), shapes)


def own(network, space, variables, genome):
    return extract(variables, jax.eval_shape(partial(init, network, space, genome)))


@pytest.fixture(scope="module")
def variables():
    return drawn(NETWORK, SPACE)


@jax.jit
def outputs(variables, genome, inputs):
    return NETWORK.apply(variables, SPACE.unpack(genome), inputs, False)


@pytest.mark.parametrize("genome", [MIXED, *range(2)])
def test_one_program_agrees_with_every_stand_alone_network(variables, genome):
    sampled = isinstance(genome, int)
    genome = np.asarray(jax.jit(SPACE.sample)(jax.random.key(genome))) if sampled else SPACE.from_string(genome)
    apply = jax.jit(lambda variables: NETWORK.apply(variables, SPACE.unpack(genome), INPUTS, False))
    expected = apply(own(NETWORK, SPACE, variables, genome))
    np.testing.assert_allclose(outputs(variables, jnp.asarray(genome), INPUTS), expected, atol=1e-4)


def test_members_side_by_side_agree_with_stand_alone_networks_and_so_do_their_gradients():
    options = {
        **OPTIONS,
        "layers": ("conv_1", "separable_5", "identity", "dead"),
        "cells": (1,),
        "activations": ("none",),
    }
    space = spaces.evolved_transformer(**options)
    network = EvolvedTransformer(**options, width=8, heads=2, classes=V, padding=0)
    variables = drawn(network, space)
    genomes = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 3))
    loss = lambda genome, variables: jnp.square(network.apply(variables, space.unpack(genome), INPUTS, False)).mean()

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def population(genome, variables):
        with execution(side_by_side=True):
            return jax.value_and_grad(loss, 1)(genome, variables)

    losses, gradients = population(genomes, variables)
    genome = np.asarray(genomes[1])
    expected, of_own = jax.jit(jax.value_and_grad(partial(loss, genome)))(own(network, space, variables, genome))
    np.testing.assert_allclose(losses[1], expected, rtol=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    found = extract(jax.tree.map(lambda leaf: leaf[1], gradients), jax.eval_shape(lambda: of_own))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-3), found, of_own)


@pytest.mark.parametrize("text", ["transformer", MIXED])
def test_the_decoder_sees_all_of_the_source_and_none_of_the_target_after(variables, text):
    genome = jnp.asarray(TRANSFORMER if text == "transformer" else SPACE.from_string(text))
    before = outputs(variables, genome, INPUTS)
    at = lambda part, place: np.where(
        np.arange(INPUTS[part].shape[1]) == place, INPUTS[part] % (V - 1) + 1, INPUTS[part]
    )
    change = lambda part, place: abs(outputs(variables, genome, {**INPUTS, part: at(part, place)}) - before).max(-1)
    later = change("target", 3)
    np.testing.assert_array_equal(later[:, :3], 0)
    assert (later[:, 3] > 1e-6).all()
    for place in (0, 8):
        assert (change("source", place) > 1e-7).all()


def test_padding_of_the_source_changes_nothing(variables):
    padded = {**INPUTS, "source": np.pad(INPUTS["source"], [(0, 0), (0, 4)])}
    for genome in (jnp.asarray(TRANSFORMER), jnp.asarray(SPACE.from_string(MIXED))):
        np.testing.assert_allclose(outputs(variables, genome, padded), outputs(variables, genome, INPUTS), atol=1e-5)


def test_transformer_is_what_one_writes_by_hand(variables):
    params = own(NETWORK, SPACE, variables, TRANSFORMER)["params"]
    table = params["embedding"]["embedding"]

    def norm(x, of):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * of["scale"] + of["bias"]

    def rotated(x):  # [B, T, H, D]
        angle = np.arange(x.shape[1])[:, None] * 10_000 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None]
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

    def attention(x, memory, of, seen, turn):
        (of,) = of["layer"].values()
        q, k, v = (np.einsum("btw,whd->bthd", y, of["attention"][name]["kernel"])
                   for y, name in ((x, "query"), (memory, "key"), (memory, "value")))  # fmt: skip
        scores = np.einsum("bthd,bshd->bhts", turn(q), turn(k)) / np.sqrt(q.shape[-1])
        weights = np.exp(np.where(seen, scores, -np.inf))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bhts,bshd,hdw->btw", weights, v, of["attention"]["output"]["kernel"])

    def feed_forward(x, first, second):
        first, second = (of["left"]["layer"]["conv_1"] for of in (first, second))
        return np.maximum(x @ first["kernel"][0] + first["bias"], 0) @ second["kernel"][0] + second["bias"]

    x, T = table[INPUTS["source"]], INPUTS["target"].shape[1]
    for cell in ("cell_0", "cell_1"):
        own_params = params["encoder"][cell]
        a, b, c = (own_params[f"block_{i}"] for i in range(3))
        read = norm(x, own_params["norm_0"])
        x = x + attention(read, read, a["left"], True, rotated)
        x = x + feed_forward(norm(x, own_params["norm_1"]), b, c)
    memory = norm(x, params["encoder"]["norm"])
    x, own_params = table[INPUTS["target"]], params["decoder"]["cell_0"]
    a, b, c, d = (own_params[f"block_{i}"] for i in range(4))
    read = norm(x, own_params["norm_0"])
    x = x + attention(read, read, a["left"], np.tri(T, dtype=bool), rotated)
    x = x + attention(norm(x, own_params["norm_1"]), memory, b["left"], True, lambda y: y)
    x = x + feed_forward(norm(x, own_params["norm_2"]), c, d)
    expected = norm(x, params["decoder"]["norm"]) @ table.T
    np.testing.assert_allclose(outputs(variables, jnp.asarray(TRANSFORMER), INPUTS), expected, atol=1e-4)


@pytest.mark.parametrize("cell", ["transformer", "evolved"])
def test_parameters_at_base_size(cell):
    d, vocabulary = 512, 32_000
    norm, attention, outer = 2 * d, 4 * d * d, vocabulary * d + 2 * (2 * d)
    dense = lambda n, m: n * m + m
    separable = lambda k, n, m: k * n + dense(n, m)
    feed_forward = norm + dense(d, 4 * d) + dense(4 * d, d)
    glu = norm + 2 * dense(d, d)
    wide = norm + dense(d, 4 * d) + (3 * d * d // 2 + d // 2) + 2 * (4 * d) + separable(9, 4 * d, d // 2)
    both = norm + 2 * attention
    between = norm + separable(11, d, 2 * d) + separable(7, d, d // 2) + 2 * (2 * d) + separable(7, 2 * d, d)
    expected = {
        "transformer": 6 * (norm + attention + feed_forward) + 6 * (2 * (norm + attention) + feed_forward),
        "evolved": 3 * (glu + wide + norm + attention + feed_forward)
        + 4 * (both + between + 2 * (norm + attention) + feed_forward),
    }
    space, network = spaces.evolved_transformer(), EvolvedTransformer(width=d, classes=vocabulary)
    text = spaces.transformer_cell() if cell == "transformer" else spaces.evolved_cell()
    params = jax.eval_shape(partial(init, network, space, space.from_string(text)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected[cell] + outer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 20}, "width: expected a multiple of 8"),
        ({"heads": 3}, "width: expected a multiple of 12"),
        ({"layers": ("glu",)}, "layers: expected 'identity'"),
        ({"classes": 0}, "classes: expected at least 1"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(InputError, match=message):
        EvolvedTransformer(**{**OPTIONS, "width": WIDTH, "heads": 2, "classes": V, **change})


def test_decisions_of_another_space(variables):
    decisions = SPACE.unpack(TRANSFORMER)
    with pytest.raises(InputError, match="decisions: the network leaves encoder_0_left_norm"):
        NETWORK.apply(variables, {"width": 0}, INPUTS, False)
    with pytest.raises(InputError, match="has no mixtures"):
        NETWORK.apply(variables, {**decisions, "encoder_cells": jnp.ones(2)}, INPUTS, False)
