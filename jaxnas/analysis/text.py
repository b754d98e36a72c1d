"""Numbers and paths in words."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxnas.types import Space


def spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    """Mean and standard deviation."""
    deviation = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}{unit}"


def relative(path: str | pathlib.Path) -> str:
    """The path as the user would type it."""
    here, path = pathlib.Path.cwd(), pathlib.Path(path)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def size(space: Space) -> str:
    """How many genomes it has."""
    if not math.isfinite(space.size):
        return "unbounded search space"
    return f"{space.size:,} genomes" if space.size < 1e15 else f"{space.size:.1e} genomes"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
