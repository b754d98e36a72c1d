"""What may stand in the place of a trained decoder's layers, and with which values it begins (Bercovich et al., 2024).

Each layer keeps its mixer and its feed-forward network or takes one of the replacements, whose values are made of the
parent's: keys and values of merged groups are their mean (Ainslie et al., 2023); a recurrence takes queries, keys,
values and output of the attention; a narrower feed-forward network keeps the hidden features that matter most.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxnas import check, spaces
from jaxnas.check import InputError
from jaxnas.networks import Transformer
from jaxnas.spaces._transformer import decided
from jaxnas.training import Parent
from jaxnas.types import Space

PARENT = "parent"
"""A string of the space."""
FIXED = ("heads", "groups", "head_sizes", "activations", "norms", "places", "widths")
"""What every layer has of the parent."""


def replacement_space(
    parent: Parent,
    *,
    mixers: Sequence[str] = (),
    feed_forward: Sequence[float] = (1.0,),
    keep: Sequence[int] | str | os.PathLike | None = None,
) -> Space:
    """The space of `spaces.transformer` with the parent's layers and, of each, its own parts and what may replace them.

    The string "parent" is the parent's own architecture, the first option of each decision.

    Args:
      parent: a decoder of which nothing is left to decide.
      mixers: beside the parent's own, which come first: "window:32", "attention:1", "delta", "none", … (see
        `spaces.transformer`).
      feed_forward: hidden features as shares of the parent's, 1 the first; 0 for none.
      keep: layers that keep the parent's mixer, numbers or text ("0,3"), or the folder of a search that found which;
        all others then take the same replacement, so that there is one decision `mixer` among the replacements alone:
        which linear block, of which size (stages 2 to 4 of PostNAS, Gu et al., 2025). By default each layer decides
        for itself.

    Raises:
      InputError: a parent that is no such decoder, an unknown mixer, a share out of [0, 1], or within it of a parent
        whose hidden features are in no order; nothing to decide; layers to keep that are not there, or are all.
    """
    options = _options(parent, mixers, feed_forward)
    if keep is None:
        space = spaces.transformer(**options)
        whole = np.zeros(len(space.decisions), np.int32)
        named = lambda text: whole if text == PARENT else space.from_string(text)
        return space._replace(from_string=named)
    layers = options["layers"]
    kept = _layers_to_keep(keep, layers, parent.network.mixers)
    own = {name: of for name, of in decided(options).items() if not name.endswith("_mixer")}
    space = spaces.categorical({"mixer": options["mixers"][1:], **own}, name="transformer")

    def unpack(genome):
        rest = space.unpack(genome)
        mixer = rest.pop("mixer")
        if np.ndim(mixer):
            taken, parents = jnp.pad(mixer, (1, 0)), jnp.eye(len(options["mixers"]))[0]
        else:
            taken, parents = mixer + 1, 0 * mixer
        return {**{f"layer_{i}_mixer": parents if i in kept else taken for i in range(layers)}, **rest}

    return space._replace(unpack=unpack)


def _layers_to_keep(keep: Sequence[int] | str | os.PathLike, layers: int, own: Sequence[str]) -> set[int]:
    if isinstance(keep, str) and re.fullmatch(r"\d+(,\d+)*", keep):
        keep = [int(layer) for layer in keep.split(",")]
    elif isinstance(keep, (str, os.PathLike)):
        file = check.local_path("keep", keep) / "result.json"
        if not file.is_file():
            raise InputError(f"keep: no result.json in {file.parent}; expected layers, or the folder of a search.")
        found = json.loads(file.read_text())["architecture"]
        of = dict(re.findall(r"layer_(\d+)_mixer=([^,]+)", found))
        if len(of) != layers:
            raise InputError(f"keep: expected a search of {layers} layers' mixers, it found {found!r}.")
        keep = [int(layer) for layer, mixer in of.items() if mixer in own]
    for layer in check.sequence("keep", keep):
        check.integer("keep", layer, least=0, most=layers - 1)
    if len(set(keep)) == layers:
        raise InputError(f"keep: expected fewer than the {layers} layers, or no mixers.")
    return set(keep)


def replacement_network(
    parent: Parent, *, mixers: Sequence[str] = (), feed_forward: Sequence[float] = (1.0,)
) -> Transformer:
    """The network of `replacement_space`, and its errors.

    Args:
      parent: as there.
      mixers: as there.
      feed_forward: as there.
    """
    options = _options(parent, mixers, feed_forward)
    return parent.network.clone(mixers=options["mixers"], ratios=options["ratios"])


def _options(parent: Parent, mixers: Sequence[str], feed_forward: Sequence[float]) -> dict[str, Any]:
    network = parent.network
    if not isinstance(network, Transformer) or network.named():
        raise InputError("parent: expected a networks.Transformer of which nothing is left to decide.")
    for share in check.sequence("feed_forward", feed_forward):
        check.real("feed_forward", share, least=0, most=1)
    if not feed_forward or feed_forward[0] != 1:
        raise InputError(f"feed_forward: expected shares of the parent's, 1 the first, got {list(feed_forward)}.")
    narrower = [share for share in feed_forward if 0 < share < 1]
    if narrower and not parent.ordered:
        raise InputError(
            f"feed_forward: with {narrower[0]} the first hidden features are kept, which the parent has in no order; "
            "give parent checkpoint `calibration`, or parent_of `inputs`, examples to order them by."
        )
    own = {name: getattr(network, name) for name in FIXED}
    ratios = tuple(_short(share * network.ratios[0], network.widths[0]) for share in feed_forward)
    mixers = (*network.mixers, *check.sequence("mixers", mixers))
    return {**own, "layers": network.layers, "mixers": mixers, "ratios": ratios}


def _short(ratio: float, width: int) -> float:
    """The ratio with four decimals at most, where it is of as many hidden features."""
    short = round(float(ratio), 4)
    short = int(short) if short.is_integer() else short
    return short if round(short * width) == round(ratio * width) else ratio


def parent_of(
    network: Transformer,
    variables: Mapping[str, Any],
    inputs: chex.Array | None = None,
    name: str = "parent",
    tokenizer: Any = None,
) -> Parent:
    """A decoder as a parent.

    Args:
      network: of which nothing is left to decide.
      variables: trained.
      inputs: tokens `[B, T]` by which hidden features of feed-forward networks are ordered, the one that moves the
        output most first; None leaves them as they are, where no narrower one will be asked for.
      name: for messages and files.
      tokenizer: to be saved with what is made of it.
    """
    if inputs is not None:
        variables = ordered(network, variables, inputs)
    begin = lambda key, decisions, own: replaced(variables, own)
    return Parent(network, variables, begin, name, tokenizer, ordered=inputs is not None)


def replaced(parent: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Variables `own` of a network of replacements, with the parent's values wherever they say what to begin with."""
    given, wanted = (traverse_util.flatten_dict(tree) for tree in (parent["params"], own["params"]))
    mixers = {path[0]: path[2] for path in given if path[1:2] == ("mixer",)}
    made = {}
    for path, leaf in wanted.items():
        source = path
        if path[1:2] == ("mixer",) and path[0] in mixers:
            source = (*path[:2], mixers[path[0]], *path[3:])
        made[path] = jnp.asarray(_fitted(path, given.get(source), leaf), leaf.dtype)
    return {**own, "params": traverse_util.unflatten_dict(made)}


