"""From a population's or supernet's variables to those of one architecture."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import traverse_util

from jaxnas.check import InputError


def extract(variables: dict, like: dict) -> dict:
    """The part of `variables` that a stand-alone network has.

    Args:
      variables: of a network that holds every option.
      like: variables (or their shapes, from `jax.eval_shape`) of the stand-alone network.

    Returns:
      A tree like `like`: leaves found by name, and cut to the leading entries where the stand-alone layer is narrower.
      Where only `NAME` is there for a `NAME_3`, its parameters are stacked and row 3 is meant.

    Raises:
      InputError: a leaf of `like` is not in `variables`.
    """

    wanted = traverse_util.flatten_dict(like)
    found = {path: part_of(variables, path, jax.numpy.shape(leaf)) for path, leaf in wanted.items()}
    for path, leaf in found.items():
        if leaf is None:
            raise InputError(f"variables: {'/'.join(path)} is not there; are they of another network?")
    return traverse_util.unflatten_dict(found)


def part_of(variables: Mapping[str, Any], path: Sequence[str], shape: tuple[int, ...]) -> jax.Array | None:
    """The leaf of that path, cut to a shape as `extract` does; None where there is none.

    Raises:
      InputError: it has fewer entries, or other axes.
    """
    tree, rows = variables, ()
    for name in path:
        stem, _, row = name.rpartition("_")
        if isinstance(tree, Mapping) and name not in tree and stem in tree and row.isdigit():
            name, rows = stem, (*rows, int(row))
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    leaf = tree[rows]
    if len(leaf.shape) != len(shape) or any(n < wanted for n, wanted in zip(leaf.shape, shape, strict=True)):
        raise InputError(
            f"variables: {'/'.join(path)} is {leaf.shape}, expected {shape} or more of each axis; are they of another "
            "network?"
        )
    return leaf[tuple(slice(n) for n in shape)]
