"""Writes a decoder as Hugging Face's libraries read it, or where they have none like it as this library does."""

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained import own_format, settings
from jaxnas.pretrained._load import Pretrained
from jaxnas.pretrained.architecture import architecture_of
from jaxnas.pretrained.checkpoint import library
from jaxnas.pretrained.huggingface import CONFIG, INDEX, TOKENIZER, WEIGHTS
from jaxnas.pretrained.parameters import Parameter, parameters

SHARD = 5_000_000_000
"""Bytes of a file at most, and so of the memory that it takes, as in `transformers`."""


def save(pretrained: Pretrained, folder: str | os.PathLike, *, shard_bytes: int = SHARD) -> None:
    """Settings, weights and tokenizer in a folder, which `load` reads again to the bit.

    A network that is one of the Llama family's gets the settings and names that `transformers` reads; any other of
    tokens (with recurrences, without some layers, of layers that differ) the options of `networks.Transformer`,
    its decisions and its own names. The folder appears when all is written.

    Args:
      pretrained: also `Pretrained(network, variables)` or `Pretrained(network, variables, decisions)` of what was
        searched or trained.
      folder: one that is not there yet, or empty.
      shard_bytes: of a file at most.

    Raises:
      InputError: a folder that is not empty, or variables that are not the network's.
    """
    library("safetensors", "save")
    check.integer("shard_bytes", shard_bytes, least=1)
    folder = check.local_path("folder", folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"folder: expected one that is not there yet, or empty, got {folder}.")
    config, expected = _described(pretrained)
    flat = traverse_util.flatten_dict(pretrained.variables.get("params", {}), sep="/")
    _check(flat, expected)
    types = sorted({x.dtype.name for x in flat.values()})
    config |= {"torch_dtype": types[0] if len(types) == 1 else "float32"}
    if pretrained.tokenizer is not None and pretrained.tokenizer.end:
        end = pretrained.tokenizer.end
        config["eos_token_id"] = end[0] if len(end) == 1 else list(end)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        beside.chmod(0o755)  # that of a folder, and not of a temporary one
        _write_weights(beside, flat, expected, shard_bytes)
        _write_json(beside / CONFIG, config)
        if pretrained.tokenizer is not None:
            _write_tokenizer(beside, pretrained.tokenizer)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _described(pretrained: Pretrained) -> tuple[dict[str, Any], list[Parameter]]:
    """Settings and parameters."""
    network, decisions = pretrained.network, pretrained.decisions
    network.chosen(decisions)  # raises for those of another network
    own = architecture_of(network, decisions)
    config = own and settings.write(own, pretrained.architecture)
    if config:
        return config, parameters(own)
    shapes = own_format.shapes(network, decisions)
    return own_format.write(network, decisions), [Parameter(path, path, x.shape) for path, x in shapes.items()]


def _check(flat: Mapping[str, Any], expected: list[Parameter]) -> None:
    names = {parameter.path for parameter in expected}
    for which, there in (("missing", names - set(flat)), ("not the network's", set(flat) - names)):
        if there:
            raise InputError(f"variables: {len(there)} parameters are {which}: {', '.join(sorted(there)[:5])}.")
    for parameter in expected:
        shape = flat[parameter.path].shape
        if shape != parameter.shape:
            raise InputError(
                f"variables: {parameter.path}: expected the shape {list(parameter.shape)}, got {list(shape)}."
            )


def _write_weights(folder: pathlib.Path, flat: Mapping[str, Any], expected: list[Parameter], most: int) -> None:
    """Shard by shard, each of which is all that is held."""
    numpy = library("safetensors.numpy", "save")
    shards = list(_shards(expected, lambda parameter: flat[parameter.path].nbytes, most))
    files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    files = [WEIGHTS] if len(shards) == 1 else files
    for file, shard in zip(files, shards, strict=True):
        tensors = {p.name: np.ascontiguousarray(p.write(np.asarray(flat[p.path]))) for p in shard}
        numpy.save_file(tensors, folder / file, metadata={"format": "pt"})  # without which `transformers` refuses it
    if len(shards) > 1:
        places = {p.name: file for file, shard in zip(files, shards, strict=True) for p in shard}
        total = sum(x.nbytes for x in flat.values())
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def _shards(expected: list[Parameter], bytes_of: Callable[[Parameter], int], most: int) -> Iterator[list[Parameter]]:
    """Parameters in order, of so many bytes together at most, or one."""
    shard, size = [], 0
    for parameter in expected:
        if shard and size + bytes_of(parameter) > most:
            yield shard
            shard, size = [], 0
        shard.append(parameter)
        size += bytes_of(parameter)
    yield shard


def _write_tokenizer(folder: pathlib.Path, tokenizer: Any) -> None:
    tokenizer.model.save(str(folder / TOKENIZER))
    said = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if tokenizer.end:
        said["eos_token"] = tokenizer.model.id_to_token(tokenizer.end[0])
    _write_json(folder / "tokenizer_config.json", said)


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