def _fitted(path: tuple[str, ...], theirs: chex.Array | None, own: chex.Array) -> chex.Array:
    """The parent's leaf in the shape of one's own."""
    if theirs is None:
        if path[-1].endswith("_taps") and own.ndim == 3:  # a short convolution that passes on what is there now
            return jnp.zeros_like(own).at[-1].set(1)
        return own
    if theirs.shape == own.shape:
        return theirs
    if path[-3:-1] and path[1] == "mixer":
        axis = {"query": 1, "key": 1, "value": 1, "output": 0}.get(path[3])
        if axis is None or theirs.ndim != own.ndim:
            return own
        axis = 0 if path[-1] == "bias" else axis
        theirs = _regrouped(theirs, own.shape[axis], axis)
    if theirs is None or any(n < m for n, m in zip(theirs.shape, own.shape, strict=True)):
        return own
    return theirs[tuple(slice(n) for n in own.shape)]


def _regrouped(leaf: chex.Array, count: int, axis: int) -> chex.Array | None:
    """Heads along `axis` merged to fewer, their mean, or repeated to more; None where the numbers do not divide."""
    have = leaf.shape[axis]
    if count % have == 0:
        return jnp.repeat(leaf, count // have, axis)
    if have % count:
        return None
    return leaf.reshape(*leaf.shape[:axis], count, have // count, *leaf.shape[axis + 1 :]).mean(axis + 1)


def ordered(network: Transformer, variables: Mapping[str, Any], inputs: chex.Array) -> dict[str, Any]:
    """Variables of the same function, hidden features by falling importance: mean |activation| over the inputs times
    the length of the feature's row of the matrix that leads out (Bercovich et al., 2024)."""
    importance = jax.jit(lambda variables, x: _activations(network, variables, x))(variables, inputs)
    flat = dict(traverse_util.flatten_dict(variables["params"]))
    for path, activation in importance.items():
        rows = flat[(*path, "down", "kernel")]
        order = jnp.argsort(-activation * jnp.linalg.norm(rows.astype(jnp.float32), axis=1))
        flat[(*path, "down", "kernel")] = rows[order]
        for name in ("up", "gate"):
            if (*path, name, "kernel") in flat:
                flat[(*path, name, "kernel")] = flat[(*path, name, "kernel")][:, order]
    return {**variables, "params": traverse_util.unflatten_dict(flat)}


def _activations(network: Transformer, variables: Mapping[str, Any], inputs: chex.Array) -> dict[tuple, chex.Array]:
    """Path of a feed-forward network -> `[hidden]`, the mean size of what leads out of it."""
    found = {}

    def watch(call, args, kwargs, context):
        if context.module.name == "down" and context.method_name == "__call__":
            found[context.module.path[:-1]] = abs(args[0].astype(jnp.float32)).mean((0, 1))
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        network.apply(variables, {}, inputs, False)
    return found
