"""Replacements of a trained decoder's layers begin with the parent's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, tasks
from jaxnas.check import InputError
from jaxnas.networks import Transformer
from jaxnas.pretrained import replacements, trained
from jaxnas.pretrained.replacements import ordered, parent_of, replacement_network, replacement_space
from jaxnas.types import propose

SIZES = {"layers": 2, "heads": (4,), "groups": (2,), "head_sizes": (4,), "widths": (16,), "ratios": (2,)}
SIZES["activations"] = ("swiglu",)
MIXERS = ("window:4", "attention:1", "delta", "delta:2x4x6", "none")
TASK = tasks.recall(pairs=3, vocabulary=8, held_out=64)
DECODER = Transformer(**SIZES, classes=TASK.outputs)
TOKENS = TASK.validation.inputs[:8]
VARIABLES = DECODER.init(jax.random.key(0), {}, TOKENS, False)
PARENT = parent_of(DECODER, VARIABLES, TOKENS)
OPTIONS = {"mixers": MIXERS, "feed_forward": (1, 0.5, 0)}
SPACE, NETWORK = replacement_space(PARENT, **OPTIONS), replacement_network(PARENT, **OPTIONS)


def decisions(**chosen):
    """Of the parent, but for those given, by the text of their option."""
    genome = np.zeros(len(SPACE.decisions), np.int32)
    for name, option in chosen.items():
        d = SPACE.decisions.index(name)
        genome[d] = [str(o) for o in SPACE.options[d]].index(str(option))
    return SPACE.unpack(genome)


def begun(choice):
    make = lambda key: PARENT.initialize(key, choice, NETWORK.init(key, choice, TOKENS, False))
    return jax.jit(make)(jax.random.key(1))


def outputs(choice):
    return jax.jit(lambda variables: NETWORK.apply(variables, choice, TOKENS, False))(begun(choice))


@jax.jit
def of_population(choice):
    """Outputs of the network that holds every replacement; the decisions are traced."""
    every = PARENT.initialize(None, choice, NETWORK.init(jax.random.key(1), choice, TOKENS, False))
    return NETWORK.apply(every, choice, TOKENS, False)


def test_without_a_replacement_it_is_the_parent():
    np.testing.assert_allclose(outputs(decisions()), DECODER.apply(VARIABLES, {}, TOKENS, False), atol=1e-5)


def test_the_population_network_holds_every_replacement_with_the_same_values():
    choice = decisions(layer_0_mixer="window:4", layer_1_mixer="attention:1", layer_1_ratio=1)
    np.testing.assert_allclose(of_population(choice), outputs(choice), atol=1e-5)


def test_a_window_of_the_whole_sequence_is_attention():
    parent = parent_of(DECODER, VARIABLES)
    whole = replacement_network(parent, mixers=("window:100",))
    choice = {"layer_0_mixer": 1, "layer_1_mixer": 1}
    own = whole.init(jax.random.key(1), choice, TOKENS, False)
    made = whole.apply(parent.initialize(None, choice, own), choice, TOKENS, False)
    np.testing.assert_allclose(made, DECODER.apply(VARIABLES, {}, TOKENS, False), atol=1e-5)


def test_keys_and_values_of_merged_groups_are_their_mean():
    params = begun(decisions(layer_0_mixer="attention:1"))["params"]["layer_0"]["mixer"]["attention:1"]
    theirs = VARIABLES["params"]["layer_0"]["mixer"]["attention"]
    for name in ("key", "value"):
        np.testing.assert_allclose(params[name]["kernel"], theirs[name]["kernel"].mean(1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(params["query"]["kernel"], theirs["query"]["kernel"])


def test_a_recurrence_takes_the_projections_of_the_attention():
    params = begun(decisions(layer_0_mixer="delta"))["params"]["layer_0"]["mixer"]["delta"]
    theirs = VARIABLES["params"]["layer_0"]["mixer"]["attention"]
    np.testing.assert_array_equal(params["key"]["kernel"], jnp.repeat(theirs["key"]["kernel"], 2, 1))
    np.testing.assert_array_equal(params["output"]["kernel"], theirs["output"]["kernel"])
    np.testing.assert_array_equal(params["key_taps"].sum(0), 1)  # passes on what is there now
    assert np.isfinite(outputs(decisions(layer_0_mixer="delta:2x4x6"))).all()


def test_the_order_of_hidden_features_changes_nothing_and_is_by_importance():
    moved = ordered(DECODER, VARIABLES, TOKENS)
    before, after = (DECODER.apply(variables, {}, TOKENS, False) for variables in (VARIABLES, moved))
    np.testing.assert_allclose(before, after, atol=1e-5)
    for layer in ("layer_0", "layer_1"):
        down = VARIABLES["params"][layer]["feed_forward"]["swiglu"]["down"]["kernel"]
        silent = jax.tree.map(lambda leaf: leaf, VARIABLES)
        silent["params"][layer]["feed_forward"]["swiglu"]["down"] = {"kernel": down.at[3].set(0)}
        last = ordered(DECODER, silent, TOKENS)["params"][layer]["feed_forward"]["swiglu"]["down"]["kernel"][-1]
        np.testing.assert_array_equal(last, 0)


def test_a_layer_may_have_no_feed_forward_network():
    choice = decisions(layer_0_ratio=0)
    assert "feed_forward" not in begun(choice)["params"]["layer_0"]
    np.testing.assert_allclose(of_population(choice), outputs(choice), atol=1e-5)


def test_a_supernet_of_replacements_learns_from_the_parent_what_is_not_frozen():
    frozen = ("*/feed_forward/*", "embedding/*", "*/attention/*")
    learn = {"distillation": {"weight": 1.0, "features": 1.0}, "frozen": frozen}
    recipe = {"optimizer": "adamw", "learning_rate": 1e-2, "batch_size": 16, "schedule": "constant"}
    space, network = (of(PARENT, mixers=("delta",)) for of in (replacement_space, replacement_network))
    net = evaluators.supernet(space, network, TASK, steps=40, parent=PARENT, **learn, **recipe)
    state, evaluate, lost = jax.jit(net.init)(jax.random.key(0)), jax.jit(net.evaluate), []
    for _ in range(4):
        feedback, state = evaluate(jax.random.key(1), state, propose(jnp.asarray([[1, 0]]), 0, budget=10))
        lost.append(float(feedback.metrics["train_loss"][0]))
    assert lost[-1] < 0.8 * lost[0]
    kept = net.variables(state)["params"]["layer_0"]["mixer"]["attention"]["key"]["kernel"]
    np.testing.assert_array_equal(kept, PARENT.variables["params"]["layer_0"]["mixer"]["attention"]["key"]["kernel"])


def test_what_is_retrained_is_scored_before_too():
    genome = np.zeros(len(SPACE.decisions), np.int32)
    scores = evaluators.retrain(SPACE, NETWORK, TASK, [genome], steps=2, parent=PARENT, batch_size=8)
    loss = TASK.loss(DECODER.apply(VARIABLES, {}, TASK.test.inputs, False), TASK.test.targets)
    weight = TASK.test.weights()
    np.testing.assert_allclose(scores["before_test_loss"][0], (loss * weight).sum() / weight.sum(), rtol=1e-4)
    assert scores["test_loss"][0] != scores["before_test_loss"][0]


def test_a_parent_is_trained_once(tmp_path):
    said = []
    of = lambda **more: trained(TASK, network=SIZES, steps=3, batch_size=4, folder=tmp_path, say=said.append, **more)
    first, again = of(), of()
    assert len(said) == 2
    jax.tree.map(np.testing.assert_array_equal, first.variables, again.variables)
    of(seed=1)
    assert len(list(tmp_path.glob("recall-*.npz"))) == 2
    next(tmp_path.glob("recall-*.npz")).write_bytes(b"cut off")
    of(), of(seed=1)
    assert len(said) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixers": ("windo:4",)}, "unknown 'windo'. Did you mean 'window'"),
        ({"mixers": ("attention:3",)}, "expected groups that divide the 4 heads, got 'attention:3'"),
        ({"mixers": ("window:4x4",)}, "expected window:WINDOW, got 'window:4x4'"),
        ({"mixers": ("none:1",)}, "expected none, which has no sizes, got 'none:1'"),
        ({"feed_forward": (0.5, 1)}, "expected shares of the parent's, 1 the first"),
        ({"feed_forward": (1, 2)}, "expected a number in \\[0, 1\\], got 2"),
        ({}, "leaves nothing to decide|at least one"),
    ],
)
def test_what_cannot_replace_anything_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        replacement_space(PARENT, **options)


def test_narrower_networks_of_a_parent_in_no_order_are_refused():
    unordered = parent_of(DECODER, VARIABLES)
    assert replacement_space(unordered, feed_forward=(1, 0)).size > 1  # a whole network or none
    with pytest.raises(InputError, match="feed_forward: with 0.5 the first hidden features are kept.*calibration"):
        replacement_space(unordered, feed_forward=(1, 0.5))


def test_the_parent_s_own_architecture_has_a_name():
    space = replacement_space(PARENT, mixers=("window:4", "none"), feed_forward=(1, 0.5))
    assert (space.from_string("parent") == 0).all()
    named = space.to_string(np.arange(len(space.decisions)) % 2)
    np.testing.assert_array_equal(space.from_string(named), np.arange(len(space.decisions)) % 2)


def test_a_parent_with_something_to_decide_is_none():
    open_ended = parent_of(DECODER.clone(ratios=(2, 4)), VARIABLES)
    with pytest.raises(InputError, match="of which nothing is left to decide"):
        replacements.replacement_network(open_ended)
    with pytest.raises(InputError, match="expected one option of each, but layer_0_ratio"):
        trained(TASK, network={**SIZES, "ratios": (2, 4)}, steps=1)


def test_layers_that_are_not_kept_take_the_same_replacement():
    space = replacement_space(PARENT, mixers=("delta:2x4x4", "jet:2x4x4", "ssm:2x4x4"), keep=[1])
    assert space.decisions == ("mixer",) and space.size == 3
    assert space.unpack(space.from_string("mixer=ssm:2x4x4")) == {"layer_0_mixer": 3, "layer_1_mixer": 0}
    mixed = space.unpack(jnp.array([[0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(mixed["layer_0_mixer"], [0, 0.2, 0.3, 0.5])
    np.testing.assert_allclose(mixed["layer_1_mixer"], [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([0, 1], "keep: expected fewer than the 2 layers"),
        ([2], "keep: expected at most 1, got 2"),
        ("nowhere", "keep: no result.json in"),
        ("0,1", "keep: expected fewer than the 2 layers"),
    ],
)
def test_layers_that_cannot_be_kept_are_refused(keep, message):
    with pytest.raises(InputError, match=message):
        replacement_space(PARENT, mixers=("delta:2x4x4", "jet:2x4x4"), keep=keep)
