import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces
from jaxnas.evaluators import direct
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import regularized_evolution
from jaxnas.types import propose, scored

SPACE = categorical({"a": range(10), "b": range(10)})


def told(strategy, state, genomes, fitness, first_id):
    proposal = propose(jnp.array(genomes, jnp.int32), jnp.int32(first_id))
    return jax.jit(strategy.tell)(jax.random.key(0), state, proposal, scored(jnp.array(fitness, jnp.float32)))


def test_oldest_member_dies_first():
    strategy = regularized_evolution(SPACE, population_size=3, tournament_size=1)
    state = jax.jit(strategy.init)(jax.random.key(0))
    for i, fitness in enumerate([9.0, 1.0, 2.0, 3.0]):
        state = told(strategy, state, [[i, i]], [fitness], i)
    assert sorted(state.id.tolist()) == [1, 2, 3]


def test_best_dies_of_age_but_stays_recommended():
    strategy = regularized_evolution(SPACE, population_size=2, tournament_size=1)
    state = jax.jit(strategy.init)(jax.random.key(0))
    for i, fitness in enumerate([9.0, 1.0, 2.0]):
        state = told(strategy, state, [[i, i]], [fitness], i)
    assert 9.0 not in state.fitness
    np.testing.assert_array_equal(strategy.recommend(state), [0, 0])


def test_child_differs_from_its_parent_in_one_decision():
    strategy = regularized_evolution(SPACE, population_size=5, tournament_size=2, proposals=5)
    evaluator = direct(lambda key, genome: jnp.sum(genome, dtype=jnp.float32))
    _, records = jax.jit(search_scan(strategy, evaluator, 20))(jax.random.key(0))
    genomes = np.asarray(records.proposal.genome).reshape(-1, 2)
    parents = np.asarray(records.proposal.parent).reshape(-1, 2)
    assert (parents[:5] == -1).all() and (parents[5:, 0] >= 0).all()
    assert ((genomes[5:] != genomes[parents[5:, 0]]).sum(1) == 1).all()


def test_tournament_is_drawn_with_replacement():
    strategy = regularized_evolution(SPACE, population_size=64, tournament_size=64, proposals=64)
    state = jax.jit(strategy.init)(jax.random.key(0))
    proposal, state = jax.jit(strategy.ask)(jax.random.key(1), state)
    state = jax.jit(strategy.tell)(jax.random.key(0), state, proposal, scored(jnp.arange(64.0)))
    child, _ = jax.jit(strategy.ask)(jax.random.key(2), state)
    # With replacement, 64 draws of 64 miss the best with probability (63/64)^64 = .365.
    assert 0.4 < np.mean(child.parent[:, 0] == 63) < 0.85


def test_invalid_members_never_enter_nor_age_others():
    strategy = regularized_evolution(SPACE, population_size=2, tournament_size=1)
    state = jax.jit(strategy.init)(jax.random.key(0))
    state = told(strategy, state, [[1, 1]], [1.0], 0)
    state = told(strategy, state, [[2, 2]], [jnp.nan], 1)
    state = told(strategy, state, [[3, 3]], [-jnp.inf], 2)
    assert state.born == 1 and state.fitness[0] == 1.0


def test_half_of_fitness_nan_still_searches():
    def fitness(key, genome):
        return jnp.where(genome[0] % 2 == 0, jnp.sum(genome, dtype=jnp.float32), jnp.nan)

    strategy = regularized_evolution(SPACE, population_size=10, tournament_size=3)
    state, records = jax.jit(search_scan(strategy, direct(fitness), 400))(jax.random.key(0))
    np.testing.assert_array_equal(strategy.recommend(state.strategy), [8, 9])
    assert not records.feedback.valid.all()


