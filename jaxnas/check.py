"""Refusals: every argument is checked when a part is built, and the message says what would have been right."""

import difflib
import numbers
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


class InputError(ValueError):
    """What a user can mend: an argument, a file or a combination of parts that cannot be; the message says how.

    Programs print it as one line. Any other exception is a fault, of the library or of the user's own code, and keeps
    its traceback.
    """


def one_of(argument: str, value, known: Iterable[str]) -> None:
    """Raises `InputError` unless `value` is one of `known`; names the nearest for a typo."""
    known = list(known)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{argument}: unknown {value!r}.{hint} Known: {', '.join(known)}.")


def integer(argument: str, value, *, least: int, most: int | None = None, because: str = "") -> None:
    """Raises `InputError` unless `value` is an integer in `[least, most]`."""
    reason = f" ({because})" if because else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(f"{argument}: expected an integer, got {value!r}.")
    if value < least:
        raise InputError(f"{argument}: expected at least {least}{reason}, got {value}.")
    if most is not None and value > most:
        raise InputError(f"{argument}: expected at most {most}{reason}, got {value}.")


def increasing(argument: str, value, *, least: int, most: int | None = None, because: str = "") -> tuple:
    """The values as a tuple; raises `InputError` unless they are integers in `[least, most]`, each above the last."""
    values = sequence(argument, value)
    for number in values:
        integer(argument, number, least=least, most=most, because=because)
    if list(values) != sorted(set(values)):
        raise InputError(f"{argument}: expected increasing integers, got {list(values)}.")
    return values


def real(argument: str, value, *, least: float = -float("inf"), most: float = float("inf")) -> None:
    """Raises `InputError` unless `value` is a number in `[least, most]`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value <= most:
        raise InputError(f"{argument}: expected a number in [{least}, {most}], got {value!r}.")


def sequence(argument: str, value, of: type = object) -> tuple:
    """The values as a tuple; raises `InputError` unless they are in a list, tuple or array, each of the type `of`."""
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise InputError(f"{argument}: expected a list, got {value!r}.")
    for item in value:
        if not isinstance(item, of):
            raise InputError(f"{argument}: expected a list of {of.__name__}, got {value!r}.")
    return tuple(value)


def mapping(argument: str, value) -> None:
    """Raises `InputError` unless `value` is a dict or the like."""
    if not isinstance(value, Mapping):
        raise InputError(f"{argument}: expected a dict, got {value!r}.")


def function(argument: str, value) -> None:
    """Raises `InputError` unless `value` can be called."""
    if not callable(value):
        raise InputError(f"{argument}: expected a function, or its name as 'module:name', got {value!r}.")


def seed(argument: str, value) -> None:
    """Raises `InputError` unless `value` is an integer of 32 bits: of larger ones JAX drops the rest."""
    integer(argument, value, least=0, most=2**32 - 1, because="32 bits")


def local_path(argument: str, value: str | os.PathLike) -> pathlib.Path:
    """The path, with `~` as the home directory.

    Raises:
      InputError: no path, or an address (`gs://…`), which would become a folder of that name: files are appended to,
        renamed and memory-mapped, which takes a file system.
    """
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise InputError(f"{argument}: expected a path, got {value!r}.")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/+", os.fspath(value))
    if scheme:
        raise InputError(
            f"{argument}: expected a path on a file system, got {os.fspath(value)!r}; mount what {scheme[1]}:// names "
            "(a bucket, say) and give the path of the mount."
        )
    try:
        return pathlib.Path(value).expanduser()
    except RuntimeError as error:
        raise InputError(f"{argument}: {os.fspath(value)!r}: {error}") from None
