"""Models in GGUF files, their tokenizers among them."""

import jax
import numpy as np
import pytest

from jaxnas import pretrained
from jaxnas.check import InputError
from tests.pretrained import gguf_files, reference

gguf = pytest.importorskip("gguf")
pytest.importorskip("tokenizers")
WIDE = {**reference.CONFIGS["llama"], "hidden_size": 32, "intermediate_size": 64, "vocab_size": 262}


@pytest.mark.parametrize("name", ["llama", "smollm2", "mistral_full", "qwen2", "qwen3"])
def test_model_is_that_of_the_folder(name, tmp_path):
    config = reference.CONFIGS[name]
    tensors = reference.random_tensors(config)
    model = pretrained.load(gguf_files.write(tmp_path / "tiny.gguf", config, tensors))
    other = pretrained.load(reference.write(tmp_path / name, config, tensors))
    assert model.network == other.network and model.name == "tiny"
    jax.tree.map(np.testing.assert_array_equal, model.variables, other.variables)


def test_scaling_of_llama3_is_found_by_what_it_divides_by(tmp_path):
    scaling = {**reference.LLAMA3, "factor": 32.0, "original_max_position_embeddings": 8192}
    config = {**reference.CONFIGS["llama"], "rope_theta": 5e5, "max_position_embeddings": 131072, "head_dim": 32}
    scaled = {**config, "rope_scaling": scaling}
    divisors = (reference.frequencies(config) / reference.frequencies(scaled)).astype(np.float32)
    tensors = {**reference.random_tensors(config), "rope_freqs.weight": divisors}
    model = pretrained.load(gguf_files.write(tmp_path / "tiny.gguf", config, tensors))
    assert model.network.scaling == (32, 1, 4, 8192)
    tensors["rope_freqs.weight"] = divisors[::-1].copy()
    with pytest.raises(InputError, match=r"rope_freqs.weight: expected Llama 3's"):
        pretrained.load(gguf_files.write(tmp_path / "other.gguf", config, tensors))


@pytest.mark.parametrize("kind, error", [("Q8_0", 1 / 254), ("Q4_1", 1 / 15), ("BF16", 1 / 256), ("F16", 1 / 2048)])
def test_quantized_values_are_near(kind, error, tmp_path):
    """Half a step of the largest of a block of 32 (of its range, for Q4_1), which is rounded to 16 bits itself."""
    tensors = reference.random_tensors(WIDE)
    path = gguf_files.write(tmp_path / "tiny.gguf", WIDE, tensors, kind=gguf.GGMLQuantizationType[kind])
    found = np.asarray(pretrained.load(path).variables["params"]["embedding"]["embedding"])
    expected = tensors["model.embed_tokens.weight"]
    assert (abs(found - expected) <= 1.15 * error * abs(expected).max(1, keepdims=True)).all()
    assert (found != expected).any()


TEXT = "I'll see 1234 cats,  THE ünï 日本 😀\n\n  end"


@pytest.mark.parametrize(
    "pre, parts",
    [
        ("smollm", ["1", "2", "3", "4"]),
        ("gpt-2", ["Ġ123", "4"]),
        ("llama-bpe", ["123", "4"]),
        ("qwen2", ["1", "2", "3", "4"]),
    ],
)
def test_digits_go_together_as_the_pre_tokenizer_says(pre, parts, tmp_path):
    words = reference.byte_words("1 2", "12 3", "Ġ 123", "Ġ c")
    config = {**WIDE, "vocab_size": len(words[0])}
    path = gguf_files.write(tmp_path / "tiny.gguf", config, reference.random_tensors(config), words=words, pre=pre)
    tokenizer = pretrained.load(path).tokenizer
    tokens = tokenizer.encode(TEXT)
    found = tokenizer.model.encode(TEXT).tokens
    begin = ["<|begin|>"] if pre == "llama-bpe" else []
    assert found[: len(begin)] == begin and "Ġc" in found
    at = next(i for i, word in enumerate(found) if "1" in word)
    assert found[at : at + len(parts)] == parts
    assert tokenizer.decode(tokens) == TEXT and tokenizer.end == (0,) and tokenizer.vocabulary == len(words[0])
    assert list(tokenizer.encode("a<|end|>"))[-1] == 0
    assert tokenizer.decode([0], special=True) == "<|end|>" and tokenizer.decode([0]) == ""


