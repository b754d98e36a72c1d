"""Reads a pretrained decoder as a `Transformer` with its variables."""

import os
import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks import Transformer
from jaxnas.pretrained import own_format, settings
from jaxnas.pretrained.architecture import network_of
from jaxnas.pretrained.checkpoint import Checkpoint, check_tensors
from jaxnas.pretrained.locating import open_checkpoint
from jaxnas.pretrained.parameters import Parameter, computed, parameters
from jaxnas.pretrained.placement import model_devices, placed
from jaxnas.pretrained.tokenizing import Tokenizer, tokenizer_of

DTYPES = ("float32", "bfloat16")
NONE: Mapping[str, int] = types.MappingProxyType({})


class Pretrained(NamedTuple):
    """A model: `network.apply(variables, decisions, tokens [B, T], False)` are the logits `[B, T, V]` of what follows.

    Attributes:
      network: of tokens, with an output for each position.
      variables: with the collection "params".
      decisions: integers; empty where the network leaves nothing to decide.
      tokenizer: None where there is none.
      architecture: "llama", "mistral", "qwen2" or "qwen3", or "jaxnas" of other networks; "" where nobody said.
      name: what the model is called.
    """

    network: Transformer
    variables: Any
    decisions: Mapping[str, int] = NONE
    tokenizer: Tokenizer | None = None
    architecture: str = ""
    name: str = ""


def load(
    path: str | os.PathLike,
    *,
    dtype: Any = jnp.float32,
    mesh: jax.sharding.Mesh | None = None,
    length: int | None = None,
    tokenizer: bool = True,
) -> Pretrained:
    """A decoder of the Llama family (Llama, SmolLM2, Mistral, Qwen2, Qwen3), or what `save` wrote.

    Names, shapes and settings are compared with the network's before a tensor is read. Tensors are then read one by
    one, so that it takes the memory of the model and of one tensor, as it is in the file and in the network.

    Args:
      path: a folder in Hugging Face's layout (`config.json`, `model.safetensors` or an index of several files,
        `tokenizer.json`), a GGUF file, or `package:NAME`, also `NAME` alone, of an installed package that holds either.
      dtype: of parameters, "float32" or "bfloat16".
      mesh: with an axis "model", between whose devices each tensor is divided as `partition_spec` says; None for the
        default device.
      length: the longest sequence, at most the model's.
      tokenizer: whether to read it too.

    Raises:
      InputError: a model of another architecture; tensors that are missing, left over or of another shape; files that
        are cut off; pickles, which are never opened; a tokenizer of another vocabulary or of an unknown kind; a package
        that is not installed.
    """
    dtype = _dtype(dtype)
    if mesh is not None:
        model_devices(mesh)
    checkpoint = open_checkpoint(path)
    network, decisions, expected = described(checkpoint, length)
    names = {parameter.path: checkpoint.name_of(parameter.name) for parameter in expected}
    head = checkpoint.name_of("lm_head.weight") if network.tied else None  # in some files once more
    check_tensors(checkpoint, {names[p.path]: p.stored for p in expected}, lambda name: computed(name) or name == head)
    own = tokenizer_of(checkpoint, network.vocabulary) if tokenizer else None
    flat = {}
    for parameter in expected:
        stored = checkpoint.tensors[names[parameter.path]].read()
        x = np.ascontiguousarray(parameter.read(stored, checkpoint.interleaved), dtype)
        flat[parameter.path] = placed(parameter.path, x, mesh)
    variables = {"params": traverse_util.unflatten_dict(flat, sep="/")}
    return Pretrained(network, variables, decisions, own, checkpoint.config["model_type"], checkpoint.name)


def _dtype(given: Any) -> np.dtype:
    try:
        name = jnp.dtype(given).name
    except TypeError:
        name = given
    check.one_of("dtype", name, DTYPES)
    return jnp.dtype(name)


def described(
    checkpoint: Checkpoint, length: int | None = None
) -> tuple[Transformer, Mapping[str, int], Iterable[Parameter]]:
    """Network, decisions and parameters that the settings describe."""
    of_own = checkpoint.config.get("network")
    layers = of_own.get("layers") if isinstance(of_own, Mapping) else checkpoint.config.get("num_hidden_layers")
    if isinstance(layers, int) and layers > len(
        checkpoint.tensors
    ):  # of damaged settings, maybe more than fit in memory
        raise InputError(f"{checkpoint.where}: {layers} layers are described, of {len(checkpoint.tensors)} tensors.")
    if checkpoint.config.get("model_type") == own_format.MODEL_TYPE:
        network, decisions = own_format.read(checkpoint.where, checkpoint.config)
        made = [Parameter(path, path, x.shape) for path, x in own_format.shapes(network, decisions).items()]
    else:
        own = settings.read(checkpoint.where, checkpoint.config)
        (network, decisions), made = network_of(own), parameters(own)
    return of_length(checkpoint.where, network, length), decisions, made


def of_length(where: str, network: Transformer, length: int | None) -> Transformer:
    """The network for sequences of that length at most; raises `InputError` for one that it is not for."""
    if length is None:
        return network
    check.integer("length", length, least=1)
    if length > network.length:
        raise InputError(f"length: {where} is of {network.length} positions, got {length}.")
    return network.clone(length=length)
