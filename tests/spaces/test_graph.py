import dataclasses

import jax
import numpy as np
import pytest

from jaxnas.spaces import Graph, graph

RATES = {"add_node_rate": 0.3, "add_connection_rate": 0.5, "toggle_rate": 0.1}
SPACE = graph(2, 1, hidden=6, connections=20, **RATES)
RECURRENT = graph(2, 1, hidden=6, connections=20, recurrent=True, **RATES)
P = 64


def keys(seed, count=P):
    return jax.random.split(jax.random.key(seed), count)


def sampled(space, count=P):
    return jax.jit(jax.vmap(space.sample))(keys(0, count))


def member(genomes, i):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[i], genomes)


@pytest.fixture(scope="module")
def lineages():
    """`[generation][recurrent]`: 20 generations of mutants."""
    found = {}
    for recurrent, space in ((False, SPACE), (True, RECURRENT)):
        genomes, mutate = sampled(space), jax.jit(jax.vmap(space.mutate))
        found[recurrent] = [genomes]
        for t in range(20):
            genomes = mutate(keys(t + 1), genomes)
            found[recurrent].append(genomes)
    return found


def grown(text, space=SPACE):
    return space.from_string(text)


def test_at_first_every_input_and_the_bias_meet_every_output():
    genome = member(sampled(graph(3, 2, hidden=1, connections=0), 2), 0)
    pairs = set(zip(genome.source.tolist(), genome.target.tolist(), strict=True))
    assert pairs == {(i, 4 + o) for i in range(4) for o in range(2)} and genome.enabled.all() and genome.hidden == 0


@pytest.mark.parametrize("recurrent", [False, True])
def test_mutants_are_graphs_of_the_space(recurrent, lineages):
    last = lineages[recurrent][-1]
    assert np.asarray(last.hidden).max() == 6 and np.asarray(last.connections).max() > 15
    backward = False
    for i in range(P):
        g = member(last, i)
        n, e = int(g.hidden), int(g.connections)
        assert (g.node[:n] > 0).all() and not g.node[n:].any() and len(set(g.node[:n].tolist())) == n
        assert (g.innovation[:e] > 0).all() and not g.innovation[e:].any() and not g.enabled[e:].any()
        pairs = set(zip(g.source[:e].tolist(), g.target[:e].tolist(), strict=True))
        assert len(pairs) == e == len(set(g.innovation[:e].tolist()))
        assert all(v >= 3 and max(u, v) < 4 + n for u, v in pairs) and np.abs(g.weight).max() <= 8
        positions = np.asarray(g.positions)
        assert recurrent or all(positions[u] < positions[v] for u, v in pairs)
        backward |= any(positions[u] >= positions[v] for u, v in pairs)
    assert backward == recurrent


def test_a_split_disables_the_connection_and_puts_one_of_weight_1_and_the_old_one_in_its_place():
    space = graph(1, 1, add_node_rate=1.0, add_connection_rate=0.0, toggle_rate=0.0)
    old = member(sampled(space, 1), 0)
    new = jax.jit(space.mutate)(jax.random.key(1), old)
    (at,) = np.flatnonzero(np.asarray(old.enabled & ~np.asarray(new.enabled)))
    assert new.weight[2:4].tolist() == [1.0, float(old.weight[at])] and new.enabled[2:4].all()
    assert new.source[2:4].tolist() == [at, 3] and new.target[2:4].tolist() == [3, 2]
    np.testing.assert_array_equal(old.weight[:2], np.asarray(new.weight)[:2])


def test_the_same_mutation_is_the_same_gene_in_any_genome():
    one = grown("h0=i0>o0 h1=i1>o0; i0>o0:1! i1>o0:1! bias>o0:1 i0>h0:1 h0>o0:1 i1>h1:1 h1>o0:1")
    two = grown("h0=i1>o0 h1=i0>o0; i0>o0:2! i1>o0:2! bias>o0:1 i1>h0:1 h0>o0:1 i0>h1:1 h1>o0:1")
    assert one.node[:2].tolist() == two.node[1::-1].tolist()
    assert set(one.innovation.tolist()) == set(two.innovation.tolist())
    assert one.position[:2].tolist() == two.position[1::-1].tolist()


