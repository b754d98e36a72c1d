"""Weight steps of several paths together."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxnas.evaluators import supernet
from jaxnas.types import propose
from tests.support import supernets
from tests.support.supernets import SPACE, Network

TASK = supernets.task(48, 24)
KEY = jax.random.key(0)


@cache
def built(**options):
    """With plain gradient descent: what a step changes is the gradient times the rate."""
    evaluator = supernet(
        SPACE, Network(), TASK, steps=50, batch_size=48, learning_rate=0.1, momentum=0.0, weight_decay=0.0, **options
    )
    return evaluator, jax.jit(partial(evaluator.evaluate, KEY)), jax.jit(evaluator.init)(KEY)


def changed(genomes, active=None, budget=1, **options):
    """What a proposal's steps change of the parameters, and its feedback."""
    _, evaluate, start = built(**options)
    proposal = propose(jnp.asarray(genomes, jnp.int32), jnp.int32(0), budget=budget)
    if active is not None:
        proposal = proposal.replace(active=jnp.asarray(active))
    feedback, after = evaluate(start, proposal)
    return np.asarray(ravel_pytree(after.params)[0] - ravel_pytree(start.params)[0]), feedback, after


A, B = [0, 1], [2, 0]


def test_paths_that_step_together_step_along_their_mean_gradient():
    one, other = changed([A])[0], changed([B])[0]
    both, feedback, after = changed([A, B], together=True)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert after.steps == 1
    np.testing.assert_allclose(feedback.fitness[0], changed([A])[1].fitness[0], rtol=1e-5)


def test_what_is_inactive_takes_no_part():
    np.testing.assert_allclose(changed([A, B], [False, True], together=True)[0], changed([B])[0], atol=1e-6)


def test_in_place_distillation_teaches_the_first_nothing_and_another_like_it_neither():
    """Two times the same path: the second has nothing to learn from the first's logits, which are its own."""
    np.testing.assert_allclose(changed([A, A], together=True, in_place=1.0)[0], changed([A])[0] / 2, atol=1e-6)


def test_in_place_distillation_learns_from_the_logits_of_the_first():
    evaluator, _, start = built()
    both, first = (changed([A, B], active, together=True, in_place=1.0)[0] for active in (None, [True, False]))
    learned = 2 * both - first  # what the second path learns
    params, unravel = ravel_pytree(start.params)
    logits = lambda genome, flat: Network().apply(
        evaluator.variables(start.replace(params=unravel(flat))),
        SPACE.unpack(np.array(genome)),
        TASK.inputs(TASK.train.inputs),
        True,
    )
    theirs = jax.nn.log_softmax(logits(A, params))

    def apart(flat):
        return (jnp.exp(theirs) * (theirs - jax.nn.log_softmax(logits(B, flat)))).sum(-1).mean()

    np.testing.assert_allclose(learned, -0.1 * jax.jit(jax.grad(apart))(params), atol=1e-5)


def test_the_first_that_is_there_learns_from_labels():
    alone = changed([A, B], [False, True], together=True, in_place=1.0)[0]
    np.testing.assert_allclose(alone, changed([B])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_place": 0.5}, "in_place: paths learn from the first of those that step together; give together=True"),
        ({"in_place": 1.5, "together": True}, "in_place: expected a number in"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_mixtures_do_not_step_together():
    evaluator, _, start = built(together=True)
    mixture = supernets.mixtures(SPACE, np.full((1, 2, 3), 1 / 3, np.float32), 1)
    with pytest.raises(ValueError, match="together: paths step together"):
        jax.eval_shape(partial(evaluator.evaluate, KEY), start, mixture)
