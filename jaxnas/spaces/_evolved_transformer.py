"""The Evolved Transformer's search space (So, Liang and Le, 2019): cells of an encoder and of a decoder."""

import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.spaces._evolved_genome import BASE, COLUMNS, DEAD, FIELDS, IDENTITY, PARTS, SIDES, Faults, Grammar, Options
from jaxnas.spaces.needed import positions
from jaxnas.types import Space

LAYERS = (
    *(f"conv_{kernel}" for kernel in (1, 3)),
    *(f"separable_{kernel}" for kernel in (3, 5, 7, 9, 11)),
    *(f"lightweight_{kernel}_r{reduction}" for kernel in (3, 5, 7, 15) for reduction in (1, 4, 16)),
    *(f"attention_{heads}" for heads in (4, 8, 16)),
    "glu",
    IDENTITY,
    DEAD,
)
NORMS = ("layer", "none")
ACTIVATIONS = ("swish", "relu", "leaky_relu", "none")
COMBINERS = ("add", "concat", "multiply")
KINDS = r"(conv|separable)_(\d+)|(lightweight)_(\d+)_r(\d+)|(attention)_(\d+)|(glu|identity|dead)"
TRIES = 256
"""Mutants, or children, that are drawn until one is legal."""
RESIDUAL = "identities without norm or activation, added, that lead from the cell's input to its output"


def evolved_transformer(
    *,
    encoder_blocks: int = 6,
    decoder_blocks: int = 8,
    layers: Sequence[str] = LAYERS,
    dims: Sequence[int] = tuple(range(1, 11)),
    norms: Sequence[str] = NORMS,
    activations: Sequence[str] = ACTIVATIONS,
    combiners: Sequence[str] = COMBINERS,
    cells: Sequence[int] = (1, 2, 3, 4, 5, 6),
    widest: int = 20,
    probability: float = 0.025,
) -> Space:
    """A cell of the encoder and one of the decoder, and how many of each are stacked.

    A cell's blocks each make a hidden state of two: state 0 is the cell's input, block i makes state i + 1. A branch
    reads a state, normalized or as it is, and applies a layer and an activation; a combiner joins both branches. The
    output of a cell is the sum of the states that no branch reads. Decisions are `encoder_0_left_input`, `_left_norm`,
    `_left_layer`, `_left_dim`, `_left_activation`, the same of `right`, `encoder_0_combiner`, …, `decoder_7_combiner`,
    `encoder_cells` and `decoder_cells`, of those that have more than one option. Strings name every field, in that
    order, `encoder:CELLS|COMBINER(LEFT,RIGHT)|…|decoder:CELLS|…`, with LEFT and RIGHT as

        0.layer.attention_8.2.none    input.norm.layer.dim.activation

    Legal genomes have a block with a live branch everywhere, in each cell a residual path (identities without norm or
    activation, added) from its input to its output, a decoder that attends to the encoder, and no state of more than
    `widest`. Legal alone are what `sample` gives (random decisions, repaired where they are not), `mutate`,
    `crossover` (whole blocks of either parent) and `derive`; `from_string` names what is broken. The size counts
    genomes that are not legal too, as the paper does.

    Args:
      encoder_blocks, decoder_blocks: of a cell.
      layers: of a branch; convolutions `conv_K`, depthwise separable `separable_K`, and lightweight `lightweight_K_rR`
        with one kernel for R channels (Wu et al., 2019); self-attention `attention_HEADS`; "glu", a gated linear unit;
        "identity", whose output has its input's size; "dead", a branch that is not there. Branches of the decoder have
        "attend_to_encoder" besides.
      dims: output sizes of layers, in halves of the network's width.
      norms: "layer" and "none"; a mutation never takes a layer norm away.
      activations: "swish", "relu", "leaky_relu", "none".
      combiners: "add" and "multiply", which pad the narrower branch by 0 and 1, and "concat".
      cells: options of how many are stacked.
      widest: of a hidden state, in halves of the network's width; concatenations and identities may add up.
      probability: with which `mutate` changes each decision; it changes one at least.

    Raises:
      InputError: options that are not known, or without those of a residual path.
    """
    given = options_of(
        encoder_blocks, decoder_blocks, layers, dims, norms, activations, combiners, cells, widest
    )  # fmt: skip
    check.real("probability", probability, least=0, most=1)
    grammar, decisions = Grammar(given), given.decisions()
    space = categorical(decisions, name="evolved_transformer")
    counts, D = space.mask.sum(1).astype(np.int32), len(decisions)
    is_norm = np.array([name.endswith("_norm") for name in decisions])
    block = np.unique([re.match(r"[a-z]+_(\d+_)?", name)[0] for name in decisions], return_inverse=True)[1]
    find_faults = jax.jit(lambda genome: grammar.faults(grammar.tables(genome)))

    def first_of(draw, key, wanted):
        """What `draw` gives for the first of at most `TRIES` keys for which it is `wanted`, or the last."""
        again = lambda state: (state[0] + 1, draw(jax.random.fold_in(key, state[0])))
        searching = lambda state: (state[0] < TRIES) & ~wanted(state[1])
        return jax.lax.while_loop(searching, again, again((jnp.int32(0), None)))[1]

    @positions
    def sample(key):
        draw, repair = jax.random.split(key)
        return grammar.repaired(repair, space.sample(draw))

    @positions
    def mutate(key, genome):
        def draw(key):
            which, one, step = jax.random.split(key, 3)
            drawn = jax.random.bernoulli(which, jnp.float32(probability), (D,))
            alone = np.arange(D) == jax.random.randint(one, (), 0, D, jnp.int32)
            changed = jnp.where(drawn.any(), drawn, alone) & ~(is_norm & (genome == grammar.layer_norm))
            other = (genome + jax.random.randint(step, (D,), 1, counts, jnp.int32)) % counts
            return jnp.where(changed, other, genome)

        child = first_of(draw, key, lambda child: grammar.legal(child) & (child != genome).any())
        return jnp.where(grammar.legal(child), child, genome)

    def crossover(key, a, b):
        def draw(key):
            return jnp.where(jax.random.bernoulli(key, jnp.float32(0.5), (block.max() + 1,))[block], a, b)

        child = first_of(draw, key, grammar.legal)
        return jnp.where(grammar.legal(child), child, a)

    def neighbors(genome):
        genomes, there = space.neighbors(genome)
        return genomes, there & jax.vmap(grammar.legal)(genomes)

    def to_string(genome):
        tables = grammar.tables(np.asarray(genome))
        parts = []
        for part, table, cells in zip(PARTS, tables[:2], tables.cells, strict=True):
            blocks = (_block_text(given, part, i, row) for i, row in enumerate(table))
            parts.append("|".join([f"{part}:{given.cells[int(cells)]}", *blocks]))
        return "|".join(parts)

    def from_string(text):
        fields = _parsed(given, text)
        genome = np.array([fields[name] for name in decisions], np.int32)
        fault = _said(given, jax.tree.map(np.asarray, find_faults(genome)))
        if fault:
            raise InputError(f"space 'evolved_transformer': {fault}")
        return genome

    return space._replace(
        sample=sample,
        mutate=mutate,
        crossover=crossover,
        canonical=grammar.canonical,
        neighbors=neighbors,
        derive=lambda weights: grammar.repaired(jax.random.key(0), space.derive(weights)),
        allowed=grammar.allowed,
        to_string=to_string,
        from_string=from_string,
        index=None,
        from_index=None,
    )


