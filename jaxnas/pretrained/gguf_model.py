"""A decoder in a GGUF file, in Hugging Face's terms."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.checkpoint import Checkpoint, Stored
from jaxnas.pretrained.gguf_file import read_header
from jaxnas.pretrained.tokenizing import of_words

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Mistral's are of the first too."""
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Hugging Face's name of what has weights -> GGUF's."""
FREQUENCIES = "rope_freqs.weight"
LLAMA3 = (1.0, 4.0, 8192.0)
"""Low and high frequency factor and original length of every Llama with scaled frequencies; the files do not say."""


def read_gguf(path: pathlib.Path) -> Checkpoint:
    """What is in the file; of weights the header alone.

    Raises:
      InputError: a file that is cut off or damaged, of another architecture or with settings that are not supported.
    """
    settings, tensors = read_header(path)
    ids = [settings.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    return Checkpoint(
        where=str(path),
        name=settings.get("general.name", path.stem),
        config=_config(path, settings, tensors),
        tensors={name: stored for name, stored in tensors.items() if name != FREQUENCIES},
        name_of=_name_of,
        interleaved=settings["general.architecture"] == "llama",  # whose converter permutes queries and keys
        tokenizer=lambda: of_words(str(path), settings) if "tokenizer.ggml.model" in settings else None,
        end=tuple(dict.fromkeys(i for i in ids if i is not None)),
    )


def _name_of(name: str) -> str:
    """GGUF's name of Hugging Face's."""
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
    of, _, kind = (layer[2] if layer else name).rpartition(".")
    return f"blk.{layer[1]}.{NAMES[of]}.{kind}" if layer else f"{NAMES[of]}.{kind}"


def _config(path: pathlib.Path, settings: Mapping[str, Any], tensors: Mapping[str, Stored]) -> dict[str, Any]:
    """The settings of `config.json`."""
    kind = settings.get("general.architecture")
    check.one_of(f"{path}: general.architecture", kind, ARCHITECTURES)
    own = lambda name, default=None: settings.get(f"{kind}.{name}", default)
    for name in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length"):
        check.integer(f"{path}: {kind}.{name}", own(name), least=1)
    if "token_embd.weight" not in tensors:
        raise InputError(f"{path}: token_embd.weight is missing; it has {len(tensors)} tensors.")
    heads, length = own("attention.head_count"), own("context_length")
    head_size = own("attention.key_length", own("embedding_length") // heads)
    only = {
        "attention.value_length": head_size,
        "rope.dimension_count": head_size,
        "rope.scaling.type": "none",
        "expert_count": 0,
    }
    for name, value in only.items():
        if own(name, value) != value:
            raise InputError(f"{path}: {kind}.{name}: only {value!r} is supported, got {own(name)!r}.")
    if (own("attention.sliding_window") or length) < length:
        raise InputError(f"{path}: {kind}.attention.sliding_window: not supported, as no layers are said to have it.")
    return {
        "model_type": kind,
        "num_hidden_layers": own("block_count"),
        "hidden_size": own("embedding_length"),
        "intermediate_size": own("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": own("attention.head_count_kv", heads),
        "head_dim": head_size,
        "max_position_embeddings": length,
        "rms_norm_eps": own("attention.layer_norm_rms_epsilon", 1e-6),
        "rope_theta": own("rope.freq_base", 10_000.0),
        "rope_scaling": _scaling(path, tensors[FREQUENCIES], own("rope.freq_base", 10_000.0), head_size)
        if FREQUENCIES in tensors
        else None,
        "tie_word_embeddings": "output.weight" not in tensors,
        "vocab_size": tensors["token_embd.weight"].shape[0],
    }


def _scaling(path: pathlib.Path, stored: Stored, base: float, head_size: int) -> dict[str, Any]:
    """Of Llama 3.1, by what each frequency is divided by, which is all that the file has."""
    divisors = stored.read().reshape(-1)
    low, high, length = LLAMA3
    factor = float(divisors[-1])
    frequency = base ** (-np.arange(0, head_size, 2) / head_size)
    smooth = np.clip((length * frequency / (2 * np.pi) - low) / (high - low), 0, 1)
    expected = 1 / (smooth + (1 - smooth) / factor)
    if divisors.shape != expected.shape or not np.allclose(divisors, expected, rtol=1e-3):
        raise InputError(f"{path}: {FREQUENCIES}: expected Llama 3's, of factors 1 and 4 and 8,192 positions.")
    names = ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return {"rope_type": "llama3", "factor": factor, **dict(zip(names, LLAMA3, strict=True))}
