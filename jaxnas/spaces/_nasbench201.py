"""The NAS-Bench-201 cell space (Dong and Yang, 2020): 4 nodes, 6 edges, 5 operations, 15,625 cells."""

import functools
import random
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.types import Space

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to) of each edge, in the order of the published strings."""
DECISIONS = tuple(f"{i}->{j}" for i, j in EDGES)
PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of each path from input to output."""


def nasbench201() -> Space:
    """The cell space; strings are the published `|nor_conv_3x3~0|+|…|`, `index` is the published row.

    `canonical` merges cells that the authors' `to_unique_str` holds equal (an edge of `none` and all that hangs on
    it alone removed, skip connections contracted): 6,466 classes.
    """
    radix = categorical(dict.fromkeys(DECISIONS, OPERATIONS), name="nasbench201")

    def index(genome):
        return jnp.asarray(_published_order()[1])[radix.index(genome)]

    def from_index(i):
        return radix.from_index(jnp.asarray(_published_order()[0])[i])

    def canonical(genome):
        return radix.from_index(jnp.asarray(_representatives())[radix.index(genome)])

    return radix._replace(
        index=index,
        from_index=from_index,
        canonical=canonical,
        pruned=lambda genome: _living(canonical(genome)),
        to_string=to_string,
        from_string=from_string,
    )


def _living(genome) -> jax.Array:
    """The genome with `none` on all edges that do not lie on a path from input to output."""
    edge = dict(zip(EDGES, genome != 0, strict=True))
    reached, used = {0: True}, {3: True}
    for j in (1, 2, 3):
        reached[j] = functools.reduce(jnp.logical_or, [edge[i, j] & reached[i] for i in range(j)])
    for i in (2, 1, 0):
        used[i] = functools.reduce(jnp.logical_or, [edge[i, j] & used[j] for j in range(i + 1, 4)])
    return jnp.where(jnp.stack([reached[i] & used[j] for i, j in EDGES]), genome, 0)


def path_encoding(genome: chex.Array) -> jax.Array:
    """`[84]` float: 1 for each sequence of operations along some path from input to output.

    The encoding of BANANAS (White, Neiswanger and Savani, 2021, section 3): 4 + 4^2 + 4^3 sequences, shortest first.
    A path with a `none` does not exist.
    """
    kinds = len(OPERATIONS) - 1
    offsets = {length: sum(kinds**n for n in range(1, length)) for length in (1, 2, 3)}
    encoding = jnp.zeros(offsets[3] + kinds**3, jnp.float32)
    for path in PATHS:
        operations = genome[np.array(path, np.int32)]
        code = jnp.sum((operations - 1) * kinds ** np.arange(len(path) - 1, -1, -1, dtype=np.int32), dtype=jnp.int32)
        exists = (operations > 0).all()
        encoding = encoding.at[offsets[len(path)] + jnp.maximum(code, 0)].max(exists.astype(encoding.dtype))
    return encoding


def to_string(genome: chex.Array) -> str:
    """The published string of a genome `[6]`."""
    labels = [OPERATIONS[int(o)] for o in genome]
    edges = iter(zip(labels, EDGES, strict=True))
    return "+".join("|" + "".join(f"{o}~{i}|" for o, (i, _) in (next(edges) for _ in range(j))) for j in (1, 2, 3))


def from_string(text: str) -> np.ndarray:
    """The genome `[6]` of a published string; raises `InputError` naming what is wrong."""
    example = to_string([3] * 6)
    if not re.fullmatch(r"\|[^|+]+\|\+(\|[^|+]+){2}\|\+(\|[^|+]+){3}\|", text):
        raise InputError(f"space 'nasbench201': expected a string like {example!r}, got {text!r}.")
    genome = []
    for edge, (i, j) in zip(re.findall(r"[^|+]+", text), EDGES, strict=True):
        operation, _, source = edge.partition("~")
        check.one_of(f"space 'nasbench201', edge {i}->{j}", operation, OPERATIONS)
        if source != str(i):
            raise InputError(f"space 'nasbench201': expected '~{i}' in edge {edge!r} into node {j} of {text!r}.")
        genome.append(OPERATIONS.index(operation))
    return np.array(genome, np.int32)


@functools.cache
def _published_order() -> tuple[np.ndarray, np.ndarray]:
    """Published row -> radix code, and its inverse: the authors enumerated all cells and shuffled with seed 88."""
    rows = list(range(len(OPERATIONS) ** len(EDGES)))
    random.Random(88).shuffle(rows)
    return np.array(rows, np.int32), np.argsort(rows).astype(np.int32)


@functools.cache
def _representatives() -> np.ndarray:
    """Radix code -> the smallest radix code of the same unique string."""
    first: dict[str, int] = {}
    codes = np.arange(len(OPERATIONS) ** len(EDGES))
    genomes = codes[:, None] // len(OPERATIONS) ** np.arange(5, -1, -1) % len(OPERATIONS)
    return np.array([first.setdefault(_unique(g), c) for c, g in zip(codes, genomes.tolist(), strict=True)], np.int32)


def _unique(genome: list[int]) -> str:
    """The isomorphism string of Dong and Yang (2020), where '#' is the zero function."""
    nodes = ["0"]
    for j in (1, 2, 3):
        terms = []
        for o, (i, to) in zip(genome, EDGES, strict=True):
            if to != j:
                continue
            if OPERATIONS[o] == "none" or nodes[i] == "#":
                terms.append("#")
            elif OPERATIONS[o] == "skip_connect":
                terms.append(nodes[i])
            else:
                terms.append(f"({nodes[i]})@{o}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]
