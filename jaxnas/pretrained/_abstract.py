"""A pretrained decoder by its settings alone: its network and the shapes of its variables, without a weight."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained import own_format, settings
from jaxnas.pretrained._load import DTYPES, Pretrained, of_length
from jaxnas.pretrained.architecture import network_of
from jaxnas.pretrained.huggingface import CONFIG, read_json
from jaxnas.pretrained.parameters import parameters

MOST_LAYERS = 1024
"""Of settings: without weights nothing else says that there are fewer than fit in memory."""


def abstract(
    decoder: str | os.PathLike | Mapping[str, Any], *, dtype: str = "bfloat16", length: int | None = None
) -> Pretrained:
    """What `load` returns of a decoder, with a `jax.ShapeDtypeStruct` in the place of each variable, and no tokenizer.

    Args:
      decoder: a `config.json` in Hugging Face's layout, the folder that has it, or what is in it.
      dtype: of parameters, "float32" or "bfloat16".
      length: the longest sequence, at most the model's.

    Raises:
      InputError: nothing of the name, no JSON, a model of another architecture, settings that are missing or not
        supported, more positions than the model has.
    """
    check.one_of("dtype", dtype, DTYPES)
    where, config = settings_of(decoder)
    if config.get("num_hidden_layers") is not None:
        check.integer(f"{where}: num_hidden_layers", config["num_hidden_layers"], least=1, most=MOST_LAYERS)
    if config.get("model_type") == own_format.MODEL_TYPE:
        network, decisions = own_format.read(where, config)
        shapes = {path: x.shape for path, x in own_format.shapes(network, decisions).items()}
    else:
        own = settings.read(where, config)
        network, decisions = network_of(own)
        shapes = {parameter.path: parameter.shape for parameter in parameters(own)}
    network = of_length(where, network, length)
    flat = {path: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for path, shape in shapes.items()}
    variables = {"params": traverse_util.unflatten_dict(flat, sep="/")}
    return Pretrained(network, variables, decisions, architecture=config["model_type"], name=where)


def settings_of(decoder: str | os.PathLike | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What messages call them, and the settings."""
    if isinstance(decoder, Mapping):
        return "decoder", decoder
    path = check.local_path("decoder", decoder)
    file = path / CONFIG if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"decoder: expected a {CONFIG}, or a folder that has one; there is no {file}.")
    return str(path), read_json(file)
