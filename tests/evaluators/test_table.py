import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import table
from jaxnas.spaces import categorical
from jaxnas.types import propose

SPACE = categorical({"a": range(3), "b": range(2)})


def test_row_of_each_genome():
    evaluator = table(SPACE, np.arange(6.0), metrics={"test": 10 * np.arange(6.0)})
    genomes = jax.vmap(SPACE.from_index)(jnp.arange(6))
    feedback, _ = evaluator.evaluate(jax.random.key(0), (), propose(genomes, jnp.int32(0)))
    np.testing.assert_array_equal(feedback.fitness, np.arange(6))
    np.testing.assert_array_equal(feedback.metrics["test"], 10 * np.arange(6))


def test_missing_value_is_invalid():
    evaluator = table(SPACE, np.array([0, 1, 2, np.nan, 4, 5]))
    genomes = jax.vmap(SPACE.from_index)(jnp.arange(6))
    feedback, _ = evaluator.evaluate(jax.random.key(0), (), propose(genomes, jnp.int32(0)))
    np.testing.assert_array_equal(feedback.valid, [1, 1, 1, 0, 1, 1])


def test_wrong_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"fitness: expected \[6\], a row for each genome, got \(5,\)"):
        table(SPACE, np.zeros(5))


def test_space_too_large_to_enumerate_is_refused():
    with pytest.raises(ValueError, match="has no index"):
        table(categorical({str(i): range(10) for i in range(12)}), np.zeros(1))