def why_illegal(space: Space, genome: Any) -> str | None:
    """(host) Which constraint of `evolved_transformer` a genome `[D]` breaks, in words; None where it is legal."""
    try:
        space.from_string(space.to_string(genome))
    except InputError as error:
        return str(error)
    return None


def options_of(
    encoder_blocks: int,
    decoder_blocks: int,
    layers: Sequence[str],
    dims: Sequence[int],
    norms: Sequence[str],
    activations: Sequence[str],
    combiners: Sequence[str],
    cells: Sequence[int],
    widest: int,
) -> Options:
    """All of them, checked."""
    for name, blocks in {"encoder_blocks": encoder_blocks, "decoder_blocks": decoder_blocks}.items():
        check.integer(name, blocks, least=1, most=64)
    for layer in check.sequence("layers", layers, of=str):
        if re.fullmatch(KINDS, layer) is None:
            check.one_of("layers", layer, LAYERS)
        kind, sizes = layer_of(layer)
        if 0 in sizes or (kind not in ("attention", "lightweight") and any(size % 2 == 0 for size in sizes)):
            raise InputError(f"layers: expected odd kernels, and sizes of 1 at least, got {layer!r}.")
    needed = {"norms": (NORMS, "none"), "activations": (ACTIVATIONS, "none"), "combiners": (COMBINERS, "add")}
    for name, options in {"norms": norms, "activations": activations, "combiners": combiners}.items():
        known, least = needed[name]
        for option in check.sequence(name, options):
            check.one_of(name, option, known)
        if least not in options:
            raise InputError(f"{name}: expected {least!r} among them, which a residual path takes, got {options}.")
    if IDENTITY not in layers or len(layers) < 2:
        raise InputError(f"layers: expected {IDENTITY!r}, which a residual path takes, and another, got {layers}.")
    for name, sizes in {"dims": dims, "cells": cells}.items():
        for size in check.sequence(name, sizes):
            check.integer(name, size, least=1)
        if not sizes:
            raise InputError(f"{name}: expected one at least, got none.")
    check.integer("widest", widest, least=max(BASE, *dims), because="the largest of dims, and the network's width")
    repeats = {"layers": layers, "dims": dims, "norms": norms, "activations": activations, "combiners": combiners}
    for name, options in {**repeats, "cells": cells}.items():
        if len(set(options)) < len(options):
            raise InputError(f"{name}: expected options that differ, got {list(options)}.")
    of_branches = map(tuple, (layers, dims, norms, activations, combiners, cells))
    return Options(int(encoder_blocks), int(decoder_blocks), *of_branches, int(widest))


