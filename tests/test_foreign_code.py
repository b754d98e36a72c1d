"""Somebody else's JAX program that borrows a space and a strategy: its own loop, its own objective, one jit."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.spaces import categorical
from jaxnas.strategies import regularized_evolution
from jaxnas.types import scored


def test_ask_and_tell_inside_a_foreign_jitted_loop():
    space = categorical({"rank": [1, 2, 4, 8], "block": [16, 32, 64], "fused": [False, True]})
    strategy = regularized_evolution(space, population_size=12, tournament_size=4, proposals=4)
    matrix = jax.random.normal(jax.random.key(7), (64, 64))

    def objective(genome):
        rank, block = jnp.array([1, 2, 4, 8])[genome[0]], jnp.array([16, 32, 64])[genome[1]]
        kept = jnp.where(jnp.arange(64) < rank * 8, jnp.linalg.svd(matrix, compute_uv=False), 0.0)
        return jnp.sum(kept) - 0.05 * block * (1 + genome[2])

    @jax.jit
    def tune(key):
        def body(t, carry):
            state, evaluations = carry
            ask_key, tell_key = jax.random.split(jax.random.fold_in(key, t))
            proposal, state = strategy.ask(ask_key, state)
            fitness = jax.vmap(objective)(proposal.genome)
            return strategy.tell(tell_key, state, proposal, scored(fitness)), evaluations + fitness.size

        return jax.lax.fori_loop(0, 25, body, (strategy.init(key), 0))

    state, evaluations = tune(jax.random.key(0))
    everything = jax.vmap(objective)(jax.vmap(space.from_index)(jnp.arange(space.size)))
    assert evaluations == 100
    np.testing.assert_array_equal(strategy.recommend(state), space.from_index(jnp.argmax(everything)))
