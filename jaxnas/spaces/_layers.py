"""A sequence of layers, of which each is one of some operations: the plainest space for data of any shape."""

from collections.abc import Sequence

from jaxnas import check
from jaxnas.spaces._categorical import categorical
from jaxnas.types import Space


def layers(operations: Sequence[str], *, depth: int = 4) -> Space:
    """Space of `depth` decisions `layer_0`, `layer_1`, …, each among the same operations.

    Args:
      operations: names that the network knows (`networks.Layers`: "identity", "dense", "conv_3", …).
      depth: number of layers.

    Raises:
      InputError: fewer than two operations, or no layer.
    """
    check.integer("depth", depth, least=1)
    options = check.sequence("operations", operations, of=str)
    return categorical({f"layer_{i}": options for i in range(depth)}, name="layers")