def test_text_is_written_on_to_its_end_and_saved(tmp_path):
    words = reference.byte_words("a b")
    config = {**WIDE, "vocab_size": len(words[0]), "tie_word_embeddings": False}
    tensors = reference.random_tensors(config)
    path = gguf_files.write(tmp_path / "tiny.gguf", config, tensors, words=words, tokenizer__ggml__add_bos_token=True)
    model = pretrained.load(path)
    prompt = model.tokenizer.encode("cab")
    assert prompt[0] == 1
    tokens = pretrained.generate(model, prompt[None], tokens=6)[0]
    ends = model._replace(tokenizer=pretrained.Tokenizer(model.tokenizer.model, (int(tokens[3]),)))
    first = list(tokens).index(tokens[3])
    assert pretrained.generate(ends, "cab", tokens=6) == model.tokenizer.decode(tokens[:first])
    pretrained.save(ends, tmp_path / "saved")
    again = pretrained.load(tmp_path / "saved")
    assert again.tokenizer.end == ends.tokenizer.end and list(again.tokenizer.encode("cab")) == list(prompt)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"pre": "tekken"}, "tokenizer.ggml.pre: unknown 'tekken'.*tokenizer=False"),
        ({"model": "llama"}, r"tokenizer.ggml.model: expected 'gpt2' \(byte pairs\), got 'llama'"),
        ({"llama__rope__scaling__type": "yarn"}, "rope.scaling.type: only 'none' is supported, got 'yarn'"),
        ({"llama__expert_count": 8}, "expert_count: only 0 is supported, got 8"),
        ({"llama__attention__sliding_window": 8}, "attention.sliding_window: not supported"),
    ],
)
def test_what_is_not_supported_is_named(settings, said, tmp_path):
    config, words = WIDE, reference.byte_words("a b", "c d", "e f")
    path = gguf_files.write(tmp_path / "tiny.gguf", config, reference.random_tensors(config), words=words, **settings)
    with pytest.raises(InputError, match=said):
        pretrained.load(path)
    if "tokenizer" in said:
        assert pretrained.load(path, tokenizer=False).tokenizer is None


def test_tokenizer_of_another_model_is_refused(tmp_path):
    words = reference.byte_words("a b", "c d", "e f", "g h", "i j")
    assert len(words[0]) > WIDE["vocab_size"]
    path = gguf_files.write(tmp_path / "tiny.gguf", WIDE, reference.random_tensors(WIDE), words=words)
    with pytest.raises(InputError, match=r"its largest token is 262, and the vocabulary has 262 tokens, 0 to 261"):
        pretrained.load(path)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5, 0.999])
def test_file_that_is_cut_off_is_refused(share, tmp_path):
    words = reference.byte_words("a b")
    path = gguf_files.write(tmp_path / "tiny.gguf", WIDE, reference.random_tensors(WIDE), words=words)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="is cut off"):
        pretrained.load(path)


def test_other_architecture_and_missing_tensors_are_named(tmp_path):
    tensors = reference.random_tensors(WIDE)
    left = {name: x for name, x in tensors.items() if name != "model.layers.1.mlp.up_proj.weight"}
    with pytest.raises(InputError, match=r"1 of 21 tensors are missing: blk.1.ffn_up.weight\. The nearest"):
        pretrained.load(gguf_files.write(tmp_path / "tiny.gguf", WIDE, left))
    path = gguf_files.write(tmp_path / "gemma.gguf", {**WIDE, "model_type": "gemma3"}, tensors)
    with pytest.raises(InputError, match=r"general.architecture: unknown 'gemma3'.*Known: llama, qwen2, qwen3"):
        pretrained.load(path)
