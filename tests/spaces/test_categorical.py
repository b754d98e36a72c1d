import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import categorical

SPACE = categorical({"kernel": (1, 3, 5), "depth": ("one", "two"), "width": (8, 16, 24, 32)})
ALL = np.array(list(itertools.product(range(3), range(2), range(4))), np.int32)


def exists(genomes):
    return ((genomes >= 0) & (genomes < SPACE.choices)).all(-1)


@pytest.fixture(scope="module")
def mutants():
    """`[24, 300, 3]`: every genome of the space under 300 keys."""
    keys = jax.random.split(jax.random.key(0), (24, 300))
    return np.asarray(jax.jit(jax.vmap(jax.vmap(SPACE.mutate, (0, None))))(keys, ALL))


def test_mutation_changes_exactly_one_decision(mutants):
    assert ((mutants != ALL[:, None]).sum(-1) == 1).all()
    assert exists(mutants).all()


def test_mutation_reaches_every_neighbor(mutants):
    for parent, children in zip(ALL, mutants, strict=True):
        expected = {tuple(g) for g in ALL if (g != parent).sum() == 1}
        assert {tuple(c) for c in children} == expected


def test_mutation_picks_each_decision_equally_often(mutants):
    changed = (mutants != ALL[:, None]).mean((0, 1))
    np.testing.assert_allclose(changed, 1 / 3, atol=0.03)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_neighbors_are_all_one_decision_changes_once(transform):
    for genome in ALL:
        neighbors, mask = transform(SPACE.neighbors)(genome)
        real = [tuple(n) for n in np.asarray(neighbors)[np.asarray(mask)]]
        assert sorted(real) == sorted(tuple(g) for g in ALL if (g != genome).sum() == 1)


def test_index_counts_the_last_decision_fastest():
    np.testing.assert_array_equal(SPACE.from_index(jnp.arange(SPACE.size)), ALL)
    np.testing.assert_array_equal(SPACE.index(ALL), np.arange(SPACE.size))


def test_index_inverts_from_index_one_by_one():
    assert SPACE.size == 24
    for i in range(SPACE.size):
        assert int(SPACE.index(SPACE.from_index(i))) == i


def test_samples_are_uniform():
    keys = jax.random.split(jax.random.key(1), 4800)
    counts = np.bincount(jax.vmap(SPACE.index)(jax.vmap(SPACE.sample)(keys)), minlength=24)
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert chi_square < 49.7  # 0.1 % of uniform samples are beyond, for 23 degrees of freedom


def test_crossover_takes_each_decision_from_either_parent():
    a, b = np.array([0, 0, 0], np.int32), np.array([2, 1, 3], np.int32)
    keys = jax.random.split(jax.random.key(2), 200)
    children = np.asarray(jax.vmap(SPACE.crossover, (0, None, None))(keys, a, b))
    assert {tuple(c) for c in children} == set(itertools.product((0, 2), (0, 1), (0, 3)))


def test_features_are_one_hot():
    features = np.asarray(jax.vmap(SPACE.features)(ALL))
    assert features.shape == (24, 9)
    np.testing.assert_array_equal(features.sum(1), 3)
    assert len(np.unique(features, axis=0)) == 24


def test_string_is_readable_and_inverts():
    assert SPACE.to_string(np.array([1, 1, 0])) == "kernel=3,depth=two,width=8"
    for genome in ALL:
        np.testing.assert_array_equal(SPACE.from_string(SPACE.to_string(jnp.asarray(genome))), genome)


def test_the_largest_and_the_smallest_have_strings_where_options_are_numbers():
    space = categorical({"kernel": (5, 3, 7), "ratio": (0.5, 4, 2)})
    assert space.to_string(space.from_string("largest")) == "kernel=7,ratio=4"
    assert space.to_string(space.from_string("smallest")) == "kernel=3,ratio=0.5"
    with pytest.raises(ValueError, match="expected decisions kernel, depth, width in this order, got 'largest'"):
        SPACE.from_string("largest")


def test_derive_takes_the_largest_weight_that_exists():
    weights = jnp.array([[0.1, 0.2, 0.9, 7.0], [0.5, 0.4, 7.0, 7.0], [0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_array_equal(SPACE.derive(weights), [2, 0, 3])


def test_derive_inverts_one_hot():
    for genome in ALL:
        np.testing.assert_array_equal(SPACE.derive(jax.nn.one_hot(genome, 4)), genome)


def test_unpack_of_a_host_genome_is_static():
    decisions = SPACE.unpack(np.array([2, 1, 3], np.int32))
    assert decisions == {"kernel": 2, "depth": 1, "width": 3}
    assert all(type(d) is int for d in decisions.values())


def test_unpack_of_a_jax_genome_is_scalars():
    decisions = SPACE.unpack(jnp.array([2, 1, 3]))
    assert all(isinstance(d, jax.Array) and d.shape == () for d in decisions.values())
    assert {n: int(d) for n, d in decisions.items()} == {"kernel": 2, "depth": 1, "width": 3}


def test_unpack_of_weights_is_vectors_without_padding():
    weights = jnp.arange(12.0).reshape(3, 4)
    decisions = SPACE.unpack(weights)
    assert {n: d.shape for n, d in decisions.items()} == {"kernel": (3,), "depth": (2,), "width": (4,)}
    np.testing.assert_array_equal(decisions["depth"], [4, 5])


def test_unpack_refuses_another_shape():
    with pytest.raises(ValueError, match=r"expected a genome \[3\] or weights \[3, 4\], got \(2,\)"):
        SPACE.unpack(np.array([0, 1]))


def test_a_space_too_large_to_enumerate_has_no_index():
    large = categorical({str(d): tuple(range(5)) for d in range(30)})
    assert large.size == 5**30
    assert large.index is None and large.from_index is None


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({}, "at least one decision"),
        ({"kernel": (3,)}, r"decisions\['kernel'\]: expected at least two options, got 1"),
        ({"kernel": (3, 5, 3)}, r"decisions\['kernel'\]: expected options that differ"),
        ({"kernel": "35"}, "expected a list, got '35'"),
    ],
)
def test_refuses_a_space_without_choice(decisions, message):
    with pytest.raises(ValueError, match=message):
        categorical(decisions)


def test_unknown_option_names_the_nearest():
    with pytest.raises(ValueError, match="decision 'depth': unknown 'tow'. Did you mean 'two'"):
        SPACE.from_string("kernel=3,depth=tow,width=8")


@pytest.mark.parametrize("text", ["", "kernel=3,depth=two", "depth=two,kernel=3,width=8", "kernel=3,depth=two,wide=8"])
def test_string_of_other_decisions_is_refused(text):
    with pytest.raises(ValueError, match="expected decisions kernel, depth, width in this order"):
        SPACE.from_string(text)


def test_options_may_hold_commas_and_equal_signs():
    space = categorical({"k": ((1, 2), (3, 4)), "m": ("a=b", "c")})
    genome = np.array([1, 0])
    np.testing.assert_array_equal(space.from_string(space.to_string(genome)), genome)


@pytest.mark.parametrize("text", ["kernel=3,depth=one,width=8,width=8", "kernel=3", "", "kernel=3,depth=one,width=8,"])
def test_anything_but_the_decisions_in_order_is_refused(text):
    with pytest.raises(ValueError, match="expected decisions|unknown"):
        SPACE.from_string(text)
