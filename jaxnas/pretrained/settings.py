"""Hugging Face's `config.json` of the Llama family, read and written.

A setting that a file leaves out has the value that the classes of `transformers` give it; one that changes what is
computed and that the network does not have is refused.
"""

from collections.abc import Mapping
from typing import Any

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.architecture import Architecture

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
HEAD_SIZE = {"qwen3": 128}
"""Where it is left out and not the width by the number of heads."""
WINDOW = {"mistral": 4096}
NEUTRAL = {"mlp_bias": False, "partial_rotary_factor": 1, "quantization_config": None}
"""Setting -> the only value of it that is supported."""
SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def read(where: str, config: Mapping[str, Any]) -> Architecture:
    """The architecture that the settings describe.

    Raises:
      InputError: another architecture, settings that are missing or of another kind, or that are not supported.
    """
    kind = config.get("model_type")
    check.one_of(f"{where}: model_type", kind, MODEL_TYPES)
    value = lambda key, default=None: default if config.get(key) is None else config[key]

    def integer(key: str, default: int | None = None) -> int:
        found = value(key, default)
        if found is None:
            raise InputError(f"{where}: {key} is missing, which a model of type {kind!r} needs.")
        check.integer(f"{where}: {key}", found, least=1)
        return int(found)

    width, heads, layers = integer("hidden_size"), integer("num_attention_heads"), integer("num_hidden_layers")
    groups = integer("num_key_value_heads", heads if kind == "llama" else None)
    if heads % groups:
        raise InputError(f"{where}: num_key_value_heads: expected what divides the {heads} heads, got {groups}.")
    head_size = integer("head_dim", HEAD_SIZE.get(kind, width // heads))
    if head_size % 2:
        raise InputError(f"{where}: head_dim: expected an even number, whose halves are rotated, got {head_size}.")
    if value("hidden_act", "silu") not in ("silu", "swish"):
        raise InputError(f"{where}: hidden_act: expected 'silu', got {config['hidden_act']!r}.")
    neutral = NEUTRAL if kind == "qwen2" else {**NEUTRAL, "attention_bias": False}
    for key, only in neutral.items():
        if value(key, only) != only:
            raise InputError(f"{where}: {key}: only {only!r} is supported, got {config[key]!r}.")
    epsilon = value("rms_norm_eps", 1e-6)
    check.real(f"{where}: rms_norm_eps", epsilon, least=0)
    base, scaling = _rotary(where, config)
    mixers, window = _mixers(where, kind, layers, config)
    return Architecture(
        width=width,
        mixers=mixers,
        heads=heads,
        groups=groups,
        head_size=head_size,
        hidden=integer("intermediate_size"),
        vocabulary=integer("vocab_size"),
        length=integer("max_position_embeddings"),
        window=window,
        base=base,
        scaling=scaling,
        epsilon=float(epsilon),
        biases=kind == "qwen2",
        qk_norm=kind == "qwen3",
        tied=bool(value("tie_word_embeddings", False)),
    )


def _rotary(where: str, config: Mapping[str, Any]) -> tuple[float, tuple[float, ...]]:
    """The base and the scaling; newer files have both in `rope_parameters`."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    check.mapping(f"{where}: rope_scaling", given)
    base = given.get("rope_theta") or config.get("rope_theta") or 10_000.0
    check.real(f"{where}: rope_theta", base, least=1)
    kind = given.get("rope_type") or given.get("type") or "default"
    check.one_of(f"{where}: rope_scaling, rope_type", kind, ("default", "llama3"))
    if kind == "default":
        return float(base), ()
    for key in SCALING:
        if key not in given:
            raise InputError(f"{where}: rope_scaling: {key} is missing, which 'llama3' needs.")
        check.real(f"{where}: rope_scaling, {key}", given[key], least=0)
    return float(base), tuple(float(given[key]) for key in SCALING)


def _mixers(where: str, kind: str, layers: int, config: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Of each layer, and the window, 0 where there is none."""
    window = config.get("sliding_window", WINDOW.get(kind))
    if kind == "llama" or window is None or (kind != "mistral" and not config.get("use_sliding_window")):
        return ("attention",) * layers, 0
    check.integer(f"{where}: sliding_window", window, least=1)
    if kind == "mistral":
        return ("window",) * layers, window
    names = {"full_attention": "attention", "sliding_attention": "window"}
    full = config.get("max_window_layers", 28)
    kinds = config.get("layer_types") or ["full_attention" if i < full else "sliding_attention" for i in range(layers)]
    for each in check.sequence(f"{where}: layer_types", kinds):
        check.one_of(f"{where}: layer_types", each, names)
    if len(kinds) != layers:
        raise InputError(f"{where}: layer_types: expected one of each of the {layers} layers, got {len(kinds)}.")
    mixers = tuple(names[each] for each in kinds)
    return mixers, window if "window" in mixers else 0


def write(own: Architecture, preferred: str = "") -> dict[str, Any] | None:
    """The settings from which `read` makes the architecture; None where no model of the family computes it.

    Args:
      preferred: the type of model, of those that compute the same.
    """
    kinds = set(own.mixers)
    if own.biases or own.qk_norm:
        types = [] if own.biases and own.qk_norm else ["qwen2" if own.biases else "qwen3"]
    else:
        types = {"attention": ["llama", "mistral"], "window": ["mistral"]}.get("".join(kinds), [])
    if not types:
        return None
    kind = preferred if preferred in types else types[0]
    config = {
        "architectures": [kind.capitalize() + "ForCausalLM"],
        "model_type": kind,
        "hidden_size": own.width,
        "num_hidden_layers": len(own.mixers),
        "num_attention_heads": own.heads,
        "num_key_value_heads": own.groups,
        "head_dim": own.head_size,
        "intermediate_size": own.hidden,
        "hidden_act": "silu",
        "vocab_size": own.vocabulary,
        "max_position_embeddings": own.length,
        "rms_norm_eps": own.epsilon,
        "rope_theta": own.base,
        "rope_scaling": {"rope_type": "llama3", **dict(zip(SCALING, own.scaling, strict=True))}
        if own.scaling
        else None,
        "tie_word_embeddings": own.tied,
    }
    if own.scaling:
        config["rope_scaling"][SCALING[-1]] = int(own.scaling[-1])  # of positions
    if kind == "mistral":
        config["sliding_window"] = own.window or None
    elif kind != "llama":
        names = {"attention": "full_attention", "window": "sliding_attention"}
        config |= {
            "use_sliding_window": "window" in kinds,
            "sliding_window": own.window or None,
            "max_window_layers": own.mixers.index("window") if "window" in kinds else len(own.mixers),
            "layer_types": [names[each] for each in own.mixers],
        }
    return config
