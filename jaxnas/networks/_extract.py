"""From a population's or supernet's variables to those of one architecture."""

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

    def find(path):
        tree, rows = variables, ()
        for name in path:
            stem, _, row = name.rpartition("_")
            if name not in tree and stem in tree and row.isdigit():
                name, rows = stem, (*rows, int(row))
            if name not in tree:
                raise InputError(f"variables: {'/'.join(path)} is not there; are they of another network?")
            tree = tree[name]
        return tree[rows]

    wanted = traverse_util.flatten_dict(like)
    return traverse_util.unflatten_dict(
        {path: find(path)[tuple(slice(n) for n in jax.numpy.shape(leaf))] for path, leaf in wanted.items()}
    )
