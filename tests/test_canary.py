"""A compiler that miscompiles has to fail loudly: jit must give what eager execution gives, exactly."""

import pathlib
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packaging.requirements import Requirement


def compiled(f):
    """`f` with the compiler's own optimizations, of which other tests do without most."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": "3"})


def row_energies(matrix):
    """A matrix-vector product for each row and its reduction, as in jax-ml/jax#39103."""
    return lambda x: jax.vmap(lambda row: jnp.square(matrix @ row).sum())(x)


def rows(n, features):
    x = np.zeros((n, features), np.float32)
    x[:, 0] = np.arange(n)
    return x


@pytest.mark.parametrize(("n", "features"), [(32_769, 2), (32_769, 3), (32_769, 8), (16_385, 3), (4_097, 3)])
def test_reduction_of_a_vmapped_product_is_the_same_under_jit(n, features):
    """jax 0.10.2 gave 1071645696.0 or the like under jit for the last of 32,769 rows, where 2**30 is right."""
    f, x = row_energies(np.eye(features, dtype=np.float32)), rows(n, features)
    expected = np.arange(n, dtype=np.float32) ** 2
    np.testing.assert_array_equal(f(x), expected)
    np.testing.assert_array_equal(compiled(f)(x), expected)


def test_reduction_of_a_vmapped_product_is_the_same_in_a_loop():
    f, x = row_energies(np.eye(3, dtype=np.float32)), jnp.asarray(rows(32_769, 3))
    looped = compiled(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: f(x + 0 * y[:, None]), jnp.zeros(len(x))))(x)
    np.testing.assert_array_equal(looped, np.arange(32_769, dtype=np.float32) ** 2)


CHAINS = {
    "sum": lambda x: x.sum(),
    "multiply, add, reduce": lambda x: (x * 2 + x).sum(0),
    "product with ones": lambda x: x @ jnp.ones(x.shape[1]),
    "square of a product": lambda x: jnp.square(x @ jnp.ones((x.shape[1], 3))).sum(-1) / 3,
    "cumulative sum": lambda x: jnp.cumsum(x, 0),
}


@pytest.mark.parametrize("n", [31, 1_025])
@pytest.mark.parametrize("chain", CHAINS)
def test_arithmetic_of_powers_of_two_is_exact_in_and_out_of_jit_and_loop(chain, n):
    """All terms and sums are integers below 2**24 times one power of two, so every order of summation is exact."""
    x = jnp.asarray((np.arange(n * 4) % 13).astype(np.float32).reshape(n, 4) * 2**4)
    f = CHAINS[chain]
    eager = f(x)
    looped = lambda x: jax.lax.fori_loop(0, 2, lambda _, y: f(x) + 0 * y, jnp.zeros_like(eager))
    np.testing.assert_array_equal(compiled(f)(x), eager)
    np.testing.assert_array_equal(compiled(looped)(x), eager)


def test_requirements_exclude_the_broken_compiler():
    project = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    needs_jax = [r for group in groups for r in map(Requirement, group) if r.name == "jax"]
    assert len(needs_jax) >= 1
    assert all("0.10.2" not in r.specifier and "0.10.1" in r.specifier for r in needs_jax)
