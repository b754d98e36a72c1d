"""Parameters by the paths of a tree: `stem/conv/kernel`."""

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxnas.check import InputError

Which = str | Sequence[str] | Callable[[str], bool]


def path_of(keys: Sequence[Any]) -> str:
    """A path as text, as `jax.tree_util` gives it."""
    return jax.tree_util.keystr(tuple(keys), simple=True, separator="/")


def paths(tree: Any) -> list[str]:
    """Of all leaves, in order."""
    return [path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(tree)]


def matching(argument: str, which: Which, among: Sequence[str]) -> set[str]:
    """The paths that are meant, by patterns ("stem/*", "*/bias") or by a function of the path.

    Raises:
      InputError: a pattern, or the function, matches none.
    """
    if callable(which):
        found = {path for path in among if which(path)}
        if not found:
            raise InputError(f"{argument}: the function matches none of {len(among)} parameters, {among[0]} the first.")
        return found
    found = set()
    for pattern in (which,) if isinstance(which, str) else which:
        matched = fnmatch.filter(among, pattern)
        if not matched:
            near = difflib.get_close_matches(pattern, among, n=1, cutoff=0)
            hint = f" The nearest is {near[0]!r}." if near else ""
            raise InputError(f"{argument}: {pattern!r} matches none of {len(among)} parameters.{hint}")
        found.update(matched)
    return found
