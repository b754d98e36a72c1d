"""What an optimizer is given of a network's parameters: a vector of all, or arrays by path where it needs them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxnas.training.paths import matching, path_of, paths
from jaxnas.training.recipe import Recipe

GROUPS = ("weights", "no_decay")


class Packing(NamedTuple):
    """Of one structure of parameters.

    Attributes:
      split: `params -> (packed, frozen)`: groups of parameters that are trained, "weights" and, where there are any,
        "no_decay", each a vector or a dict by path; and by path those that are not trained.
      join: the way back, `(packed, frozen) -> params`.
    """

    split: Callable[[Any], tuple[dict[str, Any], dict[str, jax.Array]]]
    join: Callable[[dict[str, Any], dict[str, jax.Array]], Any]


def packing_of(params: Any, recipe: Recipe) -> Packing:
    """How the parameters of a recipe are kept.

    One vector makes the optimizer one kernel over all parameters, where it treats each by itself.

    Args:
      params: or their shapes.
      recipe: `no_decay`, `frozen`, and whether its optimizer is elementwise.

    Raises:
      InputError: a pattern that matches nothing.
    """
    every, tree = paths(params), jax.tree.structure(params)
    frozen = matching("frozen", recipe.frozen, every) if recipe.frozen else set()
    bare = matching("no_decay", recipe.no_decay, every) if recipe.no_decay else set()
    group_of = {path: "no_decay" if path in bare else "weights" for path in every if path not in frozen}
    members = {group: [p for p in every if group_of.get(p) == group] for group in GROUPS}
    members = {group: found for group, found in members.items() if found}
    shapes = dict(zip(every, jax.tree.leaves(params), strict=True))
    # Their order is that of the paths' places in the tree, as that of a dict would be that of their names.
    listed = {group: [shapes[p] for p in found] for group, found in members.items()}
    unravel = {group: _unravel(leaves) for group, leaves in listed.items()} if recipe.elementwise else {}

    def split(params):
        by_path = {path_of(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(params)}
        packed = {group: [by_path[p] for p in found] for group, found in members.items()}
        kept = {p: by_path[p] for p in every if p in frozen}
        if recipe.elementwise:
            return {group: ravel_pytree(leaves)[0] for group, leaves in packed.items()}, kept
        return {group: dict(zip(members[group], leaves, strict=True)) for group, leaves in packed.items()}, kept

    def join(packed, kept):
        by_path = dict(kept)
        for group, found in members.items():
            leaves = unravel[group](packed[group]) if recipe.elementwise else [packed[group][p] for p in found]
            by_path.update(zip(found, leaves, strict=True))
        return jax.tree.unflatten(tree, [by_path[p] for p in every])

    return Packing(split, join)


def _unravel(leaves: list[Any]) -> Callable[[jax.Array], list[jax.Array]]:
    """From the vector of `ravel_pytree` to arrays like `leaves`, of which only shapes are looked at.

    Of a population network there may be more than memory holds, where each genome is compiled alone.
    """
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])[:-1]
    apart = lambda vector: zip(jnp.split(vector, ends), leaves, strict=True)
    return lambda vector: [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in apart(vector)]
