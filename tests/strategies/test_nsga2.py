import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import pareto
from jaxnas.evaluators import table
from jaxnas.loop.compatibility import check_pair
from jaxnas.search import search_many, search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import nsga2
from jaxnas.types import propose, scored

SPACE = categorical({name: range(6) for name in "abcd"})
GENOMES = np.asarray(SPACE.from_index(np.arange(SPACE.size)))
# The front: fitness counts twos, the cost all that is not zero.
FITNESS, COST = (GENOMES == 2).sum(1) + 0.1 * GENOMES[:, 0], (GENOMES > 0).sum(1) + 0.01 * GENOMES.sum(1) + 1
TABLE = table(SPACE, FITNESS, costs={"ms": COST})


def told(strategy, state, points, first_id=0):
    """Tells `(fitness, cost)` of as many members; the genome is the number of the point."""
    genomes = jnp.array([[first_id + i, 0, 0, 0] for i in range(len(points))], jnp.int32)
    fitness, cost = jnp.array(points, jnp.float32).T
    proposal = propose(genomes, jnp.int32(first_id))
    return jax.jit(strategy.tell)(jax.random.key(0), state, proposal, scored(fitness, cost=cost[:, None]))


NSGA2 = nsga2(SPACE, costs="ms", population_size=20)
SEEDS = 20


@pytest.fixture(scope="module")
def searches():
    """`[SEEDS, 12]` records."""
    keys = jax.random.split(jax.random.key(0), SEEDS)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(search_scan(NSGA2, TABLE, 12)))(keys)[1])


def alive(state):
    return {int(i) for i in state.id if i >= 0}


def test_best_ranks_survive_and_the_most_crowded_of_the_last_front_do_not():
    strategy = nsga2(SPACE, costs=("ms",), population_size=4)
    front = [(1, 1), (2, 2), (2.1, 2.1), (3, 3), (9, 9)]  # the middle of three that are close has the least room
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(0, 9), *front, (0, 8)])
    assert alive(state) == {1, 2, 4, 5} and state.front.all()


def test_no_better_member_is_ever_lost(searches):
    state, tell, front = NSGA2.init(jax.random.key(1)), jax.jit(NSGA2.tell), jax.jit(pareto.front)
    best, cheapest = -np.inf, np.inf
    for t in range(12):
        proposal, feedback = jax.tree.map(lambda leaf: leaf[0, t], searches)  # noqa: B023 used at once
        state = tell(jax.random.key(0), state, proposal, feedback)
        best, cheapest = max(best, feedback.fitness.max()), min(cheapest, feedback.cost.min())
        assert state.fitness.max() == best and state.cost.min() == cheapest
        np.testing.assert_array_equal(state.front, front(state.fitness, state.cost))


def test_hypervolume_of_the_population_grows_and_beats_random_search(searches):
    reference = np.array([0.0, 6.0])

    def volumes(fitness, cost):
        return np.asarray(jax.jit(jax.vmap(lambda f, c: pareto.hypervolume(f, c[:, None], reference)))(fitness, cost))

    (true,) = volumes(FITNESS[None], COST[None])
    ours = volumes(*(leaf[:, :10].reshape(SEEDS, 200) for leaf in (searches.feedback.fitness, searches.feedback.cost)))
    drawn = np.random.default_rng(0).integers(SPACE.size, size=(SEEDS, 200))  # what random search draws
    random = volumes(FITNESS[drawn], COST[drawn])
    assert ours.mean() > 0.97 * true > random.mean() + 3 * random.std() / np.sqrt(SEEDS)


def test_feasible_before_infeasible_and_less_violation_before_more():
    strategy = nsga2(SPACE, costs=("ms",), limits={"ms": 2.0}, population_size=3)
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(9, 8), (8, 4), (7, 6)])
    assert strategy.recommend(state)[0] == 1 and not state.front.any()  # the one that violates least
    state = told(strategy, state, [(1, 2.0), (5, 3)], first_id=3)
    assert state.id.tolist() == [3, 4, 1]
    assert strategy.recommend(state)[0] == 3 and state.front.tolist() == [True, False, False]


def test_recommends_the_best_feasible_fitness_of_the_front():
    strategy = nsga2(SPACE, costs=("ms",), limits={"ms": 4.0}, population_size=5)
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(1, 1), (3, 3), (4, 4), (9, 4.1), (4, 5)])
    assert strategy.recommend(state)[0] == 2


def test_tournaments_prefer_rank_and_then_room():
    strategy = nsga2(SPACE, costs=("ms",), population_size=3, proposals=3, crossover=0.0)
    # Members 0 and 2 are the ends of the front, 1 is between.
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(1, 1), (2, 2), (3, 3)])
    state = state.replace(asked=jnp.int32(300))
    parents = jax.jit(jax.vmap(lambda key: jax.jit(strategy.ask)(key, state)[0].parent))(
        jax.random.split(jax.random.key(0), 2000)
    )
    assert (parents[..., 1] == -1).all()
    share = np.bincount(np.asarray(parents[..., 0]).ravel(), minlength=3) / parents[..., 0].size
    # It wins against itself alone, 1/9; the ends are equal, and the one drawn first wins.
    np.testing.assert_allclose(share, [4 / 9, 1 / 9, 4 / 9], atol=0.015)


def test_children_take_decisions_of_both_parents_and_one_change():
    strategy = nsga2(SPACE, costs=("ms",), population_size=10, crossover=1.0)
    _, records = jax.jit(search_scan(strategy, TABLE, 20))(jax.random.key(0))
    genomes, parents = (
        np.asarray(leaf).reshape(200, -1) for leaf in (records.proposal.genome, records.proposal.parent)
    )
    assert (parents[:10] == -1).all() and (parents[10:] >= 0).all()
    both = genomes[parents[10:]]
    foreign = (genomes[10:, None] != both).all(1).sum(1)
    assert foreign.max() == 1 and foreign.mean() > 0.5


