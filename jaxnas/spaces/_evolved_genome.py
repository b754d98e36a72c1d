"""What a genome of `evolved_transformer` says, block by block, and which genomes are legal.

Functions here read all fields of a genome, those with one option included: `[n, 11]` positions in the options for each
of the encoder's and the decoder's blocks.
"""

from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

PARTS = ("encoder", "decoder")
SIDES = ("left", "right")
FIELDS = ("input", "norm", "layer", "dim", "activation")
COLUMNS = (*(f"{side}_{field}" for side in SIDES for field in FIELDS), "combiner")
INPUT, NORM, LAYER, DIM, ACTIVATION = range(len(FIELDS))
COMBINER = len(COLUMNS) - 1
ATTEND, IDENTITY, DEAD = "attend_to_encoder", "identity", "dead"
BASE = 2
"""Halves of the network's width in the width."""
TOO_WIDE = 10_000


class Options(NamedTuple):
    """Arguments of `spaces.evolved_transformer` that its network has too."""

    encoder_blocks: int
    decoder_blocks: int
    layers: tuple[str, ...]
    dims: tuple[int, ...]
    norms: tuple[str, ...]
    activations: tuple[str, ...]
    combiners: tuple[str, ...]
    cells: tuple[int, ...]
    widest: int

    def blocks(self, part: str) -> int:
        return self.encoder_blocks if part == "encoder" else self.decoder_blocks

    def layers_of(self, part: str) -> tuple[str, ...]:
        """Only a decoder has an encoder to attend to."""
        return self.layers if part == "encoder" else (*self.layers, ATTEND)

    def column(self, part: str, block: int, name: str) -> tuple[Any, ...]:
        """Options of one field."""
        if name == "combiner":
            return self.combiners
        field = name.partition("_")[2]
        return {
            "input": tuple(range(block + 1)),
            "norm": self.norms,
            "layer": self.layers_of(part),
            "dim": self.dims,
            "activation": self.activations,
        }[field]

    def fields(self) -> dict[str, tuple[Any, ...]]:
        """Name -> options of all fields, in the order of a genome."""
        of_blocks = {
            f"{part}_{i}_{name}": self.column(part, i, name)
            for part in PARTS
            for i in range(self.blocks(part))
            for name in COLUMNS
        }
        return {**of_blocks, **{f"{part}_cells": self.cells for part in PARTS}}

    def decisions(self) -> dict[str, tuple[Any, ...]]:
        """Those of which there is more than one option."""
        return {name: options for name, options in self.fields().items() if len(options) > 1}


class Tables(NamedTuple):
    """All fields of a genome.

    Attributes:
      encoder, decoder: `[n, 11]` by block.
      cells: `[2]`, of encoder and decoder.
    """

    encoder: chex.Array
    decoder: chex.Array
    cells: chex.Array


class Faults(NamedTuple):
    """What is wrong with a genome.

    Attributes:
      dead: for each part `[n]`, blocks of which both branches are dead.
      no_residual: for each part, whether no path of identities leads from a cell's input to its output.
      apart: whether the decoder does not attend to the encoder.
      widths: for each part `[cells, n + 1]` of a cell's hidden states, 0 for a cell that is not there.
    """

    dead: tuple[chex.Array, chex.Array]
    no_residual: tuple[chex.Array, chex.Array]
    apart: chex.Array
    widths: tuple[chex.Array, chex.Array]


