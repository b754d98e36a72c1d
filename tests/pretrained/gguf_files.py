"""Tiny GGUF files, written by the package `gguf` as its converters write them."""

import pathlib

import numpy as np

from tests.pretrained import reference

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def permuted(x: np.ndarray, heads: int) -> np.ndarray:
    """What the converter of Llama makes of the rows of queries and keys."""
    return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def write(path: pathlib.Path, config: dict, tensors: dict[str, np.ndarray], *, kind=None, words=(), **settings):
    """Of `kind` what has two axes, and else of 32 bits; `words` are those and merges of a tokenizer.

    `settings` with two underscores for a point are written too, or with None left out.
    """
    import gguf

    arch = "llama" if config["model_type"] == "mistral" else config["model_type"]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("tiny")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_key_length(reference.head_size(config))
    if words:
        writer.add_tokenizer_model(settings.pop("model", "gpt2"))
        writer.add_tokenizer_pre(settings.pop("pre", "smollm"))
        writer.add_token_list(words[0])
        writer.add_token_types([3, 3, *[1] * (len(words[0]) - 2)])
        writer.add_token_merges(words[1])
        writer.add_eos_token_id(0)
        writer.add_bos_token_id(1)
    for name, value in settings.items():
        name = name.replace("__", ".")
        {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}[type(value)](name, value)
    for name, x in tensors.items():
        heads = {"q": "num_attention_heads", "k": "num_key_value_heads"}.get(name.split(".")[-2].removesuffix("_proj"))
        x = permuted(x, config[heads]) if heads and arch == "llama" else x
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        if kind is None or x.ndim == 1:
            writer.add_tensor(name, x)
        else:
            writer.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
