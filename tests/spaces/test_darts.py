from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import categorical, darts, nasbench201, skip_connections
from jaxnas.spaces._darts import EDGES, OPERATIONS

SPACE = darts()
DARTS_V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NODE = np.array([4 * c + i - 2 for c in range(2) for _, i in EDGES])


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@pytest.fixture(scope="module")
def sampled():
    return np.asarray(jax.jit(jax.vmap(SPACE.sample))(keys(10_000)))


@pytest.fixture(scope="module")
def mutants(sampled):
    return np.asarray(jax.jit(jax.vmap(SPACE.mutate))(keys(2_000, 1), sampled[:2_000]))


@pytest.fixture(scope="module")
def offspring(sampled):
    return np.asarray(jax.jit(jax.vmap(SPACE.crossover))(keys(1_000, 2), sampled[:1_000], sampled[1_000:2_000]))


@pytest.fixture(scope="module")
def neighbors(sampled):
    """`[5, N, D]` and which of them count."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(SPACE.neighbors))(sampled[:5]))


def kept(genomes):
    """`[..., 8]`: how many edges each node keeps."""
    return (np.asarray(genomes) > 0) @ np.eye(8, dtype=int)[NODE]


def assert_one_change(genomes, changed):
    """Another operation on one edge, or one operation moved to another edge of the same node."""
    different = genomes != changed
    other_op = (different.sum(1) == 1) & ((genomes > 0) == (changed > 0)).all(1)
    sorted_in_node = lambda g: np.sort(np.where(np.arange(8)[:, None] == NODE, g[:, None], 0), -1)
    moved = (different.sum(1) == 2) & (sorted_in_node(genomes) == sorted_in_node(changed)).all((1, 2))
    moved &= ((genomes > 0) != (changed > 0)).sum(1) == 2
    assert (other_op | moved).all()
    return moved


def test_size_is_the_published_number_of_cells_squared():
    """Liu et al. (2019), section 3.1: the product over k = 1 … 4 of (k + 1) k / 2 * 7^2, about 10^9, for each cell."""
    assert SPACE.size == np.prod([(k + 1) * k // 2 * 7**2 for k in range(1, 5)], dtype=object) ** 2
    assert SPACE.size == pytest.approx(1e18, rel=0.1)


@pytest.mark.parametrize("text", [DARTS_V1, DARTS_V2])
def test_published_genotypes_survive_import_and_export(text):
    genome = SPACE.from_string(text)
    assert (kept(genome) == 2).all()
    np.testing.assert_array_equal(SPACE.from_string(SPACE.to_string(genome)), genome)


def test_export_is_the_published_form_with_inputs_in_order():
    genotype = eval(SPACE.to_string(SPACE.from_string(DARTS_V1)), {"Genotype": dict})
    published = eval(DARTS_V1, {"Genotype": dict})
    for cell in ("normal", "reduce"):
        pairs = published[cell]
        ordered = [p for n in range(0, 8, 2) for p in sorted(pairs[n : n + 2], key=lambda pair: pair[1])]
        assert genotype[cell] == ordered and list(genotype[f"{cell}_concat"]) == published[f"{cell}_concat"]


def test_import_puts_each_operation_on_its_edge():
    decisions = dict(zip(SPACE.decisions, SPACE.from_string(DARTS_V2), strict=True))
    chosen = {name: OPERATIONS[op] for name, op in decisions.items() if op}
    assert chosen["normal_2->5"] == "dil_conv_3x3" and chosen["normal_0->4"] == "skip_connect"
    assert chosen["reduce_2->3"] == "skip_connect" and chosen["reduce_1->5"] == "max_pool_3x3"
    assert "normal_3->5" not in chosen and len(chosen) == 16


def test_spacing_and_order_of_a_string_do_not_matter():
    spaced = DARTS_V2.replace("normal=[", "normal = [\n  ").replace("'", '"').replace("[2, 3, 4, 5]", "range(2, 6)")
    swapped = spaced.replace('("skip_connect", 0), ("dil_conv_3x3", 2)', '("dil_conv_3x3", 2), ("skip_connect", 0)')
    assert swapped != spaced
    np.testing.assert_array_equal(SPACE.from_string(swapped), SPACE.from_string(DARTS_V2))


def test_samples_mutants_and_offspring_keep_two_edges_of_each_node(sampled, mutants, offspring):
    for genomes in (sampled, mutants, offspring):
        assert (kept(genomes) == 2).all()


def test_samples_are_uniform_over_pairs_of_edges(sampled):
    for node in range(8):
        edges = np.flatnonzero(node == NODE)
        pairs = list(combinations(range(len(edges)), 2))
        counts = [(sampled[:, edges[[*pair]]] > 0).all(1).sum() for pair in pairs]
        n, p = len(sampled), 1 / len(pairs)
        assert sum(counts) == n and (np.abs(np.array(counts) - n * p) <= 5 * np.sqrt(n * p * (1 - p))).all()


def test_samples_are_uniform_over_operations(sampled):
    counts = np.bincount(sampled.reshape(-1), minlength=8)
    n, p = 16 * len(sampled), 1 / 7
    assert counts[0] == 12 * len(sampled)
    assert (np.abs(counts[1:] - n * p) <= 5 * np.sqrt(n * p * (1 - p))).all()


def test_mutation_changes_one_operation_or_one_input(sampled, mutants):
    moved = assert_one_change(sampled[:2_000], mutants)
    # Half of the time, but never on the first node of a cell, which has no third input: two nodes of eight.
    n, p = len(moved), 0.5 * 6 / 8
    assert abs(moved.sum() - n * p) <= 5 * np.sqrt(n * p * (1 - p))


def test_crossover_takes_each_node_whole_from_a_parent(sampled, offspring):
    whole = lambda parent: np.stack([(offspring == parent)[:, n == NODE].all(1) for n in range(8)], 1)
    a, b = whole(sampled[:1_000]), whole(sampled[1_000:2_000])
    assert (a | b).all()
    assert a.mean() == pytest.approx(0.5, abs=0.05) and b.mean() == pytest.approx(0.5, abs=0.05)


def test_neighbors_are_all_genomes_at_one_change(sampled, neighbors):
    """16 edges have 6 other operations; a node with i inputs has 2 (i - 2) moves: 96 + 2 * 12."""
    for genome, genomes, mask in zip(sampled, *neighbors, strict=False):
        near = genomes[mask]
        assert len(np.unique(near, axis=0)) == len(near) == 120
        assert (kept(near) == 2).all()
        assert assert_one_change(np.broadcast_to(genome, near.shape), near).sum() == 24


def test_allowed_options_are_those_that_lead_to_a_genome():
    """All 8^5 strings over the edges of the first two nodes: those allowed are the (1 * 7^2) (3 * 7^2) of the space."""
    strings = np.array(list(product(range(8), repeat=5)))
    genomes = np.pad(strings, [(0, 0), (0, 28 - 5)])
    options = jax.jit(jax.vmap(jax.vmap(SPACE.allowed, (None, 0)), (0, None)))(genomes, jnp.arange(5))
    can = np.take_along_axis(np.asarray(options), strings[:, :, None], 2).all((1, 2))
    np.testing.assert_array_equal(can, (kept(genomes)[:, :2] == 2).all(1))
    assert can.sum() == 49 * 3 * 49


def test_any_choice_among_allowed_options_is_a_genome():
    def build(key):
        def decide(genome, at):
            d, key = at
            log = jnp.where(SPACE.allowed(genome, d), 0.0, -jnp.inf)
            return genome.at[d].set(jax.random.categorical(key, log)), None

        return jax.lax.scan(decide, jnp.zeros(28, jnp.int32), (jnp.arange(28), jax.random.split(key, 28)))[0]

    assert (kept(jax.jit(jax.vmap(build))(keys(1_000))) == 2).all()


def test_derived_edges_are_the_two_of_the_strongest_operation():
    weights = np.full((28, 8), 0.01)
    weights[:, 0] = 0.9  # `none`, largest everywhere and never chosen
    strength = {"0->3": 0.5, "1->3": 0.3, "2->3": 0.4, "0->4": 0.1, "1->4": 0.4, "2->4": 0.2, "3->4": 0.3}
    for c, cell in enumerate(("normal", "reduce")):
        for edge, weight in strength.items():
            weights[SPACE.decisions.index(f"{cell}_{edge}"), 3 + c] = weight
    decisions = dict(zip(SPACE.decisions, np.asarray(SPACE.derive(weights)).tolist(), strict=True))
    for c, cell in enumerate(("normal", "reduce")):
        assert [decisions[f"{cell}_{j}->3"] for j in range(3)] == [3 + c, 0, 3 + c]
        assert [decisions[f"{cell}_{j}->4"] for j in range(4)] == [0, 3 + c, 0, 3 + c]


def test_derived_genomes_keep_two_edges_even_of_equal_weights():
    weights = jax.random.uniform(jax.random.key(3), (500, 28, 8)).at[0].set(0.125)
    genomes = np.asarray(jax.jit(jax.vmap(SPACE.derive))(weights))
    assert (kept(genomes) == 2).all()
    order = np.argsort(-np.asarray(weights)[:, :, 1:].max(2), axis=1, kind="stable")
    for genome, strongest in zip(genomes, order, strict=True):
        for node in range(8):
            assert set(np.flatnonzero((genome > 0) & (node == NODE))) == set(strongest[NODE[strongest] == node][:2])


def test_derive_gives_back_a_genome_from_its_one_hot(sampled):
    one_hot = jax.nn.one_hot(sampled[:100], 8)
    np.testing.assert_array_equal(jax.vmap(SPACE.derive)(one_hot), sampled[:100])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dil_conv_3x3", "dil_conv_3x4", "normal, node 5: unknown 'dil_conv_3x4'. Did you mean 'dil_conv_3x3'"),
        ("dil_conv_3x3", "none", "normal, node 5: unknown 'none'"),
        ("('skip_connect', 2), ('max_pool_3x3', 1)]", "('skip_connect', 2), ('max_pool_3x3', 2)]", "got state 2 twice"),
        ("('skip_connect', 2), ('max_pool_3x3', 1), (", "('skip_connect', 3), ('max_pool_3x3', 1), (", "at most 2"),
        (", ('dil_conv_3x3', 2)", "", "normal: expected .* with 8 pairs, two for each of four nodes, got 7"),
        ("reduce=", "other=", "reduce: expected .* got 0"),
        ("normal_concat=[2, 3, 4, 5]", "normal_concat=[3, 4, 5]", "normal_concat: expected range"),
        (", reduce_concat=[2, 3, 4, 5]", "", "reduce_concat: expected range"),
        (DARTS_V2, "", "normal: expected .* got 0"),
    ],
)
def test_malformed_string_is_refused_by_name(old, new, message):
    with pytest.raises(ValueError, match="space 'darts'.*" + message):
        SPACE.from_string(DARTS_V2.replace(old, new))


def test_skip_connections_are_counted_for_each_cell():
    cells, count = skip_connections(SPACE)
    assert cells == ("normal", "reduce")
    np.testing.assert_array_equal(count(SPACE.from_string(DARTS_V1)), [[3, 8], [3, 8]])
    np.testing.assert_array_equal(jax.jit(count)(SPACE.from_string(DARTS_V2)), [[2, 8], [3, 8]])


def test_skip_connections_of_one_cell_are_counted_among_what_is_not_none():
    cells, count = skip_connections(nasbench201())
    assert cells == ("cell",)
    np.testing.assert_array_equal(count(jnp.array([1, 3, 0, 1, 0, 4])), [[2, 4]])
    np.testing.assert_array_equal(count(jnp.zeros(6, int)), [[0, 0]])


def test_no_cell_counts_skip_connections_in_a_space_without_any():
    space = categorical({"width": (16, 32), "kernel": ("3x3", "5x5")})
    cells, count = skip_connections(space)
    assert cells == () and count(jnp.array([0, 1])).shape == (0, 2)