class Grammar:
    """Reads and mends genomes of these options."""

    def __init__(self, options: Options):
        self.options = options
        fields = options.fields()
        self.decided = np.array([k for k, given in enumerate(fields.values()) if len(given) > 1], np.int32)
        self.size = len(fields)
        self.split = len(COLUMNS) * options.encoder_blocks
        of = lambda known, name: known.index(name) if name in known else -1
        self.identity, self.dead = of(options.layers, IDENTITY), of(options.layers, DEAD)
        self.attend = len(options.layers)
        self.no_norm, self.layer_norm = of(options.norms, "none"), of(options.norms, "layer")
        self.no_activation = of(options.activations, "none")
        self.add, self.concat = of(options.combiners, "add"), of(options.combiners, "concat")

    def tables(self, genome: chex.Array) -> Tables:
        """Of a genome `[D]`, of NumPy for one of NumPy."""
        if not isinstance(genome, jax.Array):
            fields = np.zeros(self.size, np.int32)
            fields[self.decided] = genome
            return self._apart(fields)
        return self._apart(jnp.zeros(self.size, jnp.int32).at[self.decided].set(genome))

    def genome(self, tables: Tables) -> chex.Array:
        """`[D]`, the inverse of `tables`."""
        return jnp.concatenate([table.ravel() for table in tables])[self.decided]

    def _apart(self, fields: chex.Array) -> Tables:
        block = lambda rows: rows.reshape(-1, len(COLUMNS))
        return Tables(block(fields[: self.split]), block(fields[self.split : -2]), fields[-2:])

    def faults(self, tables: Tables) -> Faults:
        parts = tables.encoder, tables.decoder
        return Faults(
            tuple(self._live(part).any(1) == 0 for part in parts),
            tuple(~self._residual(part) for part in parts),
            ~(tables.decoder[:, [LAYER, LAYER + len(FIELDS)]] == self.attend).any(),
            tuple(self._widths(part, cells) for part, cells in zip(parts, tables.cells, strict=True)),
        )

    def legal(self, genome: chex.Array) -> chex.Array:
        """Whether nothing is wrong with a genome `[D]`."""
        faults = self.faults(self.tables(genome))
        wrong = [faults.apart, *faults.no_residual, *(dead.any() for dead in faults.dead)]
        return ~jnp.stack([*wrong, *((w > self.options.widest).any() for w in faults.widths)]).any()

    def _live(self, part: chex.Array) -> chex.Array:
        """`[n, 2]` branches that are not dead."""
        return part[:, [LAYER, LAYER + len(FIELDS)]] != self.dead

    def unused(self, part: chex.Array) -> chex.Array:
        """`[n + 1]` hidden states that no live branch reads, which a cell's output is the sum of."""
        inputs = part[:, [INPUT, INPUT + len(FIELDS)], None] == np.arange(len(part) + 1)
        return ~(inputs & self._live(part)[..., None]).any((0, 1))

    def _residual(self, part: chex.Array) -> chex.Array:
        """Whether a cell's output has its input as a summand, through identities without norm or activation."""

        def step(reached, at):
            i, row = at
            sides = row[: 2 * len(FIELDS)].reshape(2, -1)
            through = (sides[:, LAYER] == self.identity) & (sides[:, NORM] == self.no_norm)
            through &= (sides[:, ACTIVATION] == self.no_activation) & reached[sides[:, INPUT]]
            added = (row[COMBINER] == self.add) | (sides[::-1, LAYER] == self.dead)
            return reached.at[i + 1].set((through & added).any()), None

        start = jnp.arange(len(part) + 1) == 0
        reached, _ = jax.lax.scan(step, start, (jnp.arange(len(part)), part))
        return (reached & self.unused(part)).any()

    def _widths(self, part: chex.Array, cells: chex.Array) -> chex.Array:
        """`[cells, n + 1]` widths of hidden states, in halves of the network's width."""
        unused, dims = self.unused(part), jnp.asarray(self.options.dims, jnp.int32)

        def block(widths, at):
            i, row = at
            sides = row[: 2 * len(FIELDS)].reshape(2, -1)
            own = jnp.where(sides[:, LAYER] == self.identity, widths[sides[:, INPUT]], dims[sides[:, DIM]])
            own = jnp.where(sides[:, LAYER] == self.dead, 0, own)
            joined = jnp.where(row[COMBINER] == self.concat, own.sum(), own.max())
            return widths.at[i + 1].set(jnp.minimum(joined, TOO_WIDE).astype(jnp.int32)), None

        def cell(width, there):
            start = jnp.zeros(len(part) + 1, jnp.int32).at[0].set(width)
            widths, _ = jax.lax.scan(block, start, (jnp.arange(len(part)), part))
            return jnp.where(unused, widths, 0).max(), jnp.where(there, widths, 0)

        there = np.arange(max(self.options.cells)) < jnp.asarray(self.options.cells)[cells]
        return jax.lax.scan(cell, jnp.int32(BASE), there)[1]

    def repaired(self, key: chex.PRNGKey, genome: chex.Array) -> chex.Array:
        """A legal genome `[D]`, of any: the same where it is legal.

        Of a block with two dead branches one becomes a random layer. Where there is no residual path, or nothing that
        attends to the encoder, a branch of some random blocks becomes an identity, which makes a path of them, and
        another attends. Where a state is too wide, all concatenations become sums.
        """
        tables = self.tables(genome)
        keys = jax.random.split(key, len(PARTS))
        parts = [
            self._repaired(key, part, tables[p], tables.cells[p])
            for p, (key, part) in enumerate(zip(keys, PARTS, strict=True))
        ]
        return jnp.where(self.legal(genome), genome, self.genome(Tables(*parts, tables.cells)))

    def _repaired(self, key, name: str, part: chex.Array, cells: chex.Array) -> chex.Array:
        n, (layer_key, path_key, attend_key) = len(part), jax.random.split(key, 3)
        sides, combiner = part[:, :COMBINER].reshape(n, len(SIDES), len(FIELDS)), part[:, COMBINER]
        joined = lambda sides, combiner: jnp.concatenate([sides.reshape(n, -1), combiner[:, None]], 1)
        attends = lambda sides: jnp.bool_(name == "encoder") | (sides[..., LAYER] == self.attend).any()
        living = np.flatnonzero(np.arange(len(self.options.layers_of(name))) != self.dead).astype(np.int32)
        drawn = jnp.asarray(living)[jax.random.randint(layer_key, (n,), 0, len(living), jnp.int32)]
        alive = (sides[..., LAYER] != self.dead).any(1)
        sides = sides.at[:, 0, LAYER].set(jnp.where(alive, sides[:, 0, LAYER], drawn))

        link, path = self._with_path(path_key, sides)
        wanted = ~attends(sides) | ~self._residual(joined(sides, combiner))
        sides = jnp.where(wanted, path, sides)
        combiner = jnp.where(wanted & link.any(1), self.add, combiner)
        beside = jnp.where(link.any(1, keepdims=True), ~link, np.arange(len(SIDES)) == 0)  # branches that are free
        block = np.arange(n) == jax.random.randint(attend_key, (), 0, n, jnp.int32)
        place = ~attends(sides) & block[:, None] & beside
        sides = sides.at[..., LAYER].set(jnp.where(place, self.attend, sides[..., LAYER]))

        wide = (self._widths(joined(sides, combiner), cells) > self.options.widest).any()
        return joined(sides, jnp.where(wide & (combiner == self.concat), self.add, combiner))

    def _with_path(self, key, sides: chex.Array) -> tuple[chex.Array, chex.Array]:
        """Branches `[n, 2]` that lead from state 0 to one that is not read, and all branches `[n, 2, 5]` with them."""
        n, (end_key, last_key, on_key, side_key) = len(sides), jax.random.split(key, 4)
        state = jnp.arange(1, n + 1, dtype=jnp.int32)
        end = jax.random.randint(end_key, (), 1, n + 1, jnp.int32)
        end = jnp.where(jax.random.bernoulli(last_key, jnp.float32(0.5)), n, end)
        on = (jax.random.bernoulli(on_key, jnp.float32(0.5), (n,)) & (state < end)) | (state == end)
        before = jnp.append(0, jax.lax.cummax(jnp.where(on, state, 0))[:-1]).astype(jnp.int32)
        link = on[:, None] & (jax.random.bernoulli(side_key, jnp.float32(0.5), (n, 1)) == np.arange(len(SIDES)))
        identity = jnp.array([0, self.no_norm, self.identity, 0, self.no_activation], jnp.int32)
        identity = jnp.tile(identity, (n, 1)).at[:, INPUT].set(before)[:, None]
        sides = sides.at[..., INPUT].set(jnp.where(sides[..., INPUT] == end, 0, sides[..., INPUT]))
        return link, jnp.where(link[..., None], identity, sides)

    def canonical(self, genome: chex.Array) -> chex.Array:
        """Without what says nothing (of a dead branch, of an identity's size), branches that commute in order."""
        tables = self.tables(genome)
        return self.genome(Tables(*(self._canonical(part) for part in tables[:2]), tables.cells))

    def _canonical(self, part: chex.Array) -> chex.Array:
        sides = part[:, : 2 * len(FIELDS)].reshape(len(part), 2, len(FIELDS))
        layer, field = sides[..., LAYER], np.arange(len(FIELDS))
        says_nothing = (layer == self.dead)[..., None] & (field != LAYER)
        says_nothing |= (layer == self.identity)[..., None] & (field == DIM)
        sides = jnp.where(says_nothing, 0, sides)
        live = self._live(part)
        combiner = jnp.where(live.all(1), part[:, COMBINER], self.add)
        radix = [max(len(self.options.column("decoder", len(part), f"left_{field}")), 1) for field in FIELDS]
        code = (sides * np.append(np.cumprod(radix[:0:-1])[::-1], 1).astype(np.int32)).sum(-1)
        code = jnp.where(live, code, jnp.iinfo(jnp.int32).max)
        swap = (code[:, 0] > code[:, 1]) & (combiner != self.concat)
        sides = jnp.where(swap[:, None, None], sides[:, ::-1], sides)
        return jnp.concatenate([sides.reshape(len(part), -1), combiner[:, None]], 1)

    def allowed(self, genome: chex.Array, d: chex.Array) -> chex.Array:
        """`[C]` options of decision d with which decisions 0 … d-1 of `genome` can become a legal genome.

        Of all that can follow a few genomes are as permissive as any: later blocks with a residual path and attention
        to the encoder, the same block with each branch that is still open an identity, attention, or dead.
        """
        options = self.options
        counts = np.array([len(given) for given in options.decisions().values()], np.int32)
        place = jnp.asarray(self.decided)[d]
        open_left, open_right = jnp.meshgrid(np.arange(3), np.arange(3))
        in_decoder = place >= self.split
        dead = self.dead if self.dead >= 0 else self.identity
        layers = jnp.stack([self.identity, jnp.where(in_decoder, self.attend, self.identity), dead]).astype(jnp.int32)

        def legal_with(option, left, right):
            rest = self._completion().at[self._layers_of_block(place)].set(jnp.stack([layers[left], layers[right]]))
            known = jnp.zeros(self.size, jnp.int32).at[self.decided].set(genome).at[place].set(option)
            fields = jnp.where(np.arange(self.size) <= place, known, rest)
            return self.legal(fields[self.decided])

        any_legal = lambda option: jax.vmap(partial(legal_with, option))(open_left.ravel(), open_right.ravel()).any()
        every = jnp.arange(counts.max())
        return jax.vmap(any_legal)(every) & (every < jnp.asarray(counts)[d])

    def _completion(self) -> chex.Array:
        """All fields of a legal genome, whose blocks each keep a residual path and, in the decoder, attend."""
        least = lambda sizes: sizes.index(min(sizes))
        side = lambda layer: (0, self.no_norm, layer, least(self.options.dims), self.no_activation)
        block = lambda left: (*side(left), *side(self.identity), self.add)
        encoder, decoder = block(self.identity) * self.options.encoder_blocks, block(self.attend)
        cells = (least(self.options.cells),) * 2
        return jnp.array([*encoder, *decoder * self.options.decoder_blocks, *cells], jnp.int32)

    def _layers_of_block(self, place: chex.Array) -> chex.Array:
        """`[2]`, where the layers of the block stand that a field belongs to; of no block, past the end."""
        first = place // len(COLUMNS) * len(COLUMNS)
        at = first + jnp.array([LAYER, LAYER + len(FIELDS)])
        return jnp.where(first < self.size - 2, at, self.size)
