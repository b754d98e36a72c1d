"""Published cells as genomes of `evolved_transformer`: Transformer, and the Evolved Transformer."""

from collections.abc import Sequence

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.types import Space


def transformer_cell(space: Space, *, heads: int = 8, hidden: int = 8, cells: tuple[int, int] = (6, 6)) -> np.ndarray:
    """Transformer (Vaswani et al., 2017, with the norm before each layer) as a genome `[D]`.

    Args:
      space: an `evolved_transformer` of 3 blocks in the encoder and 4 in the decoder at least; of blocks beyond these
        each hands on what is before it.
      heads: of self-attention.
      hidden: size of the feed-forward network's hidden layer, in halves of the network's width.
      cells: of encoder and decoder.

    Raises:
      InputError: what of it the space has not.
    """
    attention = _attended(0, f"attention_{heads}")
    encoder = [attention, *_feed_forward(1, hidden, "relu")]
    decoder = [attention, _attended(1, "attend_to_encoder"), *_feed_forward(2, hidden, "relu")]
    return _genome(space, encoder, decoder, cells)


def evolved_cell(space: Space, *, heads: int = 8, cells: tuple[int, int] = (3, 4)) -> np.ndarray:
    """The Evolved Transformer (So, Liang and Le, 2019; base and big have as many cells) as a genome `[D]`.

    Args:
      space: an `evolved_transformer` of 6 blocks in the encoder and 8 in the decoder at least.
      heads: of self-attention; the decoder's first has twice as many, 16 at most.
      cells: of encoder and decoder.

    Raises:
      InputError: what of it the space has not.
    """
    encoder = [
        _added(_branch(0, "glu"), 0),
        _joined(_branch(1, "conv_1", 8, "relu"), _branch(1, "conv_3", 1, "relu")),
        _added(_branch(2, "separable_9", 1), 1),
        _attended(3, f"attention_{heads}"),
        *_feed_forward(4, 8, "relu"),
    ]
    decoder = [
        _joined(_branch(0, f"attention_{min(2 * heads, 16)}"), _branch(0, "attend_to_encoder")),
        _joined(_branch(1, "identity", norm="none"), _branch(0, "identity", norm="none")),
        _joined(_branch(2, "separable_11", 4, "relu"), _branch(2, "separable_7", 1)),
        _added(_branch(3, "separable_7"), 2),
        _attended(4, f"attention_{heads}"),
        _attended(5, "attend_to_encoder"),
        *_feed_forward(6, 8, "swish"),
    ]
    return _genome(space, encoder, decoder, cells)


def _branch(state: int, layer: str, dim: int = 2, activation: str = "none", norm: str = "layer") -> str:
    return f"{state}.{norm}.{layer}.{dim}.{activation}"


def _joined(left: str, right: str) -> str:
    return f"add({left},{right})"


def _added(branch: str, state: int) -> str:
    """To a state."""
    return _joined(branch, _branch(state, "identity", norm="none"))


def _attended(state: int, layer: str) -> str:
    return _added(_branch(state, layer), state)


def _feed_forward(state: int, hidden: int, activation: str) -> list[str]:
    """Two blocks."""
    first = _joined(_branch(state, "conv_1", hidden, activation), _branch(state, "dead", norm="none"))
    return [first, _added(_branch(state + 1, "conv_1", norm="none"), state)]


def _genome(space: Space, encoder: list[str], decoder: list[str], cells: Sequence[int]) -> np.ndarray:
    if len(check.sequence("cells", cells, of=int)) != 2:
        raise InputError(f"cells: expected those of encoder and decoder, got {cells}.")
    parts = []
    for name, blocks, many in zip(("encoder", "decoder"), (encoder, decoder), cells, strict=True):
        there = sum(
            decision.startswith(f"{name}_") and decision.endswith("_left_layer") for decision in space.decisions
        )
        if there < len(blocks):
            raise InputError(
                f"space {space.name!r}: expected {len(blocks)} blocks of the {name} at least, got {there}."
            )
        same = [
            _joined(_branch(i, "identity", norm="none"), _branch(i, "dead", norm="none"))
            for i in range(len(blocks), there)
        ]
        parts.append("|".join([f"{name}:{many}", *blocks, *same]))
    return space.from_string("|".join(parts))
