"""Every kind of decoder of the family computes what its reference computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxnas import pretrained
from tests.pretrained import reference

pytest.importorskip("safetensors")
TOKENS = np.random.default_rng(1).integers(0, 48, (2, 12)).astype(np.int32)


@functools.cache
def program(network):
    return jax.jit(
        lambda variables, decisions, x: network.apply(variables, dict(decisions), x, False), static_argnums=1
    )


def logits_of(model, tokens=TOKENS):
    return np.asarray(program(model.network)(model.variables, tuple(model.decisions.items()), tokens))


@pytest.fixture(scope="module", params=reference.CONFIGS)
def case(request, tmp_path_factory):
    """Configuration, tensors and their folder."""
    config = reference.CONFIGS[request.param]
    tensors = reference.random_tensors(config)
    return config, tensors, reference.write(tmp_path_factory.mktemp(request.param), config, tensors)


def test_logits_are_those_of_the_reference(case):
    config, tensors, folder = case
    model = pretrained.load(folder)
    assert model.architecture == config["model_type"] and model.tokenizer is None
    np.testing.assert_allclose(logits_of(model), reference.logits(config, tensors, TOKENS), atol=1e-3)


def test_parameters_are_those_that_the_network_makes(case):
    model = pretrained.load(case[2])
    made = jax.eval_shape(lambda: model.network.init(jax.random.key(0), model.decisions, TOKENS, False))
    flat = traverse_util.flatten_dict(model.variables["params"], sep="/")
    assert {k: v.shape for k, v in flat.items()} == {
        k: v.shape for k, v in traverse_util.flatten_dict(made["params"], sep="/").items()
    }


def test_saved_model_is_the_same_to_the_bit(case, tmp_path):
    model = pretrained.load(case[2])
    pretrained.save(model, tmp_path / "saved")
    again = pretrained.load(tmp_path / "saved")
    assert (again.network, again.decisions, again.architecture) == (model.network, model.decisions, model.architecture)
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)


@pytest.mark.parametrize("saved", [False, True], ids=["loaded", "saved"])
def test_transformers_computes_the_same(case, saved, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model, folder = pretrained.load(case[2]), case[2]
    if saved:
        folder = tmp_path / "saved"
        pretrained.save(model, folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    assert theirs.config.model_type == model.architecture
    with torch.no_grad():
        expected = theirs(torch.tensor(TOKENS, dtype=torch.long)).logits.numpy()
    difference = abs(logits_of(model) - expected).max()
    print(f"largest difference from transformers: {difference:.2e}")
    assert difference < 1e-3


def test_several_files_and_what_old_ones_have_beside(tmp_path):
    config = reference.CONFIGS["smollm2"]
    tensors = reference.random_tensors(config)
    extra = {
        "lm_head.weight": tensors["model.embed_tokens.weight"],
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32),
    }
    one = pretrained.load(reference.write(tmp_path / "one", config, tensors))
    several = pretrained.load(reference.write(tmp_path / "several", config, {**tensors, **extra}, shards=3))
    jax.tree.map(np.testing.assert_array_equal, several.variables, one.variables)


def test_half_the_bits(tmp_path):
    config = reference.CONFIGS["llama"]
    tensors = reference.random_tensors(config)
    stored = {name: x.astype(jnp.bfloat16) for name, x in tensors.items()}
    folder = reference.write(tmp_path / "half", config, stored)
    model, whole = pretrained.load(folder, dtype=jnp.bfloat16), pretrained.load(folder, length=16)
    assert {x.dtype.name for x in jax.tree.leaves(model.variables)} == {"bfloat16"} and whole.network.length == 16
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.astype(np.float32), b), model.variables, whole.variables)
    np.testing.assert_allclose(logits_of(model), logits_of(whole), atol=0.1)
    pretrained.save(model, tmp_path / "again")
    again = pretrained.load(tmp_path / "again", dtype="bfloat16")
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)


@pytest.mark.parametrize("name", ["llama3", "mistral", "qwen2_mixed", "qwen3"])
def test_generated_tokens_are_the_most_probable(name, tmp_path):
    config = reference.CONFIGS[name]
    tensors = reference.random_tensors(config)
    model = pretrained.load(reference.write(tmp_path / name, config, tensors))
    made = pretrained.generate(model, TOKENS[:, :5], tokens=7)
    whole = np.concatenate([TOKENS[:, :5], made], 1)
    expected = reference.logits(config, tensors, whole)[:, 4:-1].argmax(-1)
    np.testing.assert_array_equal(made, expected)
