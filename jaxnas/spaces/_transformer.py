"""Transformers and their hybrids: what every layer mixes by and computes, and how wide and deep they all are."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.types import Space

MIXERS = ("attention", "window", "delta", "jet", "ssm", "none")
ACTIVATIONS = ("gelu", "relu", "relu2", "swiglu", "geglu")
NORMS = ("rms", "layer")
PLACES = ("pre", "post")


def transformer(
    *,
    layers: int = 4,
    mixers: Sequence[str] = ("attention",),
    heads: Sequence[int] = (4,),
    groups: Sequence[int] = (4,),
    head_sizes: Sequence[int] = (32,),
    ratios: Sequence[float] = (4,),
    activations: Sequence[str] = ("gelu",),
    norms: Sequence[str] = ("rms",),
    places: Sequence[str] = ("pre",),
    widths: Sequence[int] = (128,),
    depths: Sequence[int] = (),
    sources: Sequence[int] = (),
) -> Space:
    """Decisions `layer_0_mixer`, `layer_0_heads`, … of each layer, and `width` and `depth` of all.

    A factor with a single option is fixed: there is no decision of it. `networks.Transformer` has the same options.

    Args:
      layers: how many there are at most.
      mixers: by what positions see each other: "attention", "window" (attention within a window), "delta" (gated delta
        rule), "jet" (the same with kernels that depend on the position, JetBlock), "ssm" (state space, as Mamba-2),
        "none". After a colon sizes of its own, where heads, groups and head sizes are not decided: "attention:2"
        (groups of keys and values), "window:32" (positions), "delta:4x64x128" (heads, size of keys, size of values),
        of "jet" and "ssm" alike.
      heads: of a mixer.
      groups: of keys and values of attention, and of queries and keys of a state space; at most as many as heads.
      head_sizes: even.
      ratios: hidden features of a feed-forward network, as a multiple of the width; 0 for none.
      activations: "gelu", "relu", "relu2" (its square), "swiglu", "geglu" (gated).
      norms: "rms" or "layer".
      places: "pre" (before what is added) or "post" (of the sum).
      widths: of all layers.
      depths: numbers of layers; `layers` alone by default.
      sources: of a decoder beside an encoder, how many of the encoder's last layers a layer attends to.

    Raises:
      InputError: nothing to decide, a factor without options or with one that is unknown or out of its range, heads
        that their groups do not divide.
    """
    return categorical(decided(locals()), name="transformer")


def decided(options: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Decision -> its options, by those of `transformer`; raises `InputError`."""
    options = {**transformer.__kwdefaults__, **options}
    return decisions_of(options["layers"], factors(**options))


def decisions_of(layers: int, options: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Decision -> its options, of the factors that leave something to decide."""
    own = {factor: o for factor, o in options.items() if factor not in ("width", "depth") and len(o) > 1}
    every = {factor: options[factor] for factor in ("width", "depth") if len(options[factor]) > 1}
    return {**{f"layer_{i}_{factor}": o for i in range(layers) for factor, o in own.items()}, **every}


def factors(layers: int, **given: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """What is decided -> its options; raises `InputError` for those that cannot be built."""
    check.integer("layers", layers, least=1)
    given["depths"] = given["depths"] or (layers,)
    known = {"activations": ACTIVATIONS, "norms": NORMS, "places": PLACES}
    for argument, options in given.items():
        if not check.sequence(argument, options) and argument != "sources":
            raise InputError(f"{argument}: expected at least one option, got none.")
        for option in options:
            if argument == "mixers":
                _check_mixer(option, given)
            elif argument in known:
                check.one_of(argument, option, known[argument])
            elif argument == "ratios":
                check.real(argument, option, least=0)
            else:
                check.integer(argument, option, least=1)
        if len(set(options)) < len(options):
            raise InputError(f"{argument}: expected options that differ, got {list(options)}.")
    for size in given["head_sizes"]:
        if size % 2:
            raise InputError(f"head_sizes: expected even ones, whose pairs are rotated, got {size}.")
    for heads in given["heads"]:
        for groups in given["groups"]:
            if heads % min(groups, heads):
                raise InputError(f"groups: expected what divides the heads {list(given['heads'])}, got {groups}.")
    if max(given["depths"]) != layers:
        raise InputError(f"depths: expected {layers} layers at most, got {list(given['depths'])}.")
    plural = ("heads", "groups", "sources")
    return {name if name in plural else name.removesuffix("s"): tuple(o) for name, o in given.items() if o}


OWN = {
    "attention": ("groups",),
    "window": ("window",),
    "delta": ("heads", "head_size", "value_size"),
    "jet": ("heads", "head_size", "value_size"),
    "ssm": ("heads", "head_size", "value_size"),
}
"""Mixer -> the sizes that it may have of its own, in this order after a colon."""


def mixer_of(option: str) -> tuple[str, dict[str, int]]:
    """Of an option of `mixers` its kind, and the sizes that are its own: ("attention", {"groups": 2})."""
    kind, colon, sizes = option.partition(":")
    return kind, dict(zip(OWN[kind], map(int, sizes.split("x")), strict=True)) if colon else {}


def _check_mixer(option: Any, given: Mapping[str, Sequence[Any]]) -> None:
    kind, colon, sizes = str(option).partition(":")
    check.one_of("mixers", kind, MIXERS)
    if not colon:
        return
    names, numbers = OWN.get(kind, ()), sizes.split("x")
    if len(numbers) != len(names) or not all(n.isdecimal() and int(n) for n in numbers):
        expected = f"{kind}:{'x'.join(name.upper() for name in names)}" if names else f"{kind}, which has no sizes"
        raise InputError(f"mixers: expected {expected}, got {option!r}.")
    for factor in ("heads", "groups", "head_sizes"):
        if len(given[factor]) > 1:
            raise InputError(f"mixers: {option!r} has sizes of its own, so that {factor} cannot be decided.")
    heads = given["heads"][0]
    if kind == "attention" and heads % int(sizes):
        raise InputError(f"mixers: expected groups that divide the {heads} heads, got {option!r}.")
