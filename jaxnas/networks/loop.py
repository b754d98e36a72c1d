"""Modules of one structure compiled once: as a loop, one after another, or side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def over_modules(
    module: nn.Module, names: Sequence[str], apply: Callable, carry: Any, rows: Any = None, *, every: bool = False
) -> Any:
    """What `carry` is after `apply(carry, row, variables, mutable) -> (carry, updates)` for each of `names` in turn.

    The variables stay where each module alone would have them; they are put side by side for the loop only.

    Args:
      module: that holds the variables of `names`, all of one structure.
      names: of modules in it.
      apply: `variables` are a module's own, to be handed to its `apply` as is `mutable`; so are `updates`.
      carry: a pytree.
      rows: a pytree of arrays `[len(names), ...]`, or None.
      every: whether what it is after each of them is returned, `[len(names), ...]`.
    """
    held, mutable = _held(module, names)

    def step(carry, at):
        carry, updates = apply(carry, *at, mutable)
        return carry, (carry if every else None, updates)

    carry, (carries, updates) = jax.lax.scan(step, carry, (rows, held))
    _put(module, names, updates)
    return carries if every else carry


def beside_each_other(module: nn.Module, names: Sequence[str], apply: Callable, rows: Any = None) -> Any:
    """`[len(names), ...]`, the outputs of `apply(row, variables, mutable) -> (outputs, updates)` for each of `names`.

    What they read alike is computed once. Arguments as those of `over_modules`.
    """
    held, mutable = _held(module, names)
    outputs, updates = jax.vmap(lambda row, own: apply(row, own, mutable))(rows, held)
    _put(module, names, updates)
    return outputs


def initialized(module: nn.Module, names: Sequence[str], init: Callable) -> None:
    """Makes the variables of `names`, each those of `init(key) -> variables`, which is traced once for all."""
    _put(module, names, jax.vmap(init)(jax.random.split(module.make_rng("params"), len(names))))


def _held(module: nn.Module, names: Sequence[str]) -> tuple[dict, list[str]]:
    """The variables of `names` by collection, stacked, and which collections may change."""
    stacked = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    held = {c: stacked([v.get(name, {}) for name in names]) for c, v in module.variables.items()}
    return held, [c for c in held if c != "params" and module.is_mutable_collection(c)]


def _put(module: nn.Module, names: Sequence[str], updates: dict) -> None:
    for collection, tree in updates.items():
        for k, name in enumerate(names):
            module.put_variable(collection, name, jax.tree.map(lambda leaf, k=k: leaf[k], tree))
