"""Which point of a front a run recommends, and what that is worth beside a reference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def recommended(front: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> Mapping[str, Any]:
    """The member of a front (see `fronts.found`) of the highest fitness within the limits; else of the least excess."""
    excess = lambda member: sum(max(0.0, member["cost"][name] / limit - 1) for name, limit in limits.items())
    return min(front, key=lambda member: (excess(member), -member["fitness"]))


def in_words(own: Mapping[str, Any], reference: Mapping[str, Any], cost: str, *, unit: str, name: str) -> str:
    """A sentence that sets test accuracy and a measured cost beside the reference's.

    Args:
      own, reference: `accuracy`, of each seed, and `cost`, measured.
      cost: what it is, "latency" say.
      unit: of the cost.
      name: of the reference, "ResNet" say.
    """
    a, b = np.array(own["accuracy"], float), np.array(reference["accuracy"], float)
    difference, noise = a.mean() - b.mean(), np.sqrt((a.var() / len(a)) + (b.var() / len(b)))
    share = own["cost"] / reference["cost"]
    if abs(difference) <= 2 * noise:
        said = f"as accurate as the {name} within the noise of {len(a)} seeds"
    else:
        said = f"{'more' if difference > 0 else 'less'} accurate than the {name}"
    return (
        f"{said} ({100 * a.mean():.2f} against {100 * b.mean():.2f} %) at {share:.0%} of its {cost} "
        f"({own['cost']:.3g} against {reference['cost']:.3g} {unit})"
    )