def test_a_connection_that_is_split_again_gets_another_node():
    twice = grown("h0=i0>o0 h1=i0>o0; i0>o0:1! i1>o0:1 bias>o0:1 i0>h0:1 h0>o0:1 i0>h1:1 h1>o0:1")
    assert twice.node[0] != twice.node[1]
    with pytest.raises(ValueError, match="at most 4 splits of a connection"):
        grown(f"{' '.join(f'h{i}=i0>o0' for i in range(5))}; i0>o0:1 i1>o0:1 bias>o0:1")


def test_weights_move_by_their_step_or_are_drawn_again(lineages):
    space = graph(2, 1, add_node_rate=0.0, add_connection_rate=0.0, toggle_rate=0.0, weight_step=0.5)
    old = sampled(space, 3000)
    new = jax.jit(jax.vmap(space.mutate))(keys(1, 3000), old)
    moved = np.abs(np.asarray(new.weight) - np.asarray(old.weight))[:, :3]
    assert abs((moved == 0).all(1).mean() - 0.2) < 0.03
    far = (moved > 0.5)[(moved > 0).any(1)].mean()  # .2 drawn again in [-3, 3], of which .5 on average .845 are farther
    assert abs(far - 0.2 * 0.845) < 0.03


def test_a_child_has_the_topology_of_the_fitter_and_weights_of_either(lineages):
    a, b = lineages[False][-1], jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], lineages[False][-1])
    child = jax.jit(jax.vmap(SPACE.crossover))(keys(3), a, b)
    for name in ("node", "position", "split", "innovation", "source", "target", "overflow"):
        np.testing.assert_array_equal(getattr(child, name), getattr(a, name))
    of_b = 0
    for i in range(P):
        x, y, z = member(a, i), member(b, i), member(child, i)
        theirs = {int(n): w for n, w in zip(y.innovation, y.weight, strict=True) if n}
        for n, mine, got in zip(x.innovation, x.weight, z.weight, strict=True):
            assert got in (mine, theirs.get(int(n), mine))
            of_b += n in theirs and got != mine
    shared = sum(
        len(set(member(a, i).innovation.tolist()) & set(member(b, i).innovation.tolist()) - {0}) for i in range(P)
    )
    assert abs(of_b / shared - 0.5) < 0.1


def test_what_is_disabled_in_a_parent_is_mostly_disabled_in_the_child():
    a, b = grown("; i0>o0:1 i1>o0:1! bias>o0:1"), grown("; i0>o0:1! i1>o0:1 bias>o0:1")
    child = jax.jit(jax.vmap(SPACE.crossover, (0, None, None)))(keys(0, 2000), a, b)
    np.testing.assert_allclose(np.asarray(child.enabled).mean(0)[:3], [0.25, 0.25, 1], atol=0.03)


def test_distance_is_that_of_the_paper():
    distance = lambda space, a, b: float(jax.jit(space.distance)(a, b))
    space = graph(2, 1, disjoint_coefficient=2.0, weight_coefficient=0.5)
    a = space.from_string("h0=i0>o0; i0>o0:1! i1>o0:2 bias>o0:3 i0>h0:4 h0>o0:5")
    b = space.from_string("h0=i1>o0; i0>o0:2 i1>o0:4! bias>o0:3 i1>h0:1 h0>o0:5 i0>h0:7")
    assert distance(space, a, b) == pytest.approx(2 * 5 + 0.5 * (1 + 2 + 0) / 3)  # fewer than 20 genes: N = 1
    wide = graph(30, 1, disjoint_coefficient=2.0, weight_coefficient=0.5)
    first = member(sampled(wide, 1), 0)
    tail = wide.to_string(first).replace("; ", "h0=i0>o0; ", 1) + " i0>h0:1 h0>o0:1"
    assert distance(wide, first, wide.from_string(tail)) == pytest.approx(2 * 2 / 33)


def test_distances_of_a_population_are_those_of_its_members(lineages):
    genomes = lineages[False][-1]
    every = np.asarray(jax.jit(jax.vmap(jax.vmap(SPACE.distance, (None, 0)), (0, None)))(genomes, genomes))
    distance = jax.jit(SPACE.distance)
    assert not np.diag(every).any() and np.allclose(every, every.T, atol=1e-6)
    for i, j in ((0, 1), (5, 40), (63, 2)):
        assert every[i, j] == pytest.approx(float(distance(member(genomes, i), member(genomes, j))), rel=1e-6)
    last = jax.tree.map(lambda leaf: np.moveaxis(np.asarray(leaf), 0, -1), genomes)
    to_one = jax.jit(jax.vmap(SPACE.distance, (-1, None)))
    np.testing.assert_allclose(to_one(last, member(genomes, 7)), every[:, 7], rtol=1e-6)


