import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import cached, direct
from jaxnas.search import search
from jaxnas.spaces import categorical, graph, nasbench201
from jaxnas.strategies import random_search
from jaxnas.types import propose

SPACE = categorical({"a": range(3), "b": range(2)})


def noisy(key, genome):
    """Another number each time that it is really evaluated."""
    return jax.random.uniform(key)


def ask(genomes, first_id, budget=0):
    return propose(np.array(genomes, np.int32), jnp.int32(first_id), budget=budget)


def remembering(space=SPACE, capacity=8):
    """Jitted `init` and `evaluate` of a small memory."""
    evaluator = cached(direct(noisy), space, capacity=capacity)
    return jax.jit(evaluator.init)(jax.random.key(0)), jax.jit(evaluator.evaluate)


def test_second_evaluation_is_answered_from_memory():
    state, evaluate = remembering()
    first, state = evaluate(jax.random.key(1), state, ask([[0, 0], [1, 1]], 0))
    again, _ = evaluate(jax.random.key(2), state, ask([[1, 1], [2, 1]], 2))
    assert again.fitness[0] == first.fitness[1]
    np.testing.assert_array_equal(again.metrics["cached"], [True, False])


def test_twins_in_one_proposal_are_evaluated_once():
    state, evaluate = remembering()
    feedback, state = evaluate(jax.random.key(1), state, ask([[0, 0], [1, 1], [0, 0]], 0))
    assert feedback.fitness[0] == feedback.fitness[2] != feedback.fitness[1]
    assert state.used == 2


def test_another_budget_is_another_evaluation():
    state, evaluate = remembering()
    first, state = evaluate(jax.random.key(1), state, ask([[0, 0]], 0, budget=1))
    again, _ = evaluate(jax.random.key(2), state, ask([[0, 0]], 1, budget=2))
    assert again.fitness != first.fitness


def test_isomorphic_cells_share_an_evaluation():
    state, evaluate = remembering(nasbench201())
    dead_ends = [[3, 0, 0, 1, 0, 0], [2, 0, 0, 1, 0, 0]]  # only 0->3 reaches the output
    feedback, state = evaluate(jax.random.key(1), state, ask(dead_ends, 0))
    assert state.used == 1 and feedback.fitness[0] == feedback.fitness[1]


def test_full_memory_evaluates_what_it_cannot_keep():
    state, evaluate = remembering(capacity=1)
    first, state = evaluate(jax.random.key(1), state, ask([[0, 0], [1, 1]], 0))
    again, _ = evaluate(jax.random.key(2), state, ask([[0, 0], [1, 1]], 2))
    assert again.fitness[0] == first.fitness[0] and again.fitness[1] != first.fitness[1]


def test_inactive_twin_does_not_stand_in():
    state, evaluate = remembering()
    proposal = ask([[0, 0], [0, 0]], 0).replace(active=np.array([False, True]))
    feedback, state = evaluate(jax.random.key(1), state, proposal)
    assert state.used == 1 and not feedback.metrics["cached"].any()


def test_host_evaluators_are_refused():
    with pytest.raises(ValueError, match="runs on the host"):
        cached(direct(noisy, jittable=False), SPACE)


def test_evaluators_that_learn_are_refused():
    learning = direct(noisy)._replace(name="supernet", init=lambda key: jnp.zeros(3))
    with pytest.raises(ValueError, match="'supernet' changes from one evaluation to the next"):
        cached(learning, SPACE)


def test_memory_is_saved_and_resumed(tmp_path):
    options = {"progress": False, "checkpoint_seconds": 0.0}
    parts = SPACE, random_search(SPACE), cached(direct(noisy), SPACE)
    whole = search(*parts, rounds=12, **options)
    search(*parts, rounds=6, workdir=tmp_path, **options)
    parts = search(*parts, rounds=12, workdir=tmp_path, **options)
    assert [h["fitness"] for h in parts.history] == [h["fitness"] for h in whole.history]
    assert len({h["fitness"] for h in whole.history}) == len({h["architecture"] for h in whole.history})


def test_genomes_of_several_arrays_are_refused_by_name():
    with pytest.raises(
        ValueError, match="evaluator 'cached' needs a space whose genomes are single arrays; .* 'graph'"
    ):
        cached(direct(noisy), graph(2, 1))