def test_without_a_usable_answer_proposals_stay_random():
    strategy = regularized_evolution(SPACE, population_size=4, tournament_size=2)
    nothing = direct(lambda key, genome: jnp.nan)
    _, records = jax.jit(jax.vmap(search_scan(strategy, nothing, 8)))(jax.random.split(jax.random.key(0), 500))
    assert (records.proposal.parent[:, 4:, 0, 0] == -1).all()
    assert len(np.unique(np.asarray(records.proposal.genome[:, 7, 0]), axis=0)) > 90  # of 100 genomes


def test_large_population_is_drawn_from_as_a_whole():
    strategy = regularized_evolution(SPACE, population_size=600, tournament_size=1, proposals=600)
    state = jax.jit(strategy.init)(jax.random.key(0))
    proposal, state = jax.jit(strategy.ask)(jax.random.key(1), state)
    assert len(np.unique(proposal.genome, axis=0)) > 90  # of 100: each member has a key of its own
    state = jax.jit(strategy.tell)(jax.random.key(2), state, proposal, scored(jnp.zeros(600)))
    parents = np.concatenate([jax.jit(strategy.ask)(jax.random.key(i), state)[0].parent[:, 0] for i in range(20)])
    assert len(np.unique(parents)) == 600


def test_several_outstanding_asks():
    strategy = regularized_evolution(SPACE, population_size=3, tournament_size=2)
    state = jax.jit(strategy.init)(jax.random.key(0))
    proposals = []
    for i in range(6):
        proposal, state = jax.jit(strategy.ask)(jax.random.key(i), state)
        proposals.append(proposal)
    for proposal in reversed(proposals):
        state = jax.jit(strategy.tell)(jax.random.key(9), state, proposal, scored(proposal.id.astype(jnp.float32)))
    assert sorted(state.id.tolist()) == [0, 1, 2]  # in order of telling
    assert state.best.fitness == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population_size": 5, "tournament_size": 6}, r"population_size: expected at least 6 \(the tournament_size\)"),
        ({"tournament_size": 0}, "tournament_size: expected at least 1, got 0"),
        ({"population_size": 8, "tournament_size": 2, "proposals": 9}, "proposals: expected at most 8"),
        ({"budget": -1}, "budget: expected at least 0"),
        ({"tournament_size": 2.5}, "tournament_size: expected an integer"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        regularized_evolution(SPACE, **arguments)


@pytest.mark.parametrize("replaced", [("sample", "mutate"), ("sample",), ("mutate",)])
def test_integers_of_the_users_own_stay_what_they_are(replaced):
    """Values from 1 to 1,000, in a space whose mask speaks of two options."""
    own = {
        "sample": lambda key: jax.random.randint(key, (2,), 1, 1001),
        "mutate": lambda key, genome: genome.at[0].set(jax.random.randint(key, (), 1, 1001)),
    }
    space = categorical({"a": range(2), "b": range(2)}, **{name: own[name] for name in replaced})
    strategy = regularized_evolution(space, population_size=5, tournament_size=2)
    evaluator = direct(lambda key, genome: jnp.sum(genome, dtype=jnp.float32))
    state, records = jax.jit(search_scan(strategy, evaluator, 60))(jax.random.key(0))
    genomes, parents = np.asarray(records.proposal.genome)[:, 0], np.asarray(records.proposal.parent)[:, 0, 0]
    assert genomes.min() >= 0 and genomes.max() > 500
    if "mutate" in replaced:
        np.testing.assert_array_equal(genomes[5:, 1], genomes[parents[5:], 1])
    living = np.asarray(state.strategy.genomes)
    np.testing.assert_array_equal(living, genomes[np.asarray(state.strategy.id)])


@pytest.mark.parametrize("space", [SPACE, spaces.darts(), spaces.nasbench101(), spaces.nasbench201()])
def test_positions_in_the_options_take_a_byte_each(space):
    strategy = regularized_evolution(space, population_size=3, tournament_size=1)
    assert jax.eval_shape(strategy.init, jax.random.key(0)).genomes.dtype == jnp.int8
