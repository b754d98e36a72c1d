"""A supernet on several devices that share each batch: the same as on one, by gradients alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import supernet
from jaxnas.search import search_scan
from jaxnas.strategies import random_search
from jaxnas.types import propose
from tests.evaluators.test_supernet import RECIPE, SPACE, TASK, WEIGHTS, Network


def built(devices=1, norm=True, sync=True, **options):
    return supernet(
        SPACE,
        Network(norm=norm),
        TASK,
        steps=20,
        devices=jax.devices()[:devices],
        sync_batch_norm=sync,
        **{**RECIPE, **options},
    )


def mixtures(budget):
    weights = jnp.stack([WEIGHTS, WEIGHTS[:, ::-1] + jnp.array([[0, 0, 0], [0.4, 0, -0.4]])])
    weights = jnp.where(SPACE.mask, weights, 0)
    return propose(jax.vmap(SPACE.derive)(weights), jnp.int32(0), budget=budget, weights=weights)


def evaluated(evaluator, proposal):
    key = jax.random.key(3)
    return jax.jit(lambda key: evaluator.evaluate(key, evaluator.init(key), proposal))(key)


def collectives(evaluator, proposal):
    run = jax.jit(evaluator.evaluate)
    text = run.lower(jax.random.key(0), evaluator.init(jax.random.key(0)), proposal).compile().as_text()
    return re.findall(r" (all-\w+|reduce-scatter|collective-\w+)(?:-start)?\(", text)


@pytest.mark.parametrize(
    "order", ["second", *(pytest.param(order, marks=pytest.mark.slow) for order in ("first", "finite_difference"))]
)
def test_several_devices_find_what_one_finds(order):
    alone, shared = (evaluated(built(n, order=order, curvature=1), mixtures(budget=3)) for n in (1, 4))
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_paths_are_trained_and_scored_as_by_one_device():
    genomes = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 5))
    budget = jnp.array([2, 0, 1, 0, 0])
    proposal = propose(genomes, jnp.int32(0)).replace(budget=budget, active=jnp.arange(5) < 4)
    alone, shared = (evaluated(built(n), proposal)[0] for n in (1, 4))
    np.testing.assert_allclose(alone.fitness, shared.fitness, atol=1e-4, equal_nan=True)


def test_without_synchronization_statistics_are_of_each_share():
    synced, own = (evaluated(built(4, sync=sync), mixtures(budget=1))[0].gradient for sync in (True, False))
    assert abs(np.asarray(synced - own)).max() > 1e-4


def test_devices_tell_each_other_gradients_only():
    """One all-reduce for the weight steps' loop, one for the architecture's gradient."""
    assert collectives(built(4, sync=False), mixtures(budget=1)) == ["all-reduce"] * 2
    assert collectives(built(4, norm=False), mixtures(budget=1)) == ["all-reduce"] * 2


def test_a_batch_that_cannot_be_shared_is_refused_with_what_can():
    with pytest.raises(ValueError, match="batch_size: 3 devices cannot share 8 examples of train evenly; 6 would do"):
        built(3)


def test_a_whole_search_is_still_one_program():
    scan = search_scan(random_search(SPACE, proposals=2, budget=1), built(2), rounds=3)
    assert np.isfinite(jax.jit(scan)(jax.random.key(0))[1].feedback.fitness).all()
