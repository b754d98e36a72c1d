"""Decoders of the Llama family: what differs between them, and the `Transformer` that computes the same."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxnas.networks import Transformer

LAYER_FACTORS = {
    "mixer": "mixers",
    "heads": "heads",
    "groups": "groups",
    "head_size": "head_sizes",
    "ratio": "ratios",
    "activation": "activations",
    "norm": "norms",
    "place": "places",
}
"""What is decided of each layer -> the network's attribute with the options."""


class Architecture(NamedTuple):
    """Attention and a gated feed-forward network, each after an RMS norm; rotary positions; an RMS norm and a head.

    Attributes:
      width: features of a position.
      mixers: of each layer, "attention" or "window".
      heads, groups, head_size: of queries; of keys and values; features of each.
      hidden: features within the feed-forward network.
      vocabulary: tokens.
      length: positions.
      window: positions that a "window" sees, itself included.
      base: of rotary positions.
      scaling: of rotary frequencies as in Llama 3.1: factor, low and high frequency factor, original length; or none.
      epsilon: of norms.
      biases: of queries, keys and values.
      qk_norm: whether each head's queries and keys are normalized.
      tied: whether the head is the embedding transposed.
    """

    width: int
    mixers: tuple[str, ...]
    heads: int
    groups: int
    head_size: int
    hidden: int
    vocabulary: int
    length: int
    window: int = 0
    base: float = 10_000.0
    scaling: tuple[float, ...] = ()
    epsilon: float = 1e-6
    biases: bool = False
    qk_norm: bool = False
    tied: bool = False


def network_of(own: Architecture) -> tuple[Transformer, dict[str, int]]:
    """The network, and its decisions: none, or the mixer of each layer where they differ."""
    kinds = tuple(dict.fromkeys(own.mixers))
    network = Transformer(
        layers=len(own.mixers),
        mixers=kinds,
        heads=(own.heads,),
        groups=(own.groups,),
        head_sizes=(own.head_size,),
        ratios=(own.hidden / own.width,),
        activations=("swiglu",),
        norms=("rms",),
        places=("pre",),
        widths=(own.width,),
        classes=own.vocabulary,
        vocabulary=own.vocabulary,
        length=own.length,
        base=own.base,
        scaling=own.scaling,
        epsilon=own.epsilon,
        biases=own.biases,
        qk_norm=own.qk_norm,
        tied=own.tied,
        **({"window": own.window} if own.window else {}),
    )
    mixed = len(kinds) > 1
    return network, {f"layer_{i}_mixer": kinds.index(kind) for i, kind in enumerate(own.mixers)} if mixed else {}


def architecture_of(network: Transformer, decisions: Mapping[str, int]) -> Architecture | None:
    """What `network_of` makes the network of; None of a network that is none of the family."""
    width = network.widths[decisions.get("width", 0)]
    depth = network.depths[decisions.get("depth", 0)]
    layers = [
        {
            factor: getattr(network, options)[decisions.get(f"layer_{i}_{factor}", 0)]
            for factor, options in LAYER_FACTORS.items()
        }
        for i in range(depth)
    ]
    same = {factor: {layer[factor] for layer in layers} for factor in LAYER_FACTORS if factor != "mixer"}
    if any(len(values) > 1 for values in same.values()):
        return None
    (heads,), (groups,), (head_size,), (ratio,) = (same[f] for f in ("heads", "groups", "head_size", "ratio"))
    decodes = network.causal and network.each and network.padding is None and not network.sources
    tied = network.tied is not False
    kinds, hidden = tuple(layer["mixer"] for layer in layers), round(ratio * width)
    if not (
        decodes
        and network.vocabulary == network.classes > 0 < hidden
        and set(kinds) <= {"attention", "window"}
        and (same["activation"], same["norm"], same["place"]) == ({"swiglu"}, {"rms"}, {"pre"})
    ):
        return None
    return Architecture(
        width=width,
        mixers=kinds,
        heads=heads,
        groups=min(groups, heads),
        head_size=head_size,
        hidden=hidden,
        vocabulary=network.vocabulary,
        length=network.length,
        window=network.window if "window" in kinds else 0,
        base=network.base,
        scaling=tuple(network.scaling),
        epsilon=network.epsilon,
        biases=network.biases,
        qk_norm=network.qk_norm,
        tied=tied,
    )
