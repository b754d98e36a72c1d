"""Modules of one structure as one loop, so that they are compiled once."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def over_modules(module: nn.Module, names: Sequence[str], apply: Callable, carry: Any, rows: Any = None) -> Any:
    """What `carry` is after `apply(carry, row, variables, mutable) -> (carry, updates)` for each of `names` in turn.

    The variables stay where each module alone would have them; they are put side by side for the loop only.

    Args:
      module: that holds the variables of `names`, all of one structure.
      names: of modules in it.
      apply: `variables` are a module's own, to be handed to its `apply` as is `mutable`; so are `updates`.
      carry: a pytree.
      rows: a pytree of arrays `[len(names), ...]`, or None.
    """
    side_by_side = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    held = {c: side_by_side([v.get(name, {}) for name in names]) for c, v in module.variables.items()}
    mutable = [c for c in held if c != "params" and module.is_mutable_collection(c)]
    carry, updates = jax.lax.scan(lambda carry, at: apply(carry, *at, mutable), carry, (rows, held))
    for collection, tree in updates.items():
        for k, name in enumerate(names):
            module.put_variable(collection, name, jax.tree.map(lambda leaf, k=k: leaf[k], tree))
    return carry
