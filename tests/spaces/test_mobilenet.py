import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces import mobilenet

SPACE = mobilenet()


def test_each_stage_decides_kernel_expansion_depth_and_width():
    space = mobilenet(stages=2)
    factors = ("kernel", "expansion", "depth", "width")
    assert space.decisions == tuple(f"stage_{i}_{factor}" for i in range(2) for factor in factors)
    assert space.options == ((3, 5, 7), (3, 6), (2, 3, 4), (0.75, 1.0, 1.25)) * 2


def test_size_is_the_product_of_the_options():
    assert SPACE.size == (3 * 2 * 3 * 3) ** 5
    assert mobilenet(stages=21, kernels=(3, 5, 7), expansions=(3, 6), depths=(1,), widths=(1.0,)).size == 6**21


def test_a_single_option_is_no_decision():
    space = mobilenet(stages=2, kernels=(5,), depths=(1,), widths=(1.0,))
    assert space.decisions == ("stage_0_expansion", "stage_1_expansion")


def test_samples_and_mutants_are_valid_and_their_strings_come_back():
    genomes = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 20))
    mutants = jax.vmap(SPACE.mutate)(jax.random.split(jax.random.key(1), 20), genomes)
    assert ((mutants != genomes).sum(1) == 1).all()
    for genome in np.concatenate([genomes, mutants]):
        assert (genome < SPACE.choices).all()
        np.testing.assert_array_equal(SPACE.from_string(SPACE.to_string(genome)), genome)


def test_strings_say_what_is_built():
    space = mobilenet(stages=1)
    text = "stage_0_kernel=5,stage_0_expansion=6,stage_0_depth=2,stage_0_width=1.25"
    np.testing.assert_array_equal(space.from_string(text), [1, 1, 0, 2])
    with pytest.raises(ValueError, match="'stage_0_kernel': unknown '9'"):
        space.from_string(text.replace("kernel=5", "kernel=9"))


def test_every_genome_is_a_network_of_its_own():
    genomes = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 20))
    np.testing.assert_array_equal(jax.vmap(SPACE.canonical)(genomes), genomes)
    np.testing.assert_array_equal(SPACE.from_index(SPACE.index(genomes)), jnp.asarray(genomes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": 0}, "stages: expected at least 1, got 0"),
        ({"kernels": (3, 4)}, "kernels: expected odd sizes, which have a centre, got 4"),
        ({"kernels": ()}, r"kernels: expected at least one option, got none"),
        ({"kernels": 3}, "kernels: expected a list, got 3"),
        ({"kernels": (3, 3)}, r"kernels: expected options that differ, got \[3, 3\]"),
        ({"expansions": (0.5, 6)}, "expansions: expected an integer, got 0.5"),
        ({"depths": (0, 2)}, "depths: expected at least 1, got 0"),
        ({"widths": (0, 1.0)}, "widths: expected multiples above 0, got 0"),
        ({"widths": (-1.0, 1.0)}, r"widths: expected a number in \[0, inf\], got -1.0"),
        ({"kernels": (3,), "expansions": (6,), "depths": (1,), "widths": (1,)}, "expected at least one decision"),
    ],
)
def test_options_that_cannot_be_built_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        mobilenet(**options)
