"""What every format of a checkpoint is read as: a configuration in Hugging Face's terms, and tensors that are there."""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.check import InputError

SHOWN = 5
"""Names of tensors in a message at most."""


class Stored(NamedTuple):
    """A tensor in a file, of which only the header was read.

    Attributes:
      shape: as the format's own libraries give it.
      read: the values, in a floating-point type of NumPy's or of `ml_dtypes`.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


class Checkpoint(NamedTuple):
    """A model in its files.

    Attributes:
      where: the folder or file, for messages.
      name: what the model is called.
      config: the settings of Hugging Face's `config.json`.
      tensors: by their names in the file.
      name_of: Hugging Face's name of a tensor -> its name in the file.
      interleaved: whether the pairs that rotary positions rotate lie side by side, and not half a head apart.
      tokenizer: the library `tokenizers`' object, None where there is none; raises `InputError`.
      end: tokens that end a text.
    """

    where: str
    name: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Stored]
    name_of: Callable[[str], str] = str
    interleaved: bool = False
    tokenizer: Callable[[], Any] = lambda: None
    end: tuple[int, ...] = ()


def library(name: str, what: str) -> Any:
    """The module, imported where it is needed; raises `InputError` with what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f'{what} needs {error.name or name}, which is not installed; pip install "jaxnas[llm]".'
        ) from None


def check_tensors(checkpoint: Checkpoint, expected: Mapping[str, tuple[int, ...]], ignored: Callable[[str], bool]):
    """Compares names and shapes with those of the network, before anything is read.

    Args:
      expected: name in the file -> shape.
      ignored: of a name, whether it may be there too.

    Raises:
      InputError: tensors that are missing, that the network has no place for, or of another shape.
    """
    missing = [name for name in expected if name not in checkpoint.tensors]
    extra = [name for name in checkpoint.tensors if name not in expected and not ignored(name)]
    if missing:
        raise InputError(
            f"{checkpoint.where}: {len(missing)} of {len(expected)} tensors are missing: {_some(missing)}."
            + _nearest(missing[0], extra or checkpoint.tensors)
        )
    if extra:
        raise InputError(
            f"{checkpoint.where}: {len(extra)} tensors have no place in the network that its settings describe: "
            f"{_some(extra)}." + _nearest(extra[0], expected)
        )
    for name, shape in expected.items():
        if tuple(checkpoint.tensors[name].shape) != tuple(shape):
            raise InputError(
                f"{checkpoint.where}: {name}: expected the shape {list(shape)} by the settings, got "
                f"{list(checkpoint.tensors[name].shape)}."
            )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" The nearest to {name!r} is {near[0]!r}." if near else ""
