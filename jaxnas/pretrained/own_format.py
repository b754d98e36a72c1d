"""Checkpoints of transformers that no other library has: settings and parameters by their names here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks import Transformer

MODEL_TYPE = "jaxnas"
NOT_OPTIONS = ("parent", "name")


def write(network: Transformer, decisions: Mapping[str, int]) -> dict[str, Any]:
    """Settings from which `read` makes both."""
    options = {f.name: getattr(network, f.name) for f in dataclasses.fields(network) if f.name not in NOT_OPTIONS}
    return {"model_type": MODEL_TYPE, "network": options, "decisions": {k: int(v) for k, v in decisions.items()}}


def read(where: str, config: Mapping[str, Any]) -> tuple[Transformer, dict[str, int]]:
    """Network and decisions.

    Raises:
      InputError: options that there are none of, or decisions of another network.
    """
    options, decisions = config.get("network"), config.get("decisions", {})
    check.mapping(f"{where}: network", options)
    check.mapping(f"{where}: decisions", decisions)
    known = [field.name for field in dataclasses.fields(Transformer) if field.name not in NOT_OPTIONS]
    for name in options:
        check.one_of(f"{where}: network", name, known)
    try:
        network = Transformer(**options)
        network.chosen(decisions)
    except (InputError, TypeError) as error:
        raise InputError(f"{where}: network: {error}") from None
    return network, dict(decisions)


def shapes(network: Transformer, decisions: Mapping[str, int]) -> dict[str, jax.ShapeDtypeStruct]:
    """Path, joined by "/" -> shape and type of each parameter that the decisions leave there."""
    if not network.vocabulary:
        raise InputError("network: expected one of tokens, which has a vocabulary.")
    if network.sources:
        raise InputError("network: expected a decoder by itself; this one has sources, in an encoder.")
    tokens = jnp.zeros((1, 1), jnp.int32)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), decisions, tokens, False))
    return traverse_util.flatten_dict(made["params"], sep="/")
