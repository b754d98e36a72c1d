"""Whether a differentiable search has collapsed: to cells of skip connections."""

from typing import Any

import jax
import numpy as np

from jaxnas.spaces import skip_connections
from jaxnas.types import Genome, Space


def skips(space: Space, genome: Genome) -> dict[str, Any]:
    """Skip connections by cell, and whether any cell has collapsed: most of its operations are skip connections.

    Empty for spaces without.
    """
    cells, count = skip_connections(space)
    if not cells:
        return {}
    counts = np.asarray(count(jax.numpy.asarray(genome)))
    found = {cell: f"{n} of {of}" for cell, (n, of) in zip(cells, counts.tolist(), strict=True)}
    return {"skip_connections": found, "collapsed": bool((2 * counts[:, 0] > counts[:, 1]).any())}
