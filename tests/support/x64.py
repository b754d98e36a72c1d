"""Whether a program computes the same in JAX's 64-bit mode, by what it is made of or by what it gives."""

import jax
import jax.extend
import numpy as np


def widths(program, key):
    """Types of the program's outputs, widths of its random bits, and what it computes (not only carries) in float64."""
    jaxpr, shapes = jax.make_jaxpr(program, return_shape=True)(key)
    bits, wide = [], []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "random_bits":
                bits.append((equation.params["bit_width"], equation.params["shape"]))
            is_wide = any(getattr(v.aval, "dtype", None) == np.float64 for v in equation.outvars)
            if is_wide and equation.primitive.name not in ("convert_element_type", "scan"):
                wide.append(str(equation.primitive))
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                walk(inner)

    walk(jaxpr.jaxpr)
    paths = jax.tree_util.tree_flatten_with_path(shapes)[0]
    return {jax.tree_util.keystr(path): leaf.dtype for path, leaf in paths}, sorted(bits), wide


def assert_same_program(program, constants=()):
    """With the same types, random bits and no float64 in between, what is computed is the same.

    Each of `constants` names an operation in float64 that is allowed once, of a number written in the program.
    """
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            found.append(widths(program, jax.random.key(0)))
    assert found[0][:2] == found[1][:2] and found[0][2] == []
    assert sorted(found[1][2]) == sorted(constants)


def assert_same_values(program):
    """Of the same types, genomes to the bit; the last bit of a sum may depend on how the program was compiled."""
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            found.append(jax.tree.map(np.asarray, jax.jit(program)(jax.random.key(0))))
    paths = jax.tree_util.tree_flatten_with_path(found[0])[0]
    for (path, narrow), wide in zip(paths, jax.tree.leaves(found[1]), strict=True):
        assert narrow.dtype == wide.dtype, path
        near = {"rtol": 1e-6, "atol": 1e-7} if narrow.dtype == np.float32 else {"rtol": 0}
        np.testing.assert_allclose(narrow, wide, **near, err_msg=jax.tree_util.keystr(path))
