"""What cannot be read is refused before anything is computed, and the message says what was expected."""

import json
import pickle
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxnas import pretrained
from jaxnas.check import InputError
from jaxnas.pretrained.parameters import Parameter
from tests.pretrained import reference

CONFIG = reference.CONFIGS["llama"]
TENSORS = reference.random_tensors(CONFIG)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that can be read, of which no tensor is."""

    def read(*of):
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(Parameter, "read", read)
    return reference.write(tmp_path / "tiny", CONFIG, TENSORS)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"model_type": "gpt2"}, "model_type: unknown 'gpt2'.*Known: llama, mistral, qwen2, qwen3"),
        ({"model_type": "qwen"}, "Did you mean 'qwen[23]'"),
        ({"model_type": None}, "model_type: unknown None"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: expected an integer, got '2'"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: expected what divides the 4 heads, got 3"),
        ({"head_dim": 5}, "head_dim: expected an even number"),
        ({"hidden_act": "gelu"}, "hidden_act: expected 'silu', got 'gelu'"),
        ({"attention_bias": True}, "attention_bias: only False is supported, got True"),
        ({"mlp_bias": True}, "mlp_bias: only False"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: only None"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "rope_type: unknown 'yarn'.*Known: default, llama3"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 4}}, "low_freq_factor is missing"),
        ({"rope_scaling": 4}, "rope_scaling: expected a dict, got 4"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps: expected a number"),
        ({"num_hidden_layers": 3}, r"9 of 30 tensors are missing: model.layers.2.*\. The nearest to 'model.layers.2"),
        ({"num_hidden_layers": 2**31}, "2147483648 layers are described, of 21 tensors"),
        ({"num_hidden_layers": 1}, r"9 tensors have no place .*: model.layers.1"),
        ({"model_type": "qwen2"}, "6 of 27 tensors are missing: model.layers.0.self_attn.q_proj.bias"),
        ({"vocab_size": 50}, r"embed_tokens.weight: expected the shape \[50, 16\] by the settings, got \[48, 16\]"),
        ({"head_dim": 8}, r"o_proj.weight: expected the shape \[16, 32\] by the settings, got \[16, 16\]"),
    ],
)
def test_settings_that_do_not_fit(folder, changed, said):
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changed}))
    with pytest.raises(InputError, match=said):
        pretrained.load(folder)


def test_missing_and_misspelt_tensors(folder):
    tensors = {name.replace("model.norm", "model.nrom"): x for name, x in TENSORS.items()}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match="missing: model.norm.weight. The nearest to .* is 'model.nrom.weight'"):
        pretrained.load(folder)


def test_tensor_of_integers(folder):
    save_file({**TENSORS, "model.norm.weight": np.ones(16, np.int8)}, folder / "model.safetensors")
    with pytest.raises(InputError, match="model.norm.weight: type: unknown 'I8'"):
        pretrained.load(folder)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_truncated_weights(folder, share):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="model.safetensors is cut off"):
        pretrained.load(folder)


class Opened:
    """Of a pickle, what ends the test when it is opened."""

    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_pickles_are_never_opened(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Opened()))
    said = (
        "is cut off, or no file of safetensors" if name == "model.safetensors" else "is a pickle, which runs any code"
    )
    with pytest.raises(InputError, match=said):
        pretrained.load(folder)
    if name != "model.safetensors":
        with pytest.raises(InputError, match=said):
            pretrained.load(folder / name)


def test_what_is_no_model(folder, tmp_path):
    for path, said in [
        (tmp_path / "nothing", "is no folder, no file and no installed package"),
        (folder / "model.safetensors", "expected the folder .* got a file"),
        ("package:pytesst", "package 'pytesst' is not installed.* Did you mean the package 'pytest'"),
        ("package:pytest", "package 'pytest' .* holds no GGUF file and no folder of a model"),
        ("pytest", "holds no GGUF file"),
        ("pytesst", "no installed package. Did you mean the package 'pytest'"),
        ("gs://bucket/model", "expected a path on a file system"),
        (3, "expected a path, got 3"),
    ]:
        with pytest.raises(InputError, match=said):
            pretrained.load(path)
    (folder / "notes.txt").write_text("GG")
    with pytest.raises(InputError, match="is no GGUF file"):
        pretrained.load(folder / "notes.txt")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"has no weights: expected model.safetensors, or model.safetensors.index.json"
    ):
        pretrained.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is no JSON"):
        pretrained.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"has no config.json; it has notes.txt"):
        pretrained.load(folder)


def test_index_that_names_no_file(folder):
    tensors = load_file(folder / "model.safetensors")
    reference.write(folder, CONFIG, tensors, shards=3)
    index = folder / "model.safetensors.index.json"
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00003.safetensors, which .* names, is not there"):
        pretrained.load(folder)
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../model.safetensors"}}))
    with pytest.raises(InputError, match="expected names of files in the same folder"):
        pretrained.load(folder)


@pytest.mark.parametrize("name", ["safetensors", "tokenizers"])
def test_missing_extra_is_named(folder, name, monkeypatch):
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf'needs {name}, which is not installed; pip install "jaxnas\[llm\]"'):
        pretrained.load(folder)


def test_tokenizer_that_is_none_or_of_another_model(folder):
    tokenizers = pytest.importorskip("tokenizers")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="tokenizer.json is no tokenizer"):
        pretrained.load(folder)
    words = {word: i for i, word in enumerate(reference.byte_words()[0])}
    tokenizers.Tokenizer(tokenizers.models.BPE(words, [])).save(str(folder / "tokenizer.json"))
    with pytest.raises(InputError, match="its largest token is 257, and the vocabulary has 48 tokens"):
        pretrained.load(folder)


def test_arguments_of_load(folder):
    for arguments, said in [
        ({"dtype": "float16"}, "dtype: unknown 'float16'.*Known: float32, bfloat16"),
        ({"dtype": "flaot32"}, "dtype: unknown 'flaot32'. Did you mean 'float32'"),
        ({"length": 0}, "length: expected at least 1"),
        ({"length": 65}, "is of 64 positions, got 65"),
        ({"mesh": jax.make_mesh((1,), ("data",))}, r"mesh: .* axis 'model', got \['data'\]"),
        ({"mesh": 8}, "mesh: expected a jax.sharding.Mesh"),
    ]:
        with pytest.raises(InputError, match=said):
            pretrained.load(folder, **arguments)


def test_arguments_of_generate(tmp_path):
    model = pretrained.load(reference.write(tmp_path / "tiny", CONFIG, TENSORS))
    for prompt, tokens, said in [
        ("text", 4, "the model has no tokenizer"),
        ([[1, 48]], 4, r"expected tokens in \[0, 48\), got 1 to 48"),
        ([[]], 4, "one at least"),
        ([1, 2], 4, r"expected a text or tokens \[B, T\]"),
        ([[0.5]], 4, "got float64"),
        ([[1] * 60], 5, "60 of the prompt and 5 more are too many for 64 positions"),
        ([[1]], 0, "tokens: expected at least 1"),
    ]:
        with pytest.raises(InputError, match=said):
            pretrained.generate(model, np.array(prompt) if isinstance(prompt, list) else prompt, tokens=tokens)
