"""The NAS-Bench-101 cell space (Ying et al., 2019): graphs of up to 7 vertices and 9 edges, 423,624 cells."""

import hashlib
import itertools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.spaces.needed import positions
from jaxnas.types import Space

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
V, MAX_EDGES = 7, 9
EDGES = tuple(itertools.combinations(range(V), 2))
"""(from, to) of each edge decision; vertex 0 is the input, vertex 6 the output."""
INNER = tuple(range(1, V - 1))
DECISIONS = {f"{i}->{j}": (0, 1) for i, j in EDGES} | {f"vertex{v}": OPERATIONS for v in INNER}
UNKNOWN = np.iinfo(np.int32).max


def nasbench101(codes: np.ndarray | None = None) -> Space:
    """The cell space. A genome is `[26]`: 21 edges of a 7×7 upper-triangular matrix, 5 operations.

    A cell is what is left once vertices are pruned that no path joins to both input and output; it has up to 9 edges.
    `sample`, `mutate` and `neighbors` give valid cells only. `canonical` is the same for cells that are isomorphic,
    which the paper recognizes by `published_hash`.

    There are too many genomes for an `index`, unless the cells of interest are given: then `index` is the place of
    a genome's cell among them, and `size`, one too many, where it is not there.

    Args:
      codes: `[N]` int32, `code` of each known cell, increasing.

    Raises:
      InputError: codes that do not increase.
    """
    loose = categorical(DECISIONS, name="nasbench101")

    def until_valid(key, draw):
        """`draw(key)` again and again; a genome that is not valid at first."""

        def again(carry):
            t, _ = carry
            return t + 1, draw(jax.random.fold_in(key, t))

        return jax.lax.while_loop(lambda carry: ~valid(carry[1]), again, (1, draw(jax.random.fold_in(key, 0))))[1]

    def neighbors(genome):
        genomes, mask = loose.neighbors(genome)
        return genomes, mask & jax.vmap(valid)(genomes)

    space = loose._replace(
        sample=positions(lambda key: until_valid(key, loose.sample)),
        mutate=positions(lambda key, genome: until_valid(key, lambda k: loose.mutate(k, genome))),
        crossover=lambda key, a, b: until_valid(key, lambda k: loose.crossover(k, a, b)),
        neighbors=neighbors,
        canonical=lambda genome: loose.from_index(code(genome)),
        index=None,
        from_index=None,
    )
    if codes is None:
        return space
    codes = np.asarray(codes)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or not codes.size or (np.diff(codes) <= 0).any():
        raise InputError(f"codes: expected increasing codes of cells, integers [N], got {codes.dtype} {codes.shape}.")
    codes = codes.astype(np.int32)

    def index(genome):
        wanted = code(genome)
        place = jnp.searchsorted(codes, wanted)
        there = jnp.asarray(codes)[jnp.minimum(place, len(codes) - 1)] == wanted
        return jnp.where(there, place, len(codes)).astype(jnp.int32)

    return space._replace(index=index, from_index=lambda i: loose.from_index(jnp.asarray(codes)[i]), size=len(codes))


def genome_of(matrix: np.ndarray, operations: Sequence[int]) -> np.ndarray:
    """(host) `[26]` genome of a published cell: `[v, v]` upper-triangular, v - 2 positions in `OPERATIONS`.

    Raises:
      InputError: not such a matrix.
    """
    matrix = np.asarray(matrix)
    v = len(matrix)
    if matrix.shape != (v, v) or not 2 <= v <= V or len(operations) != v - 2 or np.tril(matrix).any():
        raise InputError(f"expected an upper-triangular matrix of 2 to {V} vertices, got {matrix.tolist()}.")
    place = [*range(v - 1), V - 1]  # the output is the last vertex
    full = np.zeros((V, V), np.int32)
    full[np.ix_(place, place)] = matrix
    inner = [*operations, *[0] * (V - v)]
    return np.array([*(full[i, j] for i, j in EDGES), *inner], np.int32)


def pruned(genome: chex.Array) -> tuple[jax.Array, jax.Array]:
    """`[7, 7]` bool edges that lie on some path from input to output, `[7]` bool vertices that do."""
    i, j = np.array(EDGES, np.int32).T
    matrix = jnp.zeros((V, V), bool).at[i, j].set(genome[: len(EDGES)].astype(bool))
    closure = matrix | jnp.eye(V, dtype=bool)
    for _ in range(3):  # paths of up to 8 edges
        closure = (closure.astype(jnp.int32) @ closure.astype(jnp.int32)) > 0
    alive = closure[0] & closure[:, -1]
    return matrix & alive[:, None] & alive, alive


def valid(genome: chex.Array) -> jax.Array:
    """Whether input and output are joined, by at most 9 edges."""
    matrix, alive = pruned(genome)
    return alive[0] & (matrix.sum() <= MAX_EDGES)


def code(genome: chex.Array) -> jax.Array:
    """int32, the same for two cells if and only if they are isomorphic: the smallest code of all orders of vertices."""
    matrix, alive = pruned(genome)
    operations = jnp.where(alive[1:-1], genome[len(EDGES) :], 0)
    orders = np.array([(0, *order, V - 1) for order in itertools.permutations(INNER)], np.int32)
    permuted = matrix[orders[:, :, None], orders[:, None, :]]
    forward = ~(permuted & np.tril(np.ones((V, V), bool))).any((1, 2))
    i, j = np.array(EDGES, np.int32).T
    edges = permuted[:, i, j] @ (1 << np.arange(len(EDGES))[::-1]).astype(np.int32)
    kinds = operations[orders[:, 1:-1] - 1] @ (len(OPERATIONS) ** np.arange(len(INNER))[::-1]).astype(np.int32)
    return jnp.where(forward, edges * len(OPERATIONS) ** len(INNER) + kinds, UNKNOWN).min().astype(jnp.int32)


def published_hash(matrix: np.ndarray, operations: Sequence[int]) -> str:
    """(host) The isomorphism hash of Ying et al. (2019, section 2.2; White's iterated neighborhood hash).

    Args:
      matrix: `[v, v]`, pruned.
      operations: v - 2 positions in `OPERATIONS`.
    """

    def digest(text):
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    matrix = np.asarray(matrix)
    labels = [-1, *(int(o) for o in operations), -2]
    degrees = zip(matrix.sum(1).tolist(), matrix.sum(0).tolist(), labels, strict=True)
    hashes = [digest(str(vertex)) for vertex in degrees]
    for _ in labels:
        into = ["".join(sorted(hashes[w] for w in np.flatnonzero(column))) for column in matrix.T]
        out = ["".join(sorted(hashes[w] for w in np.flatnonzero(row))) for row in matrix]
        hashes = [digest(f"{a}|{b}|{h}") for a, b, h in zip(into, out, hashes, strict=True)]
    return digest(str(sorted(hashes)))
