import itertools

import jax
import numpy as np
import pytest

from jaxnas.spaces import nasbench101
from jaxnas.spaces._nasbench101 import EDGES, INNER, code, genome_of, pruned, published_hash, valid

SPACE = nasbench101()
look = jax.jit(jax.vmap(lambda genome: (code(genome), valid(genome), *pruned(genome))))
# The Inception-like cell of the benchmark's own example: 3x3, 1x1 and pooling branches.
INCEPTION = genome_of(
    [
        [0, 1, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    [1, 0, 0, 0, 2],
)


def every(v):
    """All genomes of v vertices, valid or not."""
    edges = list(itertools.combinations(range(v), 2))
    for bits in itertools.product((0, 1), repeat=len(edges)):
        matrix = np.zeros((v, v), int)
        for (i, j), bit in zip(edges, bits, strict=True):
            matrix[i, j] = bit
        for operations in itertools.product(range(3), repeat=v - 2):
            yield matrix, operations


def shuffled(genome, order):
    """The same cell with its inner vertices renamed, `order[k]` at place k; None where an edge would go back."""
    names = [0, *order, 6]
    matrix, operations = np.zeros((7, 7), int), [genome[len(EDGES) + v - 1] for v in order]
    for place, (i, j) in enumerate(EDGES):
        matrix[names.index(i), names.index(j)] = genome[place]
    return None if np.tril(matrix).any() else genome_of(matrix, operations)


@pytest.mark.parametrize(("v", "published"), [(2, 1), (3, 6), (4, 84), (5, 2441)])
def test_number_of_cells_is_the_published_one(v, published):
    codes, ok, _, alive = map(np.asarray, look(np.array([genome_of(m, o) for m, o in every(v)])))
    assert len(set(codes[ok & (alive.sum(1) == v)].tolist())) == published


def test_codes_and_published_hashes_part_the_same_cells():
    cells = list(every(4))
    codes, ok, _, alive = map(np.asarray, look(np.array([genome_of(m, o) for m, o in cells])))
    full = np.flatnonzero(ok & (alive.sum(1) == 4))
    hashes = [published_hash(*cells[k]) for k in full]
    assert len(set(hashes)) == len({(h, int(c)) for h, c in zip(hashes, codes[full], strict=True)}) == 84


def test_isomorphic_genomes_have_one_code_and_one_canonical_genome():
    others = [shuffled(INCEPTION, order) for order in itertools.permutations(INNER)]
    others = np.array([genome for genome in others if genome is not None])
    assert len(np.unique(others, axis=0)) > 20
    assert len(set(np.asarray(look(others)[0]).tolist())) == 1
    canonical = np.asarray(jax.jit(jax.vmap(SPACE.canonical))(others[:8]))
    assert len(np.unique(canonical, axis=0)) == 1
    codes = look(np.stack([canonical[0], INCEPTION]))[0].tolist()
    assert codes[0] == codes[1]


def test_dead_vertices_are_pruned_with_their_edges_and_operations():
    dangling = INCEPTION.copy()
    dangling[EDGES.index((4, 6))] = 0  # vertices 3 and 4 lead nowhere now
    other = dangling.copy()
    other[len(EDGES) + 2] = 2
    codes, _, matrices, alive = map(np.asarray, look(np.stack([dangling, other])))
    np.testing.assert_array_equal(alive[0], [1, 1, 1, 0, 0, 1, 1])
    assert int(matrices[0].sum()) == 6 and codes[0] == codes[1]


def test_at_most_nine_edges_and_a_way_through():
    ten = INCEPTION.copy()
    for edge in ((1, 2), (2, 5)):
        ten[EDGES.index(edge)] = 1
    _, ok, matrices, _ = look(np.stack([INCEPTION, np.zeros_like(INCEPTION), ten]))
    assert ok.tolist() == [True, False, False] and int(np.asarray(matrices)[2].sum()) == 11


def test_sampled_and_mutated_genomes_are_valid():
    keys = jax.random.split(jax.random.key(0), 200)
    genomes = np.asarray(jax.jit(jax.vmap(SPACE.sample))(keys))
    children = np.asarray(jax.jit(jax.vmap(SPACE.mutate))(keys, genomes))
    assert look(genomes)[1].all() and look(children)[1].all()
    np.testing.assert_array_equal((genomes != children).sum(1), 1)
    assert len(np.unique(genomes, axis=0)) > 195
    near, mask = jax.jit(SPACE.neighbors)(INCEPTION)
    assert np.asarray(look(near)[1])[np.asarray(mask)].all()


def test_index_among_known_cells():
    genomes = jax.jit(jax.vmap(SPACE.sample))(jax.random.split(jax.random.key(1), 50))
    codes = np.unique(look(genomes)[0])
    known = nasbench101(codes)
    rows = np.asarray(jax.jit(jax.vmap(known.index))(np.concatenate([genomes, INCEPTION[None]])))
    np.testing.assert_array_equal(codes[rows[:-1]], look(genomes)[0])
    np.testing.assert_array_equal(look(jax.jit(jax.vmap(known.from_index))(np.arange(known.size)))[0], codes)
    assert rows[-1] == known.size == len(codes)


def test_codes_must_increase():
    with pytest.raises(ValueError, match="codes: expected increasing codes"):
        nasbench101(np.array([3, 2]))
