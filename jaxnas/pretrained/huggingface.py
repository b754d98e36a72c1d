"""A folder in Hugging Face's layout: `config.json`, weights in one file of safetensors or several, `tokenizer.json`."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.checkpoint import Checkpoint, Stored, library

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
FLOATS = ("F64", "F32", "F16", "BF16")


def refuse_pickle(path: pathlib.Path) -> None:
    """Raises `InputError` for what would have to be unpickled."""
    if path.suffix in PICKLES:
        raise InputError(
            f"path: {path} is a pickle, which runs any code it holds when it is read, and is never opened here. If you "
            "trust it, convert it: `transformers` writes safetensors by model.save_pretrained(folder)."
        )


def read_folder(folder: pathlib.Path) -> Checkpoint:
    """What is in the folder; of weights the headers alone.

    Raises:
      InputError: a folder without settings or weights, with pickled ones, with files that are cut off or none.
    """
    if not (folder / CONFIG).is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise InputError(f"path: {folder} has no {CONFIG}; it has {there}.")
    config = read_json(folder / CONFIG)
    path = folder / TOKENIZER
    return Checkpoint(
        where=str(folder),
        name=folder.resolve().name,
        config=config,
        tensors=_tensors(folder),
        tokenizer=lambda: _tokenizer(path) if path.is_file() else None,
        end=_end(folder, config),
    )


def read_json(path: pathlib.Path) -> Mapping[str, Any]:
    """An object; raises `InputError` for what is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON: {error}.") from None
    check.mapping(str(path), found)
    return found


def _tensors(folder: pathlib.Path) -> dict[str, Stored]:
    if (folder / INDEX).is_file():
        places = read_json(folder / INDEX).get("weight_map")
        check.mapping(f"{folder / INDEX}: weight_map", places)
        found = {}
        for file in sorted(set(places.values())):
            if pathlib.PurePath(file).name != file:
                raise InputError(f"{folder / INDEX}: expected names of files in the same folder, got {file!r}.")
            found |= _of_file(folder / file)
        return found
    if (folder / WEIGHTS).is_file():
        return _of_file(folder / WEIGHTS)
    for path in sorted(folder.iterdir()):
        refuse_pickle(path)
    raise InputError(f"path: {folder} has no weights: expected {WEIGHTS}, or {INDEX} and the files that it names.")


def _of_file(path: pathlib.Path) -> dict[str, Stored]:
    """Name -> tensor, by the header."""
    safetensors = library("safetensors", f"path: {path}")
    if not path.is_file():
        raise InputError(f"path: {path}, which {INDEX} names, is not there.")
    try:
        file = safetensors.safe_open(str(path), framework="np")
        names = list(file.keys())
        slices = {name: file.get_slice(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"path: {path} is cut off, or no file of safetensors: {error}.") from None
    for name, part in slices.items():
        check.one_of(f"{path}: {name}: type", part.get_dtype(), FLOATS)
    return {
        name: Stored(tuple(part.get_shape()), lambda name=name: file.get_tensor(name)) for name, part in slices.items()
    }


def _tokenizer(path: pathlib.Path) -> Any:
    tokenizers = library("tokenizers", f"path: {path}")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library's are no class of their own
        raise InputError(f"{path} is no tokenizer that `tokenizers` {tokenizers.__version__} reads: {error}.") from None


def _end(folder: pathlib.Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """Tokens that end a text: of `generation_config.json`, which `transformers` prefers, or of the settings."""
    path = folder / "generation_config.json"
    found = read_json(path).get("eos_token_id") if path.is_file() else None
    found = config.get("eos_token_id") if found is None else found
    found = [] if found is None else found if isinstance(found, list) else [found]
    return check.sequence("eos_token_id", found, int)
