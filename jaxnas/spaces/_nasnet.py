"""The NASNet search space (Zoph, Vasudevan, Shlens and Le, 2018, section 3): a normal and a reduction cell."""

import re
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.types import Space

CELLS = ("normal", "reduction")
OPERATIONS = (
    "identity",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)


def nasnet(*, blocks: int = 5, operations: Sequence[str] = OPERATIONS) -> Space:
    """Two cells of `blocks` blocks; a block adds two operations, each on one of the states before it.

    States 0 and 1 are the outputs of the cell before last and of the last cell; block i makes state i + 2. The output
    of a cell concatenates the blocks that no other block uses. Decisions are `CELL_BLOCK_SLOT_input` and
    `CELL_BLOCK_SLOT_op`, slots a and b, in the order in which the controller of the paper predicts them. Strings are

        normal|op~state+op~state|…|reduction|op~state+op~state|…|

    `canonical` orders the two halves of each block, whose sum does not depend on it. The paper's controller also chose
    between addition and concatenation; here a block always adds, as in AmoebaNet (Real et al., 2019) and all cells that
    the paper reports.

    Args:
      blocks: B, of each cell.
      operations: at least two of `OPERATIONS`; AmoebaNet used eight.

    Raises:
      InputError: an unknown operation, or a number out of its range.
    """
    check.integer("blocks", blocks, least=1)
    operations = check.sequence("operations", operations)
    for operation in operations:
        check.one_of("operations", operation, OPERATIONS)
    decisions = {}
    for cell in CELLS:
        for i in range(blocks):
            decisions |= {f"{cell}_{i}_{slot}_input": tuple(range(i + 2)) for slot in "ab"}
            decisions |= {f"{cell}_{i}_{slot}_op": operations for slot in "ab"}
    space = categorical(decisions, name="nasnet")
    shape = (len(CELLS), blocks, 2, 2)  # of a genome: cell, block, (input, op), slot

    def canonical(genome):
        parts = genome.reshape(shape)
        code = parts[:, :, 0] * len(operations) + parts[:, :, 1]
        swapped = (code[..., 0] > code[..., 1])[..., None, None]
        return jnp.where(swapped, parts[..., ::-1], parts).reshape(-1)

    def to_string(genome):
        text = ""
        for cell, part in zip(CELLS, np.asarray(genome).reshape(shape), strict=True):
            pairs = ("+".join(f"{operations[op]}~{state}" for state, op in block.T) for block in part)
            text += f"{cell}|{'|'.join(pairs)}|"
        return text

    def from_string(text):
        halves = re.fullmatch(r"normal\|(.*)\|reduction\|(.*)\|", text.strip())
        if halves is None:
            raise InputError(f"space 'nasnet': expected 'normal|…|reduction|…|', got {text!r}.")
        genome = np.zeros(shape, np.int32)
        for c, (cell, half) in enumerate(zip(CELLS, halves.groups(), strict=True)):
            pairs = half.split("|")
            if len(pairs) != blocks:
                raise InputError(f"space 'nasnet', {cell}: expected {blocks} blocks, got {len(pairs)} ({half!r}).")
            for i, pair in enumerate(pairs):
                terms = [re.fullmatch(r"(\w+)~(\d+)", term) for term in pair.split("+")]
                if len(terms) != 2 or None in terms:
                    raise InputError(f"space 'nasnet', {cell}, block {i}: expected 'op~state+op~state', got {pair!r}.")
                for slot, (operation, state) in enumerate(term.groups() for term in terms):
                    where = f"space 'nasnet', {cell}, block {i}"
                    check.one_of(where, operation, operations)
                    check.integer(f"{where}, state", int(state), least=0, most=i + 1, because="those before the block")
                    genome[c, i, :, slot] = int(state), operations.index(operation)
        return genome.reshape(-1)

    return space._replace(canonical=canonical, to_string=to_string, from_string=from_string)
