"""Published cells as strings of `evolved_transformer`: Transformer, and the Evolved Transformer."""

from collections.abc import Sequence

from jaxnas import check
from jaxnas.check import InputError


def transformer_cell(
    *,
    encoder_blocks: int = 6,
    decoder_blocks: int = 8,
    heads: int = 8,
    hidden: int = 8,
    cells: Sequence[int] = (6, 6),
) -> str:
    """Transformer (Vaswani et al., 2017, with the norm before each layer): `space.from_string` makes a genome of it.

    Args:
      encoder_blocks, decoder_blocks: of the space; 3 and 4 at least, those beyond hand on what is before them.
      heads: of self-attention.
      hidden: size of the feed-forward network's hidden layer, in halves of the network's width.
      cells: of encoder and decoder.

    Raises:
      InputError: too few blocks.
    """
    attention = _attended(0, f"attention_{heads}")
    encoder = [attention, *_feed_forward(1, hidden, "relu")]
    decoder = [attention, _attended(1, "attend_to_encoder"), *_feed_forward(2, hidden, "relu")]
    return _text(encoder, decoder, encoder_blocks, decoder_blocks, cells)


def evolved_cell(
    *, encoder_blocks: int = 6, decoder_blocks: int = 8, heads: int = 8, cells: Sequence[int] = (3, 4)
) -> str:
    """The Evolved Transformer (So, Liang and Le, 2019; base and big have as many cells), likewise.

    Args:
      encoder_blocks, decoder_blocks: of the space; 6 and 8 at least.
      heads: of self-attention; the decoder's first has twice as many, 16 at most.
      cells: of encoder and decoder.

    Raises:
      InputError: too few blocks.
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
    return _text(encoder, decoder, encoder_blocks, decoder_blocks, cells)


def _branch(state: int, layer: str, dim: int = 2, activation: str = "none", norm: str = "layer") -> str:
    return f"{state}.{norm}.{layer}.{dim}.{activation}"


def _dead(state: int) -> str:
    return _branch(state, "dead", norm="none")


def _joined(left: str, right: str) -> str:
    return f"add({left},{right})"


def _added(branch: str, state: int) -> str:
    """To a state."""
    return _joined(branch, _branch(state, "identity", norm="none"))


def _attended(state: int, layer: str) -> str:
    return _added(_branch(state, layer), state)


def _feed_forward(state: int, hidden: int, activation: str) -> list[str]:
    """Two blocks."""
    first = _joined(_branch(state, "conv_1", hidden, activation), _dead(state))
    return [first, _added(_branch(state + 1, "conv_1", norm="none"), state)]


def _text(
    encoder: list[str], decoder: list[str], encoder_blocks: int, decoder_blocks: int, cells: Sequence[int]
) -> str:
    if len(check.sequence("cells", cells, of=int)) != 2:
        raise InputError(f"cells: expected those of encoder and decoder, got {cells}.")
    parts = []
    for name, blocks, there, many in (
        ("encoder", encoder, encoder_blocks, cells[0]),
        ("decoder", decoder, decoder_blocks, cells[1]),
    ):
        check.integer(f"{name}_blocks", there, least=len(blocks), because="those of the cell")
        same = (_joined(_branch(i, "identity", norm="none"), _dead(i)) for i in range(len(blocks), there))
        parts += [f"{name}:{many}", *blocks, *same]
    return "|".join(parts)
