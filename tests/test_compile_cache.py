"""The compilation cache that the processes of the tests share: what it keeps is read, and what is damaged compiled."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxnas.population import CompileMeter


@pytest.fixture
def entries(tmp_path):
    """Lists the programs that are kept in a cache of this test's own."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_enable_compilation_cache
    with contextlib.ExitStack() as stack:
        for name, value in zip(("jax_compilation_cache_dir", "jax_enable_compilation_cache"), before, strict=True):
            stack.callback(jax.config.update, name, value)
        stack.callback(compilation_cache.reset_cache)
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()
        yield lambda: list(tmp_path.glob("*-cache"))


def program():
    return jax.jit(lambda x: jnp.sin(x) * 3)


def test_the_same_program_is_read_and_counted_as_a_compile_all_the_same(entries):
    x = np.arange(4.0, dtype=np.float32)
    first = program()(x)
    assert len(entries()) == 1
    meter = CompileMeter()
    np.testing.assert_array_equal(program()(x), first)
    assert (meter.compiles, meter.cached, len(entries())) == (1, 1, 1)


@pytest.mark.filterwarnings("ignore:Error reading persistent compilation cache")
def test_a_damaged_entry_is_compiled_anew(entries):
    x = np.arange(4.0, dtype=np.float32)
    first = program()(x)
    for entry in entries():
        entry.write_bytes(entry.read_bytes()[:20])
    meter = CompileMeter()
    np.testing.assert_array_equal(program()(x), first)
    assert (meter.compiles, meter.cached) == (1, 0)
