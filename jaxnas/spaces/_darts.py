"""The DARTS search space (Liu, Simonyan and Yang, 2019): a normal and a reduction cell of four nodes."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.spaces.needed import positions
from jaxnas.types import Space

CELLS = ("normal", "reduce")
OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
EDGES = tuple((j, i) for i in range(2, 6) for j in range(i))
"""(from, to) of a cell's edges: states 0 and 1 are the outputs of the cell before last and the last, 2 to 5 nodes."""
INPUTS = 2
"""Edges that a node keeps."""


def darts() -> Space:
    """Two cells of 14 edges; each of the four nodes keeps two incoming edges, each with one of seven operations.

    Decisions are `CELL_FROM->TO`; option 0, `none`, stands for an edge that is not kept. A genome keeps exactly two for
    each node: `sample`, `mutate`, `crossover` and `derive` see to that, and `allowed` says so to policies. `derive`
    keeps the two incoming edges whose strongest operation (other than `none`) weighs most, as published. Strings are
    the published `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=range(2, 6), reduce=[…], …)`, two pairs of
    operation and input state for each node; read in any order, written by increasing input.
    """
    names = [f"{cell}_{j}->{i}" for cell in CELLS for j, i in EDGES]
    space = categorical(dict.fromkeys(names, OPERATIONS), name="darts")
    D, C = space.mask.shape
    node = np.array([4 * c + i for c in range(len(CELLS)) for _, i in EDGES], np.int32)  # which node an edge leads to
    siblings = node[:, None] == node[None]
    earlier = np.arange(D)[None] < np.arange(D)[:, None]
    first_node = np.array([i == 2 for _ in CELLS for _, i in EDGES])

    def strongest(strength):
        """`[D]` bool: the two edges of each node of most strength, the earlier ones on ties."""
        above = (strength[None] > strength[:, None]) | (strength[None] == strength[:, None]) & earlier
        return (siblings & above).sum(1) < INPUTS

    @positions
    def sample(key):
        edge_key, op_key = jax.random.split(key)
        op = jax.random.randint(op_key, (D,), 1, C, jnp.int32)
        return jnp.where(strongest(jax.random.uniform(edge_key, (D,), jnp.float32)), op, 0)

    def derive(weights):
        return jnp.where(strongest(weights[:, 1:].max(1)), 1 + jnp.argmax(weights[:, 1:], 1), 0).astype(jnp.int32)

    @positions
    def mutate(key, genome):
        """Another operation on an edge, or the edge moved to another input, each half of the time where both can be."""
        edge_key, kind_key, op_key, to_key = jax.random.split(key, 4)
        kept = genome > 0
        edge = jnp.argmax(jnp.where(kept, jax.random.uniform(edge_key, (D,), jnp.float32), -1))
        op = 1 + (genome[edge] - 1 + jax.random.randint(op_key, (), 1, C - 1, jnp.int32)) % (C - 1)
        free = jnp.asarray(siblings)[edge] & ~kept
        to = jnp.argmax(jnp.where(free, jax.random.uniform(to_key, (D,), jnp.float32), -1))
        moved = genome.at[to].set(genome[edge]).at[edge].set(0)
        moves = jax.random.bernoulli(kind_key, jnp.float32(0.5)) & ~jnp.asarray(first_node)[edge]
        return jnp.where(moves, moved, genome.at[edge].set(op))

    def crossover(key, a, b):
        """Each node with all of its inputs from either parent."""
        return jnp.where(jax.random.bernoulli(key, jnp.float32(0.5), (node.max() + 1,))[node], a, b)

    edges, ops = np.meshgrid(np.arange(D, dtype=np.int32), np.arange(1, C, dtype=np.int32), indexing="ij")
    edges, ops = edges.ravel(), ops.ravel()
    here, there = np.argwhere(siblings & ~np.eye(D, dtype=bool)).T.astype(np.int32)

    def neighbors(genome):
        other = jax.vmap(lambda e, o: genome.at[e].set(o))(edges, ops)
        moved = jax.vmap(lambda e, to: genome.at[to].set(genome[e]).at[e].set(0))(here, there)
        kept = genome > 0
        return jnp.concatenate([other, moved]), jnp.concatenate(
            [kept[edges] & (genome[edges] != ops), kept[here] & ~kept[there]]
        )

    def allowed(genome, d):
        before = jnp.asarray(siblings & earlier)[d]
        kept = (before & (genome > 0)).sum(dtype=jnp.int32)
        left = jnp.asarray((siblings & earlier.T).sum(1, dtype=np.int32))[d]  # edges of the node that are still to come
        option = jnp.arange(C)
        return jnp.where(option == 0, kept + left >= INPUTS, kept < INPUTS)

    def to_string(genome):
        parts = []
        for cell, half in zip(CELLS, np.asarray(genome).reshape(len(CELLS), -1), strict=True):
            pairs = [(OPERATIONS[op], j) for op, (j, _) in zip(half.tolist(), EDGES, strict=True) if op]
            parts.append(f"{cell}={pairs}, {cell}_concat=range(2, 6)")
        return f"Genotype({', '.join(parts)})"

    def from_string(text):
        genome = np.zeros((len(CELLS), len(EDGES)), np.int32)
        for c, cell in enumerate(CELLS):
            match = re.search(rf"\b{cell}\s*=\s*\[(.*?)\]", text, re.DOTALL)
            pairs = re.findall(r"\(\s*['\"](\w+)['\"]\s*,\s*(\d+)\s*\)", match.group(1)) if match else []
            if len(pairs) != 2 * INPUTS * 2:
                raise InputError(
                    f"space 'darts', {cell}: expected Genotype({cell}=[('OPERATION', STATE), …], …) with 8 pairs, two "
                    f"for each of four nodes, got {len(pairs)} in {text!r}."
                )
            concat = re.search(rf"\b{cell}_concat\s*=\s*(range\(2, 6\)|\[2, 3, 4, 5\])", text)
            if concat is None:
                raise InputError(f"space 'darts', {cell}_concat: expected range(2, 6), all four nodes, in {text!r}.")
            for k, (operation, state) in enumerate(pairs):
                i, j = 2 + k // INPUTS, int(state)
                where = f"space 'darts', {cell}, node {i}"
                check.one_of(where, operation, OPERATIONS[1:])
                check.integer(f"{where}, input", j, least=0, most=i - 1, because="states before the node")
                edge = EDGES.index((j, i))
                if genome[c, edge]:
                    raise InputError(f"{where}: expected two different inputs, got state {j} twice.")
                genome[c, edge] = OPERATIONS.index(operation)
        return genome.reshape(-1)

    pairs = [i * (i - 1) // 2 for i in range(2, 6)]
    return space._replace(
        sample=sample,
        mutate=mutate,
        crossover=crossover,
        neighbors=neighbors,
        derive=derive,
        allowed=allowed,
        to_string=to_string,
        from_string=from_string,
        size=int(np.prod(pairs) * (C - 1) ** (INPUTS * 4)) ** len(CELLS),
        index=None,
        from_index=None,
    )
