import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import nasbench201, path_encoding
from jaxnas.spaces._nasbench201 import OPERATIONS

SPACE = nasbench201()
NONE, SKIP, CONV1, CONV3, POOL = range(5)


@pytest.fixture(scope="module")
def published(shared_data):
    path = shared_data / "nasbench201/nasbench201_cifar10.npz"
    if not path.exists():
        pytest.skip("no NAS-Bench-201 data")
    return np.load(path)


@pytest.fixture(scope="module")
def canonical():
    """`[15625, 6]`: the representative of each row."""
    rows = SPACE.from_index(jnp.arange(SPACE.size))
    return np.asarray(jax.jit(jax.vmap(SPACE.canonical))(rows))


def cell(text):
    return SPACE.from_string(text)


def test_space_has_six_edges_of_five_operations():
    assert SPACE.decisions == ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
    assert SPACE.size == 15_625 and (SPACE.choices == 5).all()


def test_published_string_of_a_genome():
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    genome = np.array([CONV3, CONV3, POOL, SKIP, CONV3, SKIP])
    assert SPACE.to_string(genome) == text
    np.testing.assert_array_equal(cell(text), genome)
    assert int(SPACE.index(genome)) == 1


def test_first_row_is_the_published_one():
    first = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert SPACE.to_string(np.asarray(SPACE.from_index(0))) == first
    assert int(SPACE.index(cell(first))) == 0


@pytest.mark.parametrize("row", [0, 11, 284, 15_624])
def test_row_survives_string_and_index(row):
    genome = SPACE.from_string(SPACE.to_string(np.asarray(SPACE.from_index(row))))
    assert int(SPACE.index(genome)) == row


def test_every_row_has_one_index():
    rows = jnp.arange(SPACE.size)
    np.testing.assert_array_equal(jax.vmap(SPACE.index)(SPACE.from_index(rows)), rows)


def test_index_is_the_published_row(published):
    ours = np.array([OPERATIONS.index(o) for o in published["op_names"]], np.int32)
    np.testing.assert_array_equal(SPACE.index(ours[published["ops"]]), np.arange(SPACE.size))


def test_strings_are_the_published_ones(published):
    genomes = np.asarray(SPACE.from_index(jnp.arange(SPACE.size)))
    assert [SPACE.to_string(g) for g in genomes] == [s.decode() for s in published["arch_str"]]


def test_canonical_merges_to_the_published_number_of_cells(canonical):
    assert len(np.unique(canonical, axis=0)) == 6_466


def test_canonical_is_idempotent(canonical):
    np.testing.assert_array_equal(jax.vmap(SPACE.canonical)(canonical), canonical)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # Node 1 receives nothing, so what leaves it does not matter.
        ((NONE, CONV3, CONV1, POOL, CONV3, SKIP), (NONE, CONV3, NONE, POOL, NONE, SKIP)),
        # Node 2 sends nothing on, so what enters it does not matter.
        ((CONV3, CONV1, CONV1, POOL, SKIP, NONE), (CONV3, NONE, NONE, POOL, SKIP, NONE)),
        # The sum at the output is the same whichever node a lone convolution stands before.
        ((SKIP, NONE, NONE, NONE, CONV3, NONE), (NONE, NONE, NONE, CONV3, NONE, NONE)),
        # Behind a skip connection node 1 is the input, and a sum has no order.
        ((SKIP, CONV1, CONV3, POOL, NONE, SKIP), (SKIP, CONV3, CONV1, NONE, POOL, SKIP)),
    ],
)
def test_cells_that_build_the_same_network_have_one_representative(a, b):
    np.testing.assert_array_equal(SPACE.canonical(jnp.array(a)), SPACE.canonical(jnp.array(b)))


def test_cells_that_differ_keep_their_own_representative():
    a, b = jnp.array([CONV3, POOL, CONV1, SKIP, POOL, CONV3]), jnp.array([CONV3, POOL, CONV1, SKIP, POOL, CONV1])
    assert (SPACE.canonical(a) != SPACE.canonical(b)).any()


def test_cells_that_send_nothing_are_one(canonical):
    dead = np.asarray(SPACE.index(jnp.array([CONV3, POOL, CONV1, NONE, NONE, NONE])))
    np.testing.assert_array_equal(canonical[dead], [NONE] * 6)


GOOD = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("avg_pool_3x3", "avg_pool_3X3", "edge 1->2: unknown 'avg_pool_3X3'. Did you mean 'avg_pool_3x3'"),
        ("avg_pool_3x3~1", "avg_pool_3x3~0", r"expected '~1' in edge 'avg_pool_3x3~0' into node 2"),
        ("|skip_connect~2|", "|", "expected a string like"),
        ("+", "", "expected a string like"),
        (GOOD, "", "expected a string like"),
        ("skip_connect~2|", "skip_connect~2|+|none~0|none~1|none~2|none~3|", "expected a string like"),
        ("skip_connect~2", "skip_connect", "expected '~2' in edge 'skip_connect'"),
    ],
)
def test_malformed_string_is_refused_by_name(old, new, message):
    with pytest.raises(ValueError, match="space 'nasbench201'.*" + message):
        cell(GOOD.replace(old, new))


def test_path_encoding_marks_the_paths_that_exist():
    chain = np.array([3, 0, 2, 0, 0, 1])  # 3x3, 1x1, skip in a row, nothing else
    encoding = np.asarray(path_encoding(chain))
    assert encoding.shape == (4 + 16 + 64,) and encoding.sum() == 1
    assert encoding[4 + 16 + (3 - 1) * 16 + (2 - 1) * 4 + (1 - 1)] == 1
    full = np.asarray(path_encoding(np.full(6, 3)))
    np.testing.assert_array_equal(np.flatnonzero(full), [2, 4 + 2 * 4 + 2, 4 + 16 + 2 * 16 + 2 * 4 + 2])
    assert np.asarray(path_encoding(np.zeros(6, int))).sum() == 0
