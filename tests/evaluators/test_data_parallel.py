"""A supernet on several devices that share each batch: the same as on one, by gradients alone."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import supernet
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import random_search
from jaxnas.types import propose
from tests.support import supernets

SPACE = categorical({"only": ["a", "b"]}, name="one decision")
TASK = supernets.task(32, 24)
KEY = jax.random.key(3)


def built(devices=1, norm=True, sync=True, **options):
    return supernet(
        SPACE,
        supernets.Network(norm=norm, choices=(("only", 2),)),
        TASK,
        steps=20,
        batch_size=8,
        devices=jax.devices()[:devices],
        sync_batch_norm=sync,
        **{**supernets.RECIPE, **options},
    )


def mixtures(budget):
    return supernets.mixtures(SPACE, np.float32([[[0.7, 0.3]], [[0.4, 0.6]]]), budget)


@cache
def state():
    """A supernet before any step, for every evaluator of these tests."""
    return jax.jit(built().init)(KEY)


@cache
def on_one_device(order):
    return jax.jit(built(order=order, curvature=1).evaluate)(KEY, state(), mixtures(budget=3))


def collectives(text):
    return re.findall(r"\b(all[-_]\w+|reduce[-_]scatter|collective[-_]\w+?)(?:-start)?\"?\(", text)


@pytest.mark.parametrize(
    "order", ["second", *(pytest.param(order, marks=pytest.mark.slow) for order in ("first", "finite_difference"))]
)
def test_several_devices_find_what_one_finds(order):
    shared = jax.jit(built(4, order=order, curvature=1).evaluate)(KEY, state(), mixtures(budget=3))
    for one, other in zip(jax.tree.leaves(on_one_device(order)), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_without_synchronization_statistics_are_of_each_share_and_gradients_alone_are_told():
    """One all-reduce for the weight steps' loop, one for the architecture's gradient."""
    program = jax.jit(built(4, sync=False).evaluate).lower(KEY, state(), mixtures(budget=3)).compile()
    assert collectives(program.as_text()) == ["all-reduce"] * 2
    (own, after), (synced, expected) = program(KEY, state(), mixtures(budget=3)), on_one_device("second")
    assert (np.abs(own.metrics["train_loss"] - synced.metrics["train_loss"]) > 1e-4).all()
    assert np.abs(after.params["weights"] - expected.params["weights"]).max() > 1e-4


def test_without_statistics_to_synchronize_gradients_alone_are_told():
    evaluator = built(4, norm=False)
    text = jax.jit(evaluator.evaluate).lower(KEY, jax.eval_shape(evaluator.init, KEY), mixtures(budget=1)).as_text()
    assert collectives(text) == ["all_reduce"] * 2


def test_paths_are_trained_and_scored_as_by_one_device():
    """Members that train, that are scored, and one that is not active; they do not divide evenly by the devices."""
    budget, active = jnp.array([2, 0, 1, 0, 0]), jnp.arange(5) < 4
    proposal = propose(jnp.array([[0], [0], [1], [1], [0]]), jnp.int32(0)).replace(budget=budget, active=active)

    def found(devices):
        evaluator = built(devices, examples=7)  # drawn for each member anew, so that all scores differ

        def evaluate(state, key):
            feedback, state = evaluator.evaluate(key, state, proposal)
            return state, feedback.fitness

        return jax.jit(lambda state: jax.lax.scan(evaluate, state, jax.random.split(KEY)))(state())[1]

    alone, shared = np.asarray(found(1)), found(4)
    assert len(np.unique(alone[:, :4])) == 8 and np.isfinite(alone[:, :4]).all() and np.isnan(alone[:, 4]).all()
    np.testing.assert_allclose(alone, shared, atol=1e-4, equal_nan=True)


def test_a_whole_search_is_still_one_program():
    scan = search_scan(random_search(SPACE, proposals=2, budget=1), built(2), rounds=3)
    assert "stablehlo.all_gather" in jax.jit(scan).lower(KEY).as_text()


def test_a_batch_that_cannot_be_shared_is_refused_with_what_can():
    with pytest.raises(ValueError, match="batch_size: 3 devices cannot share 8 examples of train evenly; 6 would do"):
        built(3)
