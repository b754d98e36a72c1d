"""What a strategy, an evaluator or a network needs of a space: a space without it is refused by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.types import Space


def positions(fn: Callable) -> Callable:
    """Marks a `sample`, `mutate` or `crossover` of which it is sure that it gives positions in the options.

    The mark is the function's own, so that another in its place does not have it.
    """
    fn.gives_positions = True
    return fn


def gives_positions(space: Space) -> bool:
    """Whether it is sure that all genomes that `sample` and `mutate` give are positions in the options."""
    return all(getattr(fn, "gives_positions", False) for fn in (space.sample, space.mutate))


SAID = {"index": "an enumeration (index)", "from_index": "an enumeration (from_index)"}
"""What fields are called in messages, where their names do not say it."""
CATEGORICAL = {"decisions", "options", "mask", "unpack", "derive"}
"""Fields that only a categorical space can have; `neighbors` and `features` others could define."""


def functions(part: str, space: Space, *names: str) -> None:
    """Raises `InputError` unless the space has all of the fields `names`, which `part` needs."""
    lacking = [name for name in names if not _has(space, name)]
    if CATEGORICAL & set(lacking):
        raise _not_categorical(part, space)
    if lacking:
        raise InputError(
            f"{part} needs a space with {' and '.join(SAID.get(name, name) for name in lacking)}, which space "
            f"{space.name!r} has not. {_usable(space)}"
        )


def free_combinations(part: str, space: Space, instead: str) -> None:
    """Raises `InputError` where the space restricts which options go together, which `part` does not look at."""
    if space.allowed is not None:
        raise InputError(
            f"{part} combines any options, but space {space.name!r} restricts combinations of options; use {instead} "
            "instead."
        )


def one_array(part: str, space: Space, *, flat: bool = False) -> None:
    """Raises `InputError` unless a genome is a single array, of one axis where `flat`."""
    genome = jax.eval_shape(space.sample, jax.random.key(0))
    if jax.tree.leaves(genome) != [genome] or (flat and genome.ndim != 1):
        raise InputError(
            f"{part} needs a space whose genomes are single arrays{' [D]' * flat}; those of space {space.name!r} are "
            f"{_said(genome)}. {_usable(space)}"
        )


def categorical(part: str, space: Space, *names: str) -> np.ndarray:
    """`[D, C]` options of each decision; raises `InputError` unless the space is categorical.

    That is: a genome is one integer array `[D]`, each of which is a position among the options of its decision; and the
    fields `names` are there.
    """
    if space.mask is None:
        raise _not_categorical(part, space)
    mask, genome = np.asarray(space.mask), jax.eval_shape(space.sample, jax.random.key(0))
    flat = jax.tree.leaves(genome) == [genome] and mask.ndim == 2 and len(mask) and genome.shape == mask.shape[:1]
    if not flat or not jnp.issubdtype(genome.dtype, jnp.integer):
        raise _not_categorical(part, space)
    if not gives_positions(space):
        some = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 16)))
        for d, most in enumerate(mask.sum(1)):
            other = some[(some[:, d] < 0) | (some[:, d] >= most), d]
            if len(other):
                raise InputError(
                    f"{part} needs a space whose genomes are positions in the options; of space {space.name!r} "
                    f"decision {d} has {most} options, and a genome has {other[0]} there. {_usable(space)}"
                )
    functions(part, space, *names)
    return mask


def _not_categorical(part: str, space: Space) -> InputError:
    genome = jax.eval_shape(space.sample, jax.random.key(0))
    mask = "no mask" if space.mask is None else f"a mask {list(np.shape(space.mask))}"
    return InputError(
        f"{part} needs a categorical space, which {space.name!r} is not: expected genomes of one integer array [D] and "
        f"a mask [D, C] of options, got {_said(genome)} and {mask}. {_usable(space)}"
    )


def _has(space: Space, name: str) -> bool:
    value = getattr(space, name)
    return value is not None and not (isinstance(value, tuple) and not value)


def _said(genome) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(genome))


def _usable(space: Space) -> str:
    """Which strategies the space has all that it takes for."""
    wants = {
        "random_search, hyperband, successive_halving": ("sample",),
        "regularized_evolution": ("mutate",),
        "nsga2": ("mutate", "crossover"),
        "local_search": ("neighbors",),
        "neat": ("mutate", "crossover", "distance"),
    }
    names = ", ".join(name for name, fields in wants.items() if all(_has(space, field) for field in fields))
    return f"Strategies that work on it: {names}."
