"""Folders of networks that no other library has, and of those that it has."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import networks, pretrained
from jaxnas.check import InputError
from tests.pretrained import reference

pytest.importorskip("safetensors")
TOKENS = np.random.default_rng(1).integers(0, 20, (1, 6)).astype(np.int32)
FAMILY = dict(
    layers=2, heads=(2,), groups=(1,), head_sizes=(4,), widths=(8,), activations=("swiglu",), classes=20, length=16
)


def initialized(network, decisions):
    return jax.jit(lambda key: network.init(key, decisions, TOKENS, False))(jax.random.key(0))


@pytest.mark.parametrize(
    "options, decisions",
    [
        ({"mixers": ("attention", "delta")}, {"layer_0_mixer": 0, "layer_1_mixer": 1}),
        ({"mixers": ("attention", "none")}, {"layer_0_mixer": 0, "layer_1_mixer": 1}),
        ({"activations": ("gelu",), "norms": ("layer",)}, {}),
        ({"ratios": (2, 4)}, {"layer_0_ratio": 0, "layer_1_ratio": 1}),
        ({"biases": True, "qk_norm": True, "tied": False, "scaling": (8, 1, 4, 8)}, {}),
    ],
    ids=["recurrence", "nothing", "other functions", "layers that differ", "biases and norms"],
)
def test_hybrid_is_saved_under_its_own_names(options, decisions, tmp_path):
    network = networks.Transformer(**{**FAMILY, **options})
    variables = initialized(network, decisions)
    pretrained.save(pretrained.Pretrained(network, variables, decisions), tmp_path / "own")
    again = pretrained.load(tmp_path / "own")
    assert (again.network, again.decisions, again.architecture) == (network, decisions, "jaxnas")
    jax.tree.map(np.testing.assert_array_equal, again.variables, {"params": variables["params"]})


@pytest.mark.parametrize(
    "options, decisions, kind",
    [
        ({}, {}, "llama"),
        ({"mixers": ("window",), "window": 3}, {}, "mistral"),
        ({"biases": True, "tied": True}, {}, "qwen2"),
        ({"qk_norm": True, "tied": False, "mixers": ("attention", "window")}, [1, 0], "qwen3"),
        ({"depths": (1, 2)}, {"depth": 0}, "llama"),
        ({"widths": (8, 16), "heads": (2, 4)}, {"width": 0, "layer_0_heads": 1, "layer_1_heads": 1}, "llama"),
    ],
)
def test_chosen_network_of_the_family_gets_its_settings(options, decisions, kind, tmp_path):
    network = networks.Transformer(**{**FAMILY, **options})
    if isinstance(decisions, list):
        decisions = {f"layer_{i}_mixer": option for i, option in enumerate(decisions)}
    variables = initialized(network, decisions)
    pretrained.save(pretrained.Pretrained(network, variables, decisions), tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["model_type"] == kind
    again = pretrained.load(tmp_path / "saved")
    expected = network.apply(variables, decisions, TOKENS, False)
    np.testing.assert_allclose(
        again.network.apply(again.variables, again.decisions, TOKENS, False), expected, atol=1e-5
    )


def test_large_models_are_several_files(tmp_path):
    config = reference.CONFIGS["llama"]
    model = pretrained.load(reference.write(tmp_path / "one", config, reference.random_tensors(config)))
    pretrained.save(model, tmp_path / "several", shard_bytes=4000)
    files = sorted(path.name for path in (tmp_path / "several").glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    again = pretrained.load(tmp_path / "several")
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)


def test_nothing_is_left_of_what_cannot_be_saved(tmp_path):
    network = networks.Transformer(**FAMILY)
    variables = initialized(network, {})
    own = pretrained.Pretrained(network, variables)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"folder: expected one that is not there yet, or empty"):
        pretrained.save(own, tmp_path / "full")
    flat = jax.tree.map(lambda x: x, variables)
    del flat["params"]["norm"]
    with pytest.raises(InputError, match=r"variables: 1 parameters are missing: norm/scale"):
        pretrained.save(own._replace(variables=flat), tmp_path / "other")
    flat["params"]["norm"] = {"scale": jnp.ones(9)}
    with pytest.raises(InputError, match=r"variables: norm/scale: expected the shape \[8\], got \[9\]"):
        pretrained.save(own._replace(variables=flat), tmp_path / "other")
    with pytest.raises(InputError, match="options"):
        pretrained.save(own._replace(decisions={"layer_0_mixer": 1}), tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_network_of_numbers_is_refused(tmp_path):
    network = networks.Transformer(**{**FAMILY, "vocabulary": 0})
    with pytest.raises(InputError, match="network: expected one of tokens"):
        pretrained.save(pretrained.Pretrained(network, {"params": {}}), tmp_path / "saved")


def test_unknown_option_of_an_own_network_is_named(tmp_path):
    network = networks.Transformer(**{**FAMILY, "norms": ("layer",)})
    pretrained.save(pretrained.Pretrained(network, initialized(network, {})), tmp_path / "own")
    path = tmp_path / "own" / "config.json"
    path.write_text(path.read_text().replace('"layers"', '"layer"'))
    with pytest.raises(InputError, match=r"network: unknown 'layer'. Did you mean 'layers'\?"):
        pretrained.load(tmp_path / "own")
