"""Options of a `Choice` that differ in the size of a kernel alone, computed as one.

Networks side by side compute every option for every member and select (see `jaxnas.population`). A convolution of 1 x 1
is one of 3 x 3 whose other taps are 0, so of a convolution of each size one is enough: that of the largest, with the
kernel and the normalization of the size chosen.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

FIELD = "kernel"
"""The attribute of a module that may differ."""
Variables = Mapping[str, Mapping[str, Any]]
"""`{collection: {option: tree}}`."""


class Merged(NamedTuple):
    """A choice with fewer options.

    Attributes:
      names: of the options that are left, the largest of each group.
      decision: which of them.
      variables: theirs, by the decision those of the option chosen.
      apart: `updates of variables -> updates of all options`, of which only the one chosen has changed.
    """

    names: list[str]
    decision: jax.Array
    variables: Variables
    apart: Callable[[Variables], Variables]


def merge(options: Mapping[str, Callable[..., nn.Module]], variables: Variables, decision: jax.Array) -> Merged:
    """The same choice with options merged that differ in their kernel alone."""
    groups = _groups(options)
    place = {name: k for k, group in enumerate(groups) for name in group}
    order = list(options)
    chosen = {name: decision == order.index(name) for name in order}

    def merged(group, held):
        def one(large, *others):
            for name, other in zip(group[1:], others, strict=True):
                large = jnp.where(chosen[name], _centred(other, large.shape), large)
            return large

        return jax.tree.map(one, *[held[name] for name in group])

    def apart(updates):
        keep = lambda name, new, old: jax.tree.map(lambda n, o: jnp.where(chosen[name], n, o), new, old)
        return {
            collection: {
                name: keep(name, made[group[0]], variables[collection][name])
                for group in groups
                for name in group
                if group[0] in made
            }
            for collection, made in updates.items()
        }

    own = {c: {group[0]: merged(group, held) for group in groups if group[0] in held} for c, held in variables.items()}
    return Merged([group[0] for group in groups], jnp.array([place[name] for name in order])[decision], own, apart)


def _groups(options: Mapping[str, Callable[..., nn.Module]]) -> list[list[str]]:
    """Names of options that can be computed as one, the largest kernel first; of most a name alone."""
    found: dict[Any, list[tuple[int, str]]] = {}
    for name, option in options.items():
        module = option(parent=None)
        kernel = getattr(module, FIELD, None)
        fields = [f for f in module.__dataclass_fields__ if f not in (FIELD, "name", "parent")]
        alike = isinstance(kernel, int) and kernel % 2 == 1  # can be centred in each other
        key = (type(module), *(str(getattr(module, f)) for f in fields)) if alike else name
        found.setdefault(key, []).append((kernel if alike else 0, name))
    return [[name for _, name in sorted(group, key=lambda pair: -pair[0])] for group in found.values()]


def _centred(small: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Zeros of a shape with `small` in the middle."""
    if small.shape == shape:
        return small
    return jnp.pad(small, [((n - m) // 2, n - m - (n - m) // 2) for n, m in zip(shape, small.shape, strict=True)])
