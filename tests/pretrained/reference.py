"""Tiny decoders of each kind in Hugging Face's layout, and what they compute: by NumPy, written from their papers and
from `transformers`' conventions, without a line of the library's."""

import json
import pathlib

import numpy as np

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
BASE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "hidden_act": "silu",
    "vocab_size": 48,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000.0,
    "tie_word_embeddings": False,
}
CONFIGS = {
    "llama": {"model_type": "llama", "attention_bias": False, "mlp_bias": False},
    "llama3": {"model_type": "llama", "rope_scaling": LLAMA3, "head_dim": 8},
    "newer": {"model_type": "llama", "rope_theta": None, "rope_parameters": {**LLAMA3, "rope_theta": 1000.0}},
    "smollm2": {"model_type": "llama", "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", "sliding_window": 4},
    "mistral_full": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 4, "tie_word_embeddings": True},
    "qwen2_mixed": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 12, "attention_bias": False},
}
CONFIGS = {name: {**BASE, **config} for name, config in CONFIGS.items()}


def head_size(config: dict) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def random_tensors(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """By Hugging Face's names."""
    rng, D = np.random.default_rng(seed), head_size(config)
    W, F, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    H, G = config["num_attention_heads"], config["num_key_value_heads"]
    draw = lambda *shape: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
    scale = lambda n: rng.uniform(0.5, 1.5, n).astype(np.float32)
    found = {"model.embed_tokens.weight": draw(V, W), "model.norm.weight": scale(W)}
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{at}.{norm}.weight"] = scale(W)
        for part, heads in (("q", H), ("k", G), ("v", G)):
            found[f"{at}.self_attn.{part}_proj.weight"] = 2 * draw(heads * D, W)
            if config["model_type"] == "qwen2":
                found[f"{at}.self_attn.{part}_proj.bias"] = draw(heads * D)
            if config["model_type"] == "qwen3" and part != "v":
                found[f"{at}.self_attn.{part}_norm.weight"] = scale(D)
        found[f"{at}.self_attn.o_proj.weight"] = draw(W, H * D)
        found[f"{at}.mlp.gate_proj.weight"], found[f"{at}.mlp.up_proj.weight"] = draw(F, W), draw(F, W)
        found[f"{at}.mlp.down_proj.weight"] = draw(W, F)
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = draw(V, W)
    return found


def logits(config: dict, tensors: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """`[B, T, V]` of tokens `[B, T]`, in 64 bits."""
    t = {name: x.astype(np.float64) for name, x in tensors.items()}
    x = t["model.embed_tokens.weight"][tokens]
    norm = lambda x, scale: x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * scale
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}."
        own = {name.removeprefix(at): v for name, v in t.items() if name.startswith(at)}
        x = x + _attention(config, i, own, norm(x, own["input_layernorm.weight"]), norm)
        y = norm(x, own["post_attention_layernorm.weight"])
        gate = y @ own["mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T
    head = t["model.embed_tokens.weight"] if config["tie_word_embeddings"] else t["lm_head.weight"]
    return norm(x, t["model.norm.weight"]) @ head.T


def _attention(config: dict, i: int, own: dict, x: np.ndarray, norm) -> np.ndarray:
    (B, T, _), D = x.shape, head_size(config)
    H, G = config["num_attention_heads"], config["num_key_value_heads"]
    parts = {}
    for part in "qkv":
        y = x @ own[f"self_attn.{part}_proj.weight"].T + own.get(f"self_attn.{part}_proj.bias", 0)
        y = y.reshape(B, T, -1, D).transpose(0, 2, 1, 3)
        if f"self_attn.{part}_norm.weight" in own:
            y = norm(y, own[f"self_attn.{part}_norm.weight"])
        parts[part] = y if part == "v" else _rotated(y, frequencies(config))
    k, v = (np.repeat(parts[part], H // G, 1) for part in "kv")
    scores = parts["q"] @ k.swapaxes(-1, -2) / np.sqrt(D)
    back = np.arange(T)[:, None] - np.arange(T)
    scores = np.where((back >= 0) & (back < _window(config, i)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = weights / weights.sum(-1, keepdims=True) @ v
    return y.transpose(0, 2, 1, 3).reshape(B, T, H * D) @ own["self_attn.o_proj.weight"].T


def _window(config: dict, i: int) -> float:
    windowed = config["model_type"] == "mistral" or (
        config.get("use_sliding_window") and i >= config["max_window_layers"]
    )
    return config.get("sliding_window") or np.inf if windowed else np.inf


def _rotated(x: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """The first half of each head's features with the second, as Hugging Face's `rotate_half`."""
    angle = np.arange(x.shape[-2])[:, None] * np.concatenate([frequency, frequency])
    first, second = np.split(x, 2, -1)
    return x * np.cos(angle) + np.concatenate([-second, first], -1) * np.sin(angle)


def frequencies(config: dict) -> np.ndarray:
    """`[D / 2]`, as Llama 3.1's published code scales them: case by case."""
    D, scaling = head_size(config), config.get("rope_parameters") or config.get("rope_scaling")
    base = config["rope_theta"] or scaling["rope_theta"]
    found = []
    for frequency in base ** (-np.arange(0, D, 2) / D):
        if scaling:
            length = scaling["original_max_position_embeddings"]
            low, high, wave = scaling["low_freq_factor"], scaling["high_freq_factor"], 2 * np.pi / frequency
            if wave > length / low:
                frequency = frequency / scaling["factor"]
            elif wave >= length / high:
                smooth = (length / wave - low) / (high - low)
                frequency = (1 - smooth) * frequency / scaling["factor"] + smooth * frequency
        found.append(frequency)
    return np.array(found)


def write(folder: pathlib.Path, config: dict, tensors: dict[str, np.ndarray], shards: int = 1) -> pathlib.Path:
    """The folder, with one file of weights or several and an index."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    places = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def byte_words(*merges: str) -> tuple[list[str], list[str]]:
    """Words and merges of byte pairs: an end and a beginning, all bytes, then what the merges join."""
    from tokenizers import pre_tokenizers

    words = ["<|end|>", "<|begin|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return [*words, *(merge.replace(" ", "") for merge in merges)], list(merges)
