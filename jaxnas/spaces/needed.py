"""What a part needs of the space it is given: refused by name, when it is built, where the space has not got it."""

from collections.abc import Callable
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.types import Space


class Missing:
    """In the place of a function that a space cannot have: raises `InputError` when it is called after all."""

    def __init__(self, message: str):
        self._message = message

    def __call__(self, *_) -> NoReturn:
        raise InputError(self._message)


def positions(fn: Callable) -> Callable:
    """Marks a `sample`, `mutate` or `crossover` of which it is sure that it gives positions in the options.

    The mark is the function's own, so that whoever puts another in its place takes the mark away as well.
    """
    fn.gives_positions = True
    return fn


def gives_positions(space: Space) -> bool:
    """Whether it is sure that all genomes that `sample` and `mutate` give are positions in the options."""
    return all(getattr(fn, "gives_positions", False) for fn in (space.sample, space.mutate))


SAID = {"from_index": "an enumeration (from_index)", "unpack": "decisions (unpack)"}
"""What fields are called in messages, where their names do not say it."""


def functions(part: str, space: Space, *names: str) -> None:
    """Raises `InputError` unless the space has all of these fields; `part` is who needs them."""
    lacking = [SAID.get(name, name) for name in names if not _has(space, name)]
    if lacking:
        raise InputError(
            f"{part} needs a space with {' and '.join(lacking)}, which space {space.name!r} has not; {_usable(space)}"
        )


def one_array(part: str, space: Space, *, flat: bool = False) -> None:
    """Raises `InputError` unless a genome is a single array, of one axis where `flat`."""
    genome = jax.eval_shape(space.sample, jax.random.key(0))
    if jax.tree.leaves(genome) != [genome] or (flat and genome.ndim != 1):
        raise InputError(
            f"{part} needs a space whose genomes are single arrays{' [D]' * flat}; those of space {space.name!r} are "
            f"{_said(genome)}. {_usable(space, begins=True)}"
        )


def categorical(part: str, space: Space, *names: str) -> np.ndarray:
    """`[D, C]` options of each decision; raises `InputError` unless the space is categorical.

    That is: a genome is one integer array `[D]`, each of which is a position among the options of its decision; and the
    fields `names` are there.
    """
    mask, genome = np.asarray(space.mask), jax.eval_shape(space.sample, jax.random.key(0))
    flat = jax.tree.leaves(genome) == [genome] and mask.ndim == 2 and len(mask) and genome.shape == mask.shape[:1]
    if not flat or not jnp.issubdtype(genome.dtype, jnp.integer):
        raise InputError(
            f"{part} needs a categorical space, whose genome is one integer array [D] with a mask [D, C] of options; "
            f"space {space.name!r} has genomes of {_said(genome)} and a mask {list(mask.shape)}. "
            f"{_usable(space, begins=True)}"
        )
    if not gives_positions(space):
        some = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 16)))
        for d, most in enumerate(mask.sum(1)):
            other = some[(some[:, d] < 0) | (some[:, d] >= most), d]
            if len(other):
                raise InputError(
                    f"{part} needs a space whose genomes are positions in the options; of space {space.name!r} "
                    f"decision {d} has {most} options, and a genome has {other[0]} there. {_usable(space, begins=True)}"
                )
    functions(part, space, *names)
    return mask


def _has(space: Space, name: str) -> bool:
    return getattr(space, name) is not None and not isinstance(getattr(space, name), Missing)


def _said(genome) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(genome))


def _usable(space: Space, *, begins: bool = False) -> str:
    """Which strategies the space has all that it takes for."""
    wants = {
        "random_search, hyperband, successive_halving": ("sample",),
        "regularized_evolution": ("mutate",),
        "nsga2": ("mutate", "crossover"),
        "local_search": ("neighbors",),
        "neat": ("mutate", "crossover", "distance"),
    }
    names = ", ".join(name for name, fields in wants.items() if all(_has(space, field) for field in fields))
    return f"{'S' if begins else 's'}trategies that work on it: {names}."