def test_memory_of_distances_and_crossover_is_linear_in_connections():
    def need(connections):
        space = graph(2, 1, hidden=8, connections=connections)
        genomes = jax.eval_shape(jax.vmap(space.sample), keys(0, 1024))
        one = jax.eval_shape(space.sample, jax.random.key(0))

        def run(k, genomes, one):
            return jax.vmap(space.distance, (0, None))(genomes, one), jax.vmap(space.crossover)(k, genomes, genomes)

        return jax.jit(run).lower(keys(0, 1024), genomes, one).compile().memory_analysis().temp_size_in_bytes

    assert need(512) < 2.5 * need(256)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_string_is_all_of_a_genome(recurrent, lineages):
    space = RECURRENT if recurrent else SPACE
    for i in range(0, P, 8):
        genome = member(lineages[recurrent][-1], i)
        again = space.from_string(space.to_string(genome))
        for field in dataclasses.fields(Graph):
            if field.name != "overflow":
                np.testing.assert_array_equal(getattr(again, field.name), getattr(genome, field.name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i0>o0:1", "expected nodes; connections, got 1 parts"),
        ("h1=i0>o0; ", "expected h0=NODE>NODE of earlier nodes, got 'h1=i0>o0'"),
        ("; i0>o0:1 i1>o0:x bias>o0:1", "expected NODE>NODE:WEIGHT of nodes that exist, each pair once, got 'i1>o0:x'"),
        ("; i0>o0:1 i1>o0:nan bias>o0:1", "got 'i1>o0:nan'"),
        ("; i0>o0:1 i1>o0:1 bias>o0:1 i0>o0:2", "each pair once, got 'i0>o0:2'"),
        ("; i0>o0:1", "expected at first the 3 connections of inputs and outputs"),
        ("h0=i0>o0; i0>o0:1 i1>o0:1 bias>o0:1 h0>i0:1", "expected no connection into an input, got h0>i0"),
        ("h0=i0>o0; i0>o0:1 i1>o0:1 bias>o0:1 h0>h0:1", "expected connections that go forward, got h0>h0"),
        (f"{' '.join(f'h{i}=i{i % 2}>o0' for i in range(7))}; i0>o0:1 i1>o0:1 bias>o0:1", "at most 6 hidden nodes"),
    ],
)
def test_strings_of_something_else_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        SPACE.from_string(text)


def test_mutations_without_room_are_counted_and_change_nothing_else():
    space = graph(1, 1, hidden=1, connections=2, add_node_rate=1.0, add_connection_rate=0.0, toggle_rate=0.0)
    genome = member(sampled(space, 1), 0)
    counts, mutate = [], jax.jit(space.mutate)
    for t in range(4):
        genome = mutate(jax.random.key(t), genome)
        counts.append((int(genome.hidden), int(genome.connections), int(space.overflow(genome))))
    assert counts == [(1, 4, 0), (1, 4, 1), (1, 4, 2), (1, 4, 3)]
    full = graph(1, 1, hidden=1, connections=2, add_node_rate=0.0, add_connection_rate=1.0)
    text = "h0=i0>o0; i0>o0:1.0! bias>o0:1.0 i0>h0:1.0 h0>o0:1.0"  # bias>h0 alone is free
    assert int(jax.jit(full.mutate)(jax.random.key(0), full.from_string(text)).overflow) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 0}, "inputs: expected at least 1, got 0"),
        ({"outputs": 1.5}, "outputs: expected an integer, got 1.5"),
        ({"hidden": -1}, "hidden: expected at least 0"),
        ({"toggle_rate": 1.5}, r"toggle_rate: expected a number in \[0, 1\], got 1.5"),
        ({"weight_step": -1.0}, "weight_step: expected a number"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        graph(**{"inputs": 2, "outputs": 1, **arguments})


def test_a_graph_has_no_categorical_part():
    assert (SPACE.decisions, SPACE.options, SPACE.mask) == ((), (), None) and not len(SPACE.choices)
    assert {SPACE.unpack, SPACE.derive, SPACE.neighbors, SPACE.features, SPACE.allowed} == {None}
