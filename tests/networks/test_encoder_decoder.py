"""A transformer that encodes and one that decodes: what each sees, and the kinds of decision agree."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.check import InputError
from jaxnas.networks import EncoderDecoder, decoder, extract

ENCODER = {"layers": 2, "heads": (1, 2), "groups": (1,), "head_sizes": (8,), "widths": (16, 24), "depths": (1, 2)}
DECODER = {"layers": 2, "heads": (2,), "groups": (1, 2), "head_sizes": (8,), "widths": (16,), "sources": (1, 2)}
V = 11
SPACE = spaces.encoder_decoder(encoder=ENCODER, decoder=DECODER)
NETWORK = EncoderDecoder(encoder={**ENCODER, "padding": 0}, decoder=DECODER, classes=V)
DRAW = np.random.default_rng(0)
INPUTS = {"source": DRAW.integers(1, V, (2, 9)), "target": DRAW.integers(0, V, (2, 6))}


def init(genome):
    return NETWORK.init(jax.random.key(0), SPACE.unpack(genome), INPUTS, False)


@pytest.fixture(scope="module")
def variables():
    shapes = jax.eval_shape(init, jnp.zeros(len(SPACE.decisions), jnp.int32))
    draw = np.random.default_rng(0)
    of = lambda leaf: draw.uniform(0.5, 1.5, leaf.shape) if leaf.ndim == 1 else draw.normal(0, 0.3, leaf.shape)
    return jax.tree.map(lambda leaf: np.asarray(of(leaf), np.float32), shapes)


@jax.jit
def outputs(variables, genome, inputs):
    return NETWORK.apply(variables, SPACE.unpack(genome), inputs, False)


@pytest.mark.parametrize("seed", range(4))
def test_one_program_agrees_with_every_stand_alone_network(variables, seed):
    genome = np.asarray(SPACE.sample(jax.random.key(seed)))
    own = extract(variables, jax.eval_shape(partial(init, genome)))
    expected = NETWORK.apply(own, SPACE.unpack(genome), INPUTS, False)
    for given in (jnp.asarray(genome), np.eye(SPACE.mask.shape[1], dtype=np.float32)[genome]):
        np.testing.assert_allclose(outputs(variables, given, INPUTS), expected, atol=1e-4)


def test_the_decoder_sees_all_of_the_source_and_none_of_the_target_after(variables):
    genome = SPACE.sample(jax.random.key(0))
    before = outputs(variables, genome, INPUTS)
    change = lambda part, at: (
        {**INPUTS, part: INPUTS[part].copy()}
        | {part: np.where(np.arange(INPUTS[part].shape[1]) == at, INPUTS[part] % (V - 1) + 1, INPUTS[part])}
    )
    later = outputs(variables, genome, change("target", 3))
    np.testing.assert_array_equal(later[:, :3], before[:, :3])
    assert (abs(later - before)[:, 3:].max(-1) > 1e-6).all()
    for at in (0, 8):
        assert (abs(outputs(variables, genome, change("source", at)) - before).max(-1) > 1e-6).all()


def test_padding_of_the_source_changes_nothing(variables):
    genome = SPACE.sample(jax.random.key(1))
    padded = {**INPUTS, "source": np.pad(INPUTS["source"], [(0, 0), (0, 4)])}
    np.testing.assert_allclose(outputs(variables, genome, padded), outputs(variables, genome, INPUTS), atol=1e-5)


def test_how_many_of_the_encoders_layers_are_seen_is_a_decision(variables):
    genome = np.zeros(len(SPACE.decisions), np.int32)
    deep = genome + (np.array(SPACE.decisions) == "encoder_depth")
    both = lambda g: g + np.char.endswith(SPACE.decisions, "sources")
    of = lambda g: np.asarray(outputs(variables, g.astype(np.int32), INPUTS))
    assert abs(of(both(deep)) - of(deep)).max() > 1e-4
    np.testing.assert_allclose(of(both(genome)), of(genome), atol=1e-5)  # of one layer there is no second


def test_token_by_token(variables):
    genome = np.asarray(SPACE.sample(jax.random.key(2)))
    decisions = SPACE.unpack(genome)
    own = extract(variables, jax.eval_shape(partial(init, genome)))
    memory = NETWORK.apply(own, decisions, INPUTS["source"], False, method="encode")
    state, step = decoder(NETWORK.decoder, NETWORK.parts(decisions)[1])
    held, found = state(2, 6), []
    for token in INPUTS["target"].T:
        logits, held = step({"params": own["params"]["decoder"]}, token, held, memory)
        found.append(logits)
    expected = NETWORK.apply(own, decisions, INPUTS, False)
    np.testing.assert_allclose(np.stack(found, 1), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": {"sources": (1,)}}, "encoder: unknown 'sources'"),
        ({"encoder": {"layrs": 2}}, "Did you mean 'layers'"),
        ({"decoder": {"sources": (0,)}}, "sources: expected at least 1"),
        ({"decoder": ("heads",)}, "decoder: expected"),
        ({"encoder": {"mixers": ("delta",)}}, "mixers: 'delta'"),
    ],
)
def test_bad_options(change, message):
    given = {"encoder": ENCODER, "decoder": DECODER, **change}
    with pytest.raises(InputError, match=message):
        spaces.encoder_decoder(**given)
        EncoderDecoder(**given)


def test_decisions_of_another_space(variables):
    with pytest.raises(InputError, match="decisions: the network leaves encoder_layer_0_heads"):
        NETWORK.apply(variables, {"width": 0}, INPUTS, False)
