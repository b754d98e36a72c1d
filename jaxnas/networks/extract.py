"""From a population's or supernet's variables to those of one architecture."""

import jax
from flax import traverse_util


def extract(variables: dict, like: dict) -> dict:
    """The part of `variables` that a stand-alone network has.

    Args:
      variables: of a network that holds every option.
      like: variables (or their shapes, from `jax.eval_shape`) of the stand-alone network.

    Returns:
      A tree like `like`: leaves found by name, and cut to the leading entries where the stand-alone layer is narrower.

    Raises:
      ValueError: a leaf of `like` is not in `variables`.
    """
    flat = traverse_util.flatten_dict(variables)
    wanted = traverse_util.flatten_dict(like)
    missing = [path for path in wanted if path not in flat]
    if missing:
        raise ValueError(f"variables: {'/'.join(missing[0])} is not there; are they of another network?")
    return traverse_util.unflatten_dict(
        {path: flat[path][tuple(slice(n) for n in jax.numpy.shape(leaf))] for path, leaf in wanted.items()}
    )
