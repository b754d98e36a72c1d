"""Skip connections, whose number tells a collapsed search."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxnas.spaces import needed
from jaxnas.types import Space

NAMES = ("skip_connect", "identity")


def skip_connections(space: Space) -> tuple[tuple[str, ...], Callable]:
    """`(cells, genome [D] -> [cells, 2])`: for each cell how many skip connections it chose, of how many operations.

    A cell is the decisions of one prefix (`normal_0->2`), the whole genome where there is none. Decisions without a
    skip connection among their options do not count, nor does `none`.

    Raises:
      InputError: a space that is not categorical.
    """
    needed.categorical("skip_connections", space)
    counted = [d for d, options in enumerate(space.options) if set(options) & set(NAMES)]
    prefix = [space.decisions[d].split("_")[0] if "_" in space.decisions[d] else "cell" for d in counted]
    cells = tuple(dict.fromkeys(prefix))
    member = np.array([[p == cell for p in prefix] for cell in cells], bool).reshape(len(cells), len(counted))
    C = space.mask.shape[1]

    def among(names):
        rows = [[option in names for option in space.options[d]] for d in counted]
        return np.array([row + [False] * (C - len(row)) for row in rows], bool).reshape(-1, C)

    skips, nones = among(NAMES), among(("none",))

    def count(genome):
        at = genome[np.array(counted, np.int32)]
        rows = np.arange(len(counted), dtype=np.int32)
        is_skip, is_none = jnp.asarray(skips)[rows, at], jnp.asarray(nones)[rows, at]
        return jnp.stack([(member & is_skip).sum(1), (member & ~is_none).sum(1)], -1, dtype=jnp.int32)

    return cells, count