def test_without_mutation_and_crossover_children_are_their_parents():
    strategy = nsga2(SPACE, costs=("ms",), population_size=6, crossover=0.0, mutation=0.0)
    _, records = jax.jit(search_scan(strategy, TABLE, 5))(jax.random.key(0))
    genomes = np.asarray(records.proposal.genome).reshape(30, -1)
    parents = np.asarray(records.proposal.parent).reshape(30, 2)
    np.testing.assert_array_equal(genomes[6:], genomes[parents[6:, 0]])


def test_unusable_members_never_enter():
    strategy = nsga2(SPACE, costs=("ms",), population_size=3)
    points = [(1, 1), (jnp.nan, 0.5), (9, jnp.inf), (jnp.inf, 1)]
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), points)
    assert alive(state) == {0} and jnp.isfinite(state.cost).all()
    assert (jax.jit(strategy.ask)(jax.random.key(0), state.replace(asked=jnp.int32(9)))[0].parent[:, 0] == 0).all()


def test_without_a_usable_answer_proposals_stay_random():
    strategy = nsga2(SPACE, costs=("ms",), population_size=4)
    nothing = table(SPACE, np.full(SPACE.size, np.nan), costs={"ms": COST})
    keep = lambda record: (record.proposal.genome, record.proposal.parent)
    _, (genomes, parents) = jax.jit(search_many(strategy, nothing, 3, 300, record=keep, devices=jax.devices()[:1]))(
        jax.random.key(0)
    )
    assert (parents == -1).all() and len(np.unique(np.asarray(genomes[:, 2]).reshape(-1, 4), axis=0)) > 700  # of 1,296


def test_two_costs_and_a_limit_on_the_second():
    energy = 10.0 - GENOMES[:, 1]
    two = table(SPACE, FITNESS, costs={"ms": COST, "mj": energy})
    strategy = nsga2(SPACE, costs="ms,mj", limits={"mj": 6.0}, population_size=20)
    check_pair(strategy, two)
    state, _ = jax.jit(search_scan(strategy, two, 15))(jax.random.key(0))
    state = state.strategy
    assert state.front.any() and (state.cost[state.front, 1] <= 6).all()


def test_order_and_names_of_costs_are_checked_before_the_search():
    two = table(SPACE, FITNESS, costs={"ms": COST, "mj": COST})
    with pytest.raises(ValueError, match="strategy 'nsga2' expects costs mj, ms; evaluator 'table' gives ms, mj"):
        check_pair(nsga2(SPACE, costs=("mj", "ms")), two)
    with pytest.raises(ValueError, match="strategy 'nsga2' needs cost, which evaluator 'table' does not give"):
        check_pair(nsga2(SPACE, costs=("ms",)), table(SPACE, FITNESS))
    with pytest.raises(ValueError, match=r"nsga2: expected 2 costs \(a, b\), got 1"):
        strategy = nsga2(SPACE, costs=("a", "b"))
        told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(1, 1)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"costs": ()}, "costs: expected the names of one or more costs that the evaluator gives, got none"),
        ({"costs": "ms,ms"}, "costs: expected names that differ, got 'ms,ms'"),
        ({"limits": {"md": 1.0}}, "limits: unknown 'md'. Known: ms"),
        ({"limits": {"ms": 0}}, "limits, ms: expected a positive number, got 0"),
        ({"population_size": 1}, "population_size: expected at least 2, got 1"),
        ({"population_size": 8, "proposals": 9}, "proposals: expected at most 8"),
        ({"crossover": 1.1}, "crossover: expected a number in"),
        ({"mutation": -0.1}, "mutation: expected a number in"),
        ({"budget": -1}, "budget: expected at least 0"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nsga2(SPACE, **{"costs": ("ms",), **arguments})


def test_a_small_front_is_not_crowded_out_by_its_copies():
    space = categorical({name: range(20) for name in "ab"})
    genomes = np.asarray(space.from_index(np.arange(400)))
    fitness, ms = genomes[:, 0] - 2.0 * genomes[:, 1], 1.0 + genomes.sum(1)  # the front: all with b=0
    strategy = nsga2(space, costs="ms", population_size=20)
    run = search_scan(strategy, table(space, fitness, costs={"ms": ms}), 60)
    states = jax.jit(jax.vmap(lambda key: run(key)[0].strategy))(jax.random.split(jax.random.key(0), 5))
    for members in np.asarray(states.genomes):
        assert sorted(members.tolist()) == [[a, 0] for a in range(20)]


def test_copies_come_last_in_their_front_by_what_they_build():
    space = SPACE._replace(canonical=lambda genome: genome.at[3].set(0))
    strategy = nsga2(space, costs=("ms",), population_size=4)
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(5, 1), (0, 9)])
    twin = propose(jnp.array([[0, 0, 0, 3], [7, 0, 0, 0]]), jnp.int32(2))
    state = jax.jit(strategy.tell)(
        jax.random.key(0), state, twin, scored(jnp.array([5.0, -1.0]), cost=jnp.array([[1.0], [9.5]]))
    )
    assert state.id.tolist() == [0, 2, 1, 3] and state.crowding[1] == -1


def test_a_cost_that_is_not_known_is_no_merit():
    strategy = nsga2(SPACE, costs=("ms",), population_size=2)
    state = told(strategy, jax.jit(strategy.init)(jax.random.key(0)), [(9, jnp.nan), (1, 5), (8, jnp.nan)])
    assert alive(state) == {1} and strategy.recommend(state)[0] == 1
