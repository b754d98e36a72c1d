"""A transformer whose every layer is a choice: the four kinds of decision agree, and so do its two forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.check import InputError
from jaxnas.execution import execution
from jaxnas.networks import Gated, Transformer, _attention, decoder, extract
from jaxnas.networks.attention_mixers import Attention
from jaxnas.networks.mixers import Sizes
from jaxnas.networks.recurrence import chunked, stepped
from jaxnas.networks.recurrent_mixers import Recurrence

OPTIONS = {
    "layers": 2,
    "mixers": ("attention", "window", "delta", "ssm", "jet", "none"),
    "heads": (2, 4),
    "groups": (1, 2, 4),
    "head_sizes": (8, 4),
    "ratios": (2, 1),
    "activations": ("gelu", "swiglu"),
    "norms": ("rms", "layer"),
    "places": ("pre", "post"),
    "widths": (16, 24),
    "depths": (1, 2),
}
V = 11
SPACE = spaces.transformer(**OPTIONS)
NETWORK = Transformer(**OPTIONS, classes=V, vocabulary=V, window=4)
TOKENS = np.random.default_rng(0).integers(0, V, (2, 13))
MIXERS = {"attention": 0, "window": 1, "delta": 2, "ssm": 3, "jet": 4}


def values(shapes, seed=0):
    draw = np.random.default_rng(seed)
    of = lambda leaf: draw.uniform(0.5, 1.5, leaf.shape) if leaf.ndim == 1 else draw.normal(0, 0.3, leaf.shape)
    return jax.tree.map(lambda leaf: np.asarray(of(leaf), np.float32), shapes)


def init(genome, network=NETWORK):
    return network.init(jax.random.key(0), SPACE.unpack(genome), TOKENS, False)


@pytest.fixture(scope="module")
def variables():
    return values(jax.eval_shape(init, jnp.zeros(len(SPACE.decisions), jnp.int32)))


@jax.jit
def loss(variables, genome):
    outputs = NETWORK.apply(variables, SPACE.unpack(genome), TOKENS, False)
    return (outputs**2).mean(), outputs


PROGRAM = jax.jit(jax.value_and_grad(loss, has_aux=True))


def of_mixer(mixer, seed=0):
    """A genome of both layers with that mixer, what else it decides being random."""
    genome = np.array(SPACE.sample(jax.random.key(seed)))
    genome[[SPACE.decisions.index(f"layer_{i}_mixer") for i in range(2)]] = MIXERS[mixer]
    return genome


@pytest.mark.parametrize("seed", range(3))
def test_one_program_agrees_with_every_stand_alone_network(variables, seed):
    genome = np.asarray(SPACE.sample(jax.random.key(seed)))
    own = extract(variables, jax.eval_shape(partial(init, genome)))

    def alone(own):
        outputs = NETWORK.apply(own, SPACE.unpack(genome), TOKENS, False)
        return (outputs**2).mean(), outputs

    (_, expected), slopes = jax.jit(jax.value_and_grad(alone, has_aux=True))(own)
    largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(slopes))
    weights = np.eye(SPACE.mask.shape[1], dtype=np.float32)[genome]
    for given in (jnp.asarray(genome), jnp.asarray(weights)):
        (_, outputs), gradient = PROGRAM(variables, given)
        np.testing.assert_allclose(outputs, expected, atol=1e-4)
        cut = extract(gradient, slopes)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4 * largest), cut, slopes)


def test_a_mixture_with_one_gate_open_is_that_mixer(variables):
    decisions = SPACE.unpack(jnp.asarray(of_mixer("delta")))
    gates = jnp.arange(6) == MIXERS["delta"]
    gated = {**decisions, "layer_0_mixer": Gated(gates.astype(jnp.float32), gates)}
    outputs = [NETWORK.apply(variables, given, TOKENS, False) for given in (decisions, gated)]
    np.testing.assert_allclose(*outputs, atol=1e-5)


@pytest.mark.parametrize("mixer", MIXERS)
def test_step_by_step_is_the_whole_sequence(variables, mixer):
    genome = of_mixer(mixer, seed=1)
    own, decisions = extract(variables, jax.eval_shape(partial(init, genome))), SPACE.unpack(genome)
    whole = NETWORK.apply(own, decisions, TOKENS, False)
    form = decoder(NETWORK, decisions)
    step = jax.jit(lambda state, token: form.step(own, token, state)[::-1])
    _, outputs = jax.lax.scan(step, form.state(2, 13), jnp.asarray(TOKENS.T))
    np.testing.assert_allclose(outputs.swapaxes(0, 1), whole, atol=1e-4)


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_later_token_changes_nothing_earlier(variables, mixer):
    genome, later = of_mixer(mixer, seed=2), TOKENS.copy()
    later[:, 7] = (later[:, 7] + 1) % V
    own = extract(variables, jax.eval_shape(partial(init, genome)))
    before, after = (NETWORK.apply(own, SPACE.unpack(genome), x, False) for x in (TOKENS, later))
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert abs(before[:, 7:] - after[:, 7:]).max() > 1e-3


@pytest.mark.parametrize("mixer", MIXERS)
def test_padding_changes_nothing(variables, mixer):
    genome, padded = of_mixer(mixer, seed=3), NETWORK.clone(padding=0)
    own = extract(variables, jax.eval_shape(partial(init, genome)))
    x = np.where(TOKENS == 0, 1, TOKENS)
    alone = padded.apply(own, SPACE.unpack(genome), x, False)
    before, after = np.zeros((2, 5), int), np.zeros((2, 3), int)
    with_padding = padded.apply(own, SPACE.unpack(genome), np.concatenate([before, x, after], 1), False)
    np.testing.assert_allclose(with_padding[:, 5:18], alone, atol=2e-5)


def test_an_encoder_sees_both_sides_and_no_padding():
    options = {"layers": 1, "mixers": ("attention", "window"), "widths": (16,), "heads": (2,), "groups": (2,)}
    space = spaces.transformer(**options)
    network = Transformer(**options, causal=False, each=False, padding=0, vocabulary=V, classes=3, window=4)
    x = np.where(TOKENS == 0, 1, TOKENS)
    for genome in (np.array([0]), np.array([1])):
        variables = values(jax.eval_shape(lambda g=genome: network.init(jax.random.key(0), space.unpack(g), x, False)))
        run = lambda x, v=variables, g=genome: network.apply(v, space.unpack(g), x, False)
        np.testing.assert_allclose(run(np.pad(x, [(0, 0), (2, 4)])), run(x), atol=1e-5)
        other = x.copy()
        other[:, -1] = other[:, -1] % (V - 1) + 1
        assert abs(run(other) - run(x)).max() > 1e-3


def test_images_are_cut_into_patches():
    space = spaces.transformer(
        layers=1, mixers=("attention", "none"), widths=(8,), heads=(2,), groups=(2,), head_sizes=(4,)
    )
    network = Transformer(
        layers=1, mixers=("attention", "none"), widths=(8,), heads=(2,), groups=(2,), head_sizes=(4,),
        causal=False, each=False, vocabulary=0, classes=5, patch=4,
    )  # fmt: skip
    image = np.arange(2 * 8 * 12 * 3, dtype=np.float32).reshape(2, 8, 12, 3)
    outputs, variables = network.init_with_output(jax.random.key(0), space.unpack(np.array([0])), image, False)
    assert outputs.shape == (2, 5) and variables["params"]["embedding"]["kernel"].shape == (48, 8)
    np.testing.assert_array_equal(network._positions(image)[1, 4], image[1, 4:8, 4:8].ravel())


def rule(q, k, v, log_decay, beta):
    """The recurrence as it is written, position by position."""
    B, T, H, K = k.shape
    state, outputs = np.zeros((B, H, K, v.shape[-1])), []
    for t in range(T):
        state = np.exp(log_decay[:, t])[..., None, None] * state
        u = v[:, t] if beta is None else beta[:, t][..., None] * (v[:, t] - np.einsum("bhk,bhkv->bhv", k[:, t], state))
        state = state + k[:, t][..., :, None] * u[..., None, :]
        outputs.append(np.einsum("bhk,bhkv->bhv", q[:, t], state))
    return np.stack(outputs, 1), state


@pytest.mark.parametrize("delta", [False, True])
def test_chunks_are_the_recurrence(delta):
    random = np.random.default_rng(0)
    q, k, v = (random.normal(size=(2, 21, 3, n)) for n in (4, 4, 5))
    k = k / np.linalg.norm(k, axis=-1, keepdims=True)
    log_decay, beta = -random.exponential(0.3, (2, 21, 3)), random.uniform(size=(2, 21, 3)) if delta else None
    expected, last = rule(q, k, v, log_decay, beta)
    for chunk in (4, 8, 64):
        y, state = chunked(q, k, v, log_decay, beta, chunk=chunk)
        np.testing.assert_allclose(y, expected, atol=1e-5)
        np.testing.assert_allclose(state, last, atol=1e-5)
    half, kept = chunked(
        q[:, :10], k[:, :10], v[:, :10], log_decay[:, :10], None if beta is None else beta[:, :10], chunk=4
    )
    y, _ = stepped(q[:, 10], k[:, 10], v[:, 10], log_decay[:, 10], None if beta is None else beta[:, 10], kept)
    np.testing.assert_allclose(y, expected[:, 10], atol=1e-5)


def test_equal_keys_are_replaced_and_stay_finite():
    """The system of equal keys has an inverse whose powers are huge: it must be solved, not expanded."""
    k = np.ones((1, 64, 1, 4), np.float32) / 2
    v = np.random.default_rng(0).normal(size=(1, 64, 1, 4)).astype(np.float32)
    y, _ = chunked(k, k, v, np.zeros((1, 64, 1)), np.ones((1, 64, 1)))
    np.testing.assert_allclose(y, v, atol=1e-5)  # only the last value of a key is left


@pytest.mark.parametrize("mixer", ["window", "delta", "ssm"])
def test_memory_is_linear_in_the_length(mixer):
    common = {"width": 16, "heads": 2, "groups": 2, "head_size": 8}
    made = Attention(**common, window=32) if mixer == "window" else Recurrence(**common, delta=mixer == "delta")

    def temporaries(length):
        x = jax.ShapeDtypeStruct((1, length, 16), jnp.float32)
        variables = jax.eval_shape(
            lambda: made.init(jax.random.key(0), (jnp.zeros((1, 8, 16)), None, Sizes(), None), False)
        )
        total = lambda variables, x: made.apply(variables, (x, None, Sizes(), None), False).sum()
        return jax.jit(jax.grad(total)).lower(variables, x).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(2048) < 2.5 * temporaries(1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": (4, 6), "groups": (4,)}, r"groups: expected what divides the heads \[4, 6\], got 4"),
        ({"head_sizes": (7,)}, "head_sizes: expected even ones"),
        ({"mixers": ("attention", "mamba")}, "mixers: unknown 'mamba'. Known: attention"),
        ({"layers": 3, "depths": (1, 2)}, r"depths: expected 3 layers at most, got \[1, 2\]"),
        ({"widths": ()}, "widths: expected at least one option"),
        ({"norms": ("rms", "rms")}, "norms: expected options that differ"),
    ],
)
def test_options_that_cannot_be_built_are_refused_by_space_and_network(options, message):
    with pytest.raises(InputError, match=message):
        spaces.transformer(**{"mixers": ("attention", "none"), **options})
    with pytest.raises(InputError, match=message):
        Transformer(**options)


@pytest.mark.parametrize(
    ("change", "x", "message"),
    [
        ({"length": 8}, TOKENS, "length: the network is for 8 positions, the inputs have 13"),
        ({}, TOKENS.astype(np.float32), "vocabulary: 11 is for tokens"),
        ({"vocabulary": 0, "classes": 3}, np.zeros((1, 6, 8, 3)), "patches of 4 x 4 pixels cover"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, x, message):
    with pytest.raises(InputError, match=message):
        NETWORK.clone(**change).init(jax.random.key(0), SPACE.unpack(of_mixer("delta")), x, False)


def test_what_is_not_causal_has_no_recurrence_and_no_steps():
    with pytest.raises(InputError, match="'delta' sees what comes before"):
        NETWORK.clone(causal=False)
    with pytest.raises(InputError, match="expected a causal one of tokens"):
        decoder(NETWORK.clone(padding=0), {})
    with pytest.raises(InputError, match="decisions: expected an integer for 'depth'"):
        decoder(NETWORK, {"depth": jnp.ones(2)})


def test_the_cache_of_attention_grows_with_the_length_and_that_of_recurrences_does_not():
    sizes = {}
    for mixer in MIXERS:
        form = decoder(NETWORK, SPACE.unpack(of_mixer(mixer, seed=4)))
        sizes[mixer] = [form.cache_bytes(length) for length in (64, 128)]
    assert sizes["attention"][1] == 2 * sizes["attention"][0]
    assert all(sizes[m][1] == sizes[m][0] for m in ("window", "delta", "ssm"))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_long_attention_on_accelerators_goes_block_by_block_to_the_same_result(causal, padded, monkeypatch):
    monkeypatch.setattr(_attention, "AT_ONCE", 4)
    q, k, v = (np.random.default_rng(i).normal(size=(2, 11, 2, 6)).astype(np.float32) for i in range(3))
    seen = np.arange(11) < np.array([11, 7])[:, None]
    seen = jnp.asarray(seen[:, None, None]) if padded else None

    def of(platform):
        with execution(platform=platform):
            total = lambda q, k, v: (_attention.attend(q, k, v, seen, causal=causal) ** 2).sum()
            return jax.value_and_grad(total, (0, 1, 2))(q, k, v)

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), of("gpu"), of("cpu"))


def test_layers_that_are_computed_again_for_the_gradient_give_the_same(variables):
    genome = jnp.asarray(SPACE.sample(jax.random.key(5)))

    def of(platform):
        with execution(platform=platform):
            return jax.jit(jax.grad(lambda v: (NETWORK.apply(v, SPACE.unpack(genome), TOKENS, False) ** 2).mean()))(
                variables
            )

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), of("tpu"), of("cpu"))
