"""Refusals: every argument is checked when a part is built, and the message says what would have been right."""

import difflib
import numbers
from collections.abc import Iterable


def one_of(argument: str, value, known: Iterable[str]) -> None:
    """Raises `ValueError` unless `value` is one of `known`; names the nearest for a typo."""
    known = list(known)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: unknown {value!r}.{hint} Known: {', '.join(known)}.")


def integer(argument: str, value, *, least: int, most: int | None = None, because: str = "") -> None:
    """Raises `ValueError` unless `value` is an integer in `[least, most]`."""
    reason = f" ({because})" if because else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{argument}: expected an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{argument}: expected at least {least}{reason}, got {value}.")
    if most is not None and value > most:
        raise ValueError(f"{argument}: expected at most {most}{reason}, got {value}.")


def real(argument: str, value, *, least: float = -float("inf"), most: float = float("inf")) -> None:
    """Raises `ValueError` unless `value` is a number in `[least, most]`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value <= most:
        raise ValueError(f"{argument}: expected a number in [{least}, {most}], got {value!r}.")