def layer_of(name: str) -> tuple[str, tuple[int, ...]]:
    """Kind of a layer and its sizes: ("lightweight", (7, 4))."""
    kind, *sizes = (part for part in re.split(r"_r?(?=\d)", name) if part)
    return kind, tuple(map(int, sizes))


def _block_text(given: Options, part: str, block: int, row: Sequence[int]) -> str:
    labels = [str(given.column(part, block, name)[i]) for name, i in zip(COLUMNS, row.tolist(), strict=True)]
    left, right = (".".join(labels[at : at + len(FIELDS)]) for at in (0, len(FIELDS)))
    return f"{labels[-1]}({left},{right})"


def _parsed(given: Options, text: str) -> dict[str, int]:
    """Name -> position of all fields."""
    where = "space 'evolved_transformer'"
    halves = re.fullmatch(r"encoder:(\d+)\|(.*)\|decoder:(\d+)\|(.*)", text.strip())
    if halves is None:
        raise InputError(f"{where}: expected 'encoder:CELLS|BLOCK|…|decoder:CELLS|BLOCK|…', got {text!r}.")
    fields = {}
    for part, cells, half in zip(PARTS, halves.groups()[::2], halves.groups()[1::2], strict=True):
        known = [str(option) for option in given.cells]
        check.one_of(f"{where}, {part}, cells", cells, known)
        fields[f"{part}_cells"] = known.index(cells)
        blocks = half.split("|")
        if len(blocks) != given.blocks(part):
            raise InputError(f"{where}, {part}: expected {given.blocks(part)} blocks, got {len(blocks)} ({half!r}).")
        for i, block in enumerate(blocks):
            branch = r"(\d+)\.(\w+)\.(\w+)\.(\d+)\.(\w+)"
            match = re.fullmatch(rf"(\w+)\({branch},{branch}\)", block)
            if match is None:
                raise InputError(
                    f"{where}, {part}, block {i}: expected 'COMBINER(INPUT.NORM.LAYER.DIM.ACTIVATION,INPUT.…)', got "
                    f"{block!r}."
                )
            combiner, *labels = match.groups()
            for name, label in zip(COLUMNS, [*labels, combiner], strict=True):
                known = [str(option) for option in given.column(part, i, name)]
                check.one_of(f"{where}, {part}, block {i}, {name}", label, known)
                fields[f"{part}_{i}_{name}"] = known.index(label)
    return fields


def _said(given: Options, faults: Faults) -> str | None:
    """The first fault in words."""
    for part, dead in zip(PARTS, faults.dead, strict=True):
        if dead.any():
            return (
                f"both branches of block {dead.argmax()} of the {part} are dead; expected a layer in one of its "
                f"branches, {' or '.join(SIDES)}."
            )
    for part, lacks in zip(PARTS, faults.no_residual, strict=True):
        if lacks:
            return f"the {part} has no residual path; expected {RESIDUAL}."
    if faults.apart:
        return "the decoder does not attend to the encoder; expected a branch of it with layer 'attend_to_encoder'."
    for part, widths in zip(PARTS, faults.widths, strict=True):
        if (widths > given.widest).any():
            cell, state = np.argwhere(widths > given.widest)[0].tolist()
            return (
                f"block {state - 1} of the {part} makes a state of {widths[cell, state]} halves of the width in cell "
                f"{cell}; expected at most {given.widest} (widest)."
            )
    return None
