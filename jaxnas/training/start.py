"""What a training begins with: a network's own initial values, or those of another training."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import traverse_util

from jaxnas.check import InputError
from jaxnas.networks._extract import part_of

Variables = Mapping[str, Any]
Initialize = Variables | Callable[[jax.Array, Any, Variables], Variables] | None


def started(initialize: Initialize, key: jax.Array, decisions: Any, own: Variables) -> Variables:
    """Variables to begin with, in place of a network's own.

    Args:
      initialize: `{"params": …}` of the same network, of one that holds it (a supernet's, a population's), or of a part
        of it, by path; what is not there stays as it is. Or a function `(key, decisions, variables) -> variables`.
        None for the network's own.
      key: of the member.
      decisions: of the network.
      own: what it initializes itself with.

    Raises:
      InputError: variables of another network: none of its paths, or another shape.
    """
    if initialize is None:
        return own
    wanted = traverse_util.flatten_dict(own)
    if callable(initialize):
        made = traverse_util.flatten_dict(initialize(key, decisions, own))
        shapes = lambda flat: {path: leaf.shape for path, leaf in flat.items()}
        if shapes(made) != shapes(wanted):
            wrong = next(iter({*made} ^ {*wanted}), None) or next(p for p in made if made[p].shape != wanted[p].shape)
            raise InputError(f"initialize: the function gives variables of another network, at {'/'.join(wrong)}.")
        return traverse_util.unflatten_dict(made)
    if not isinstance(initialize, Mapping):
        raise InputError(f"initialize: expected variables or a function, got {type(initialize).__name__}.")
    given = {path: part_of(initialize, path, leaf.shape) for path, leaf in wanted.items()}
    if all(leaf is None for path, leaf in given.items() if path[0] == "params"):
        first = "/".join(next(path for path in wanted if path[0] == "params"))
        raise InputError(f"initialize: none of the network's parameters is there ({first} the first).")
    kept = {
        path: wanted[path] if leaf is None else jax.numpy.asarray(leaf, wanted[path].dtype)
        for path, leaf in given.items()
    }
    return traverse_util.unflatten_dict(kept)
