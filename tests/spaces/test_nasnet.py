import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import nasnet

SPACE = nasnet()
NASNET_A = (
    "normal|sep_conv_5x5~1+sep_conv_3x3~0|sep_conv_5x5~0+sep_conv_3x3~0|avg_pool_3x3~1+identity~0|"
    "avg_pool_3x3~0+avg_pool_3x3~0|sep_conv_3x3~1+identity~1|"
    "reduction|sep_conv_5x5~1+sep_conv_7x7~0|max_pool_3x3~1+sep_conv_7x7~0|avg_pool_3x3~1+sep_conv_5x5~0|"
    "identity~3+avg_pool_3x3~2|sep_conv_3x3~2+max_pool_3x3~1|"
)


def sampled(count):
    return jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), count))


def test_a_block_chooses_among_the_states_before_it():
    inputs = [len(o) for n, o in zip(SPACE.decisions, SPACE.options, strict=True) if n.endswith("input")]
    assert inputs == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6] * 2
    assert SPACE.size == (13**10 * np.prod(inputs[:10], dtype=object)) ** 2


def test_samples_and_mutants_are_valid_and_their_strings_come_back():
    genomes = sampled(50)
    mutants = jax.vmap(SPACE.mutate)(jax.random.split(jax.random.key(1), 50), genomes)
    assert ((mutants != genomes).sum(1) == 1).all()
    for genome in np.concatenate([genomes, mutants]):
        assert (genome < SPACE.choices).all()
        np.testing.assert_array_equal(SPACE.from_string(SPACE.to_string(genome)), genome)


def test_the_published_cell_can_be_written():
    assert SPACE.to_string(SPACE.from_string(NASNET_A)) == NASNET_A


def test_halves_of_a_block_may_change_places():
    genome = SPACE.from_string(NASNET_A)
    swapped = NASNET_A.replace("sep_conv_5x5~1+sep_conv_3x3~0", "sep_conv_3x3~0+sep_conv_5x5~1")
    swapped = swapped.replace("identity~3+avg_pool_3x3~2", "avg_pool_3x3~2+identity~3")
    assert (SPACE.from_string(swapped) != genome).any()
    np.testing.assert_array_equal(
        SPACE.canonical(jnp.asarray(SPACE.from_string(swapped))), SPACE.canonical(jnp.asarray(genome))
    )


def test_canonical_form_is_its_own():
    once = jax.vmap(SPACE.canonical)(sampled(50))
    np.testing.assert_array_equal(jax.vmap(SPACE.canonical)(once), once)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sep_conv_5x5~1", "expected 'normal"),
        (NASNET_A.replace("sep_conv_7x7~0", "sep_conv_7x9~0"), "reduction, block 0: unknown 'sep_conv_7x9'. Did you"),
        (NASNET_A.replace("identity~3", "identity~5"), "reduction, block 3, state: expected at most 4"),
        (NASNET_A.replace("+identity~0", ""), "normal, block 2: expected 'op~state"),
        (
            NASNET_A.replace("identity~1|reduction", "identity~1|identity~0+identity~0|reduction"),
            "expected 5 blocks, got 6",
        ),
    ],
)
def test_other_text_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError, match=message):
        SPACE.from_string(text)


def test_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="operations: unknown 'sep_conv_9x9'"):
        nasnet(operations=("identity", "sep_conv_9x9"))
