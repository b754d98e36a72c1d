import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.evaluators import direct
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import random_search
from jaxnas.types import scored

SPACE = categorical({"a": range(4), "b": range(3)})


def test_samples_every_genome_equally_often():
    strategy = random_search(SPACE, proposals=6000)
    proposal, _ = strategy.ask(jax.random.key(0), jax.jit(strategy.init)(jax.random.key(1)))
    counts = np.bincount(jax.vmap(SPACE.index)(proposal.genome), minlength=12)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_recommends_the_best_usable_member():
    strategy = random_search(SPACE, proposals=3)
    proposal, state = strategy.ask(jax.random.key(3), jax.jit(strategy.init)(jax.random.key(0)))
    proposal = proposal.replace(genome=jnp.array([[0, 0], [1, 1], [2, 2]]))
    state = strategy.tell(jax.random.key(0), state, proposal, scored(jnp.array([0.5, jnp.nan, 0.9])))
    state = strategy.tell(jax.random.key(0), state, proposal, scored(jnp.array([0.6, jnp.inf, 0.1])))
    np.testing.assert_array_equal(strategy.recommend(state), [2, 2])


def test_ids_are_unique_and_in_order():
    evaluator = direct(lambda key, genome: genome.sum())
    _, records = jax.jit(search_scan(random_search(SPACE, proposals=3), evaluator, 4))(jax.random.key(0))
    np.testing.assert_array_equal(records.proposal.id.ravel(), np.arange(12))
