import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import problems, spaces
from jaxnas.evaluators import direct, with_cost
from jaxnas.networks import GraphNetwork
from jaxnas.search import search, search_many, search_scan
from jaxnas.spaces import graph
from jaxnas.strategies import neat, nsga2, random_search, regularized_evolution
from jaxnas.types import scored

SPACE = graph(2, 1)
XOR = problems.xor()
EVALUATOR = direct(XOR.fitness, network=GraphNetwork())
P = 60
STRATEGY = neat(SPACE, proposals=P)
INIT, ASK, TELL = jax.jit(STRATEGY.init), jax.jit(STRATEGY.ask), jax.jit(STRATEGY.tell)
EVALUATE = jax.jit(EVALUATOR.evaluate)
FITNESS = jax.jit(lambda genome: XOR.fitness(GraphNetwork().apply, genome, None)[0])
DISTANCES = jax.jit(jax.vmap(jax.vmap(SPACE.distance, (None, 0)), (0, None)))


def generation(t, state):
    keys = jax.random.split(jax.random.key(t), 3)
    proposal, asked = ASK(keys[0], state)
    feedback, _ = EVALUATE(keys[1], (), proposal)
    return proposal, feedback, TELL(keys[2], asked, proposal, feedback)


@pytest.fixture(scope="module")
def generations():
    """`[(state that was asked, proposal, feedback)]`."""
    state, found = INIT(jax.random.key(0)), []
    for t in range(12):
        proposal, feedback, following = generation(t, state)
        found.append(jax.tree.map(np.asarray, (state, proposal, feedback)))
        state = following
    return found


def test_spaces_without_a_distance_are_refused_by_name():
    with pytest.raises(
        ValueError, match="strategy 'neat' needs a space with distance, which space 'nasbench201' has not"
    ):
        neat(spaces.nasbench201())


def test_parents_are_of_the_last_generation_and_of_one_species(generations):
    mated = 0
    for (_, before, _), (_, proposal, _) in itertools.pairwise(generations):
        species = dict(zip(before.id.tolist(), before.extra["species"].tolist(), strict=True))
        assert set(proposal.parent[:, 0].tolist()) <= set(species)
        for a, b in proposal.parent.tolist():
            assert b == -1 or (b in species and species[a] == species[b])  # at a rate of .001, none between
            mated += b >= 0
    assert 0.6 < mated / (P * (len(generations) - 1)) < 0.76  # .75 of all but the fittest of each species


def test_a_species_has_children_in_proportion_to_its_mean_fitness(generations):
    for t in range(1, 8):  # none stagnates yet
        (_, before, feedback), (_, after, _) = generations[t - 1], generations[t]
        species = before.extra["species"]
        mean = {s: feedback.fitness[species == s].mean() for s in set(species.tolist())}
        of = dict(zip(before.id.tolist(), species.tolist(), strict=True))
        children = collections.Counter(of[i] for i in after.parent[:, 0].tolist())
        for s, fitness in mean.items():
            assert abs(children[s] - P * fitness / sum(mean.values())) <= 1


def test_the_fittest_of_a_large_species_is_handed_on_unchanged(generations):
    handed = 0
    for (_, before, feedback), (_, after, _) in itertools.pairwise(generations):
        species = before.extra["species"]
        genomes = lambda p, i: SPACE.to_string(jax.tree.map(lambda leaf: leaf[i], p.genome))
        there = {genomes(after, i) for i in range(P)}
        for s in set(species.tolist()):
            members = np.flatnonzero(species == s)
            if len(members) > 5:
                assert genomes(before, members[np.argmax(feedback.fitness[members])]) in there
                handed += 1
    assert handed > 5


def test_members_are_within_the_threshold_of_the_oldest_species_that_has_them(generations):
    for state, proposal, _ in generations[1:]:
        species, apart = proposal.extra["species"], DISTANCES(proposal.genome, proposal.genome)
        old = {int(n) for n in state.species.number if n >= 0} & set(species.tolist())
        founded = [s for s in set(species.tolist()) if s not in old]
        assert all(s >= int(state.founded) for s in founded)
        for s in founded:  # its founder is its first member, to which no species of before was near
            first = np.flatnonzero(species == s)
            assert (apart[first[0], first[1:]] < state.threshold).all()


def at(threshold, key=0):
    """The first state, and what it proposes within that threshold."""
    state = INIT(jax.random.key(key)).replace(threshold=jnp.float32(threshold))
    return ASK(jax.random.key(0), state)


def test_the_threshold_follows_the_number_of_species():
    seen = set()
    for threshold in np.geomspace(0.1, 3, 12):
        proposal, state = at(threshold)
        sign = np.sign(len(set(proposal.extra["species"].tolist())) - 10)
        assert float(state.threshold) == pytest.approx(threshold * (1 + 0.2 * sign))
        seen.add(int(sign))
    assert seen >= {-1, 1}


def test_genomes_without_a_place_go_to_the_nearest_species_and_are_counted():
    proposal, state = at(1e-4)  # there are 32 places
    assert int(state.misplaced) == P - 32 and set(proposal.extra["species"].tolist()) == set(range(32))
    apart = DISTANCES(proposal.genome, proposal.genome)[:32, 32:]
    np.testing.assert_array_equal(proposal.extra["species"][32:], np.argmin(apart, 0))


def told(state, fitness, t=0):
    proposal, asked = ASK(jax.random.key(t), state)
    return proposal, TELL(jax.random.key(t), asked, proposal, scored(fitness(proposal)))


def test_a_species_that_stagnates_has_no_children_unless_it_is_the_best():
    state, improved = INIT(jax.random.key(1)), {}
    for t in range(4):  # species 0 is the best, never better; the others neither
        state = state.replace(threshold=jnp.float32(0.8))
        proposal, state = told(state, lambda p: jnp.where(p.extra["species"] == 0, 2.0, 1.0), t)
        for number, generation in zip(state.species.number.tolist(), state.species.improved.tolist(), strict=True):
            assert number < 0 or improved.setdefault(number, generation) == generation
    of = dict(zip(proposal.id.tolist(), proposal.extra["species"].tolist(), strict=True))
    odd = {number for number in of.values() if number % 2}
    assert odd and len(set(of.values()) - odd) > 1  # 15 generations without a rise are let pass, 16 not
    since = jnp.where(state.species.number % 2 == 1, 15, 16)
    state = state.replace(species=state.species.replace(improved=state.generation - since))
    following, _ = ASK(jax.random.key(9), state)
    assert {of[i] for i in following.parent[:, 0].tolist()} == {0} | odd


def test_members_that_failed_have_no_children_and_a_generation_of_failures_is_sampled_again():
    half = lambda p: jnp.where(jnp.arange(P) % 2 == 0, 1.0, jnp.nan)
    proposal, state = told(INIT(jax.random.key(0)), half)
    following, _ = ASK(jax.random.key(1), state)
    assert set(following.parent[:, 0].tolist()) <= set(proposal.id[::2].tolist())
    failed, state = told(state, lambda p: jnp.full(P, jnp.nan))
    again, _ = ASK(jax.random.key(1), state)
    assert (again.parent == -1).all() and not again.genome.node.any()
    assert not set(again.genome.weight[:, 0].tolist()) & set(failed.genome.weight[:, 0].tolist())


def test_negative_fitness_and_a_generation_of_equals_work():
    for fitness in (lambda p: -1.0 - p.id.astype(jnp.float32), lambda p: jnp.full(P, -3.0), lambda p: jnp.zeros(P)):
        state = INIT(jax.random.key(0))
        for t in range(3):
            proposal, state = told(state, fitness, t)
        assert np.isfinite(np.asarray(state.genomes.weight)).all() and (proposal.parent[:, 0] >= 0).all()


def test_exclusive_or_is_solved():
    state, solved = INIT(jax.random.key(0)), False
    for t in range(100):
        _, feedback, state = generation(t, state)
        solved = feedback.metrics["solved"].any()
        if solved:
            break
    assert solved


@pytest.mark.statistical
def test_exclusive_or_is_solved_by_every_seed():
    strategy = neat(SPACE)
    keep = lambda record: record.feedback.metrics["solved"].any()
    run = search_many(strategy, EVALUATOR, 100, seeds=6, record=keep, devices=jax.devices()[:1])
    assert np.asarray(jax.jit(run)(jax.random.key(0))[1]).any(1).all()


@pytest.mark.statistical
def test_exclusive_or_is_solved_by_a_hundred_seeds_in_as_many_generations_as_in_the_paper():
    keep = lambda record: record.feedback.metrics["solved"].any()
    run = search_many(neat(SPACE), EVALUATOR, 150, seeds=100, record=keep, devices=jax.devices()[:1])
    solved = np.asarray(jax.jit(run)(jax.random.key(0))[1])
    assert solved.any(1).all() and (solved.argmax(1) + 1).mean() < 32 + 3  # the paper's mean


@pytest.mark.parametrize(
    "make",
    [
        lambda: regularized_evolution(SPACE, population_size=20, tournament_size=5, proposals=10),
        lambda: random_search(SPACE, proposals=10),
    ],
    ids=["regularized_evolution", "random_search"],
)
def test_strategies_on_graphs_share_the_loop(make, tmp_path):
    result = search(SPACE, make(), EVALUATOR, rounds=6, progress=False, workdir=str(tmp_path))
    assert result.fitness > 4 and result.overflow == 0
    assert_architectures_are_all_of_a_genome(SPACE, result)


def assert_architectures_are_all_of_a_genome(space, result):
    again = space.from_string(result.architecture)
    assert float(FITNESS(again)) == pytest.approx(result.fitness, rel=1e-5)
    assert all(line["genome"] is None and space.from_string(line["architecture"]) for line in result.history[-5:])


def test_neat_in_the_loop_and_dropped_mutations_are_counted_once_each(tmp_path):
    space = graph(2, 1, hidden=1, connections=3, add_node_rate=0.5)
    strategy = neat(space, proposals=20)
    result = search(space, strategy, EVALUATOR, rounds=8, progress=False, workdir=str(tmp_path))
    assert result.fitness > 4
    assert_architectures_are_all_of_a_genome(space, result)
    births = {line["id"]: line for line in result.history}
    own = [line["overflow"] - births.get(line["parent"][0], {"overflow": 0})["overflow"] for line in result.history]
    assert result.overflow == sum(own) > 20 and min(own) == 0 and max(own) <= 2


def test_two_objectives_work_on_graphs():
    evaluator = direct(lambda key, genome: genome.weight.sum())
    evaluator = with_cost(evaluator, lambda genome: genome.enabled.sum().astype(jnp.float32), "connections")
    strategy = nsga2(SPACE, population_size=10, proposals=10, costs="connections")
    state, records = jax.jit(search_scan(strategy, evaluator, 6))(jax.random.key(0))
    assert records.feedback.valid.all() and state.strategy.front.any()
    assert state.strategy.fitness.max() == records.feedback.fitness.max()
    assert state.strategy.cost.min() == records.feedback.cost.min()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"proposals": 1}, "proposals: expected at least 2, got 1"),
        ({"target_species": 40}, r"target_species: expected at most 32 \(max_species\), got 40"),
        ({"survival": 2.0}, "survival: expected a number"),
        ({"crossover_rate": -0.1}, "crossover_rate: expected a number"),
        ({"stagnation": 1.5}, "stagnation: expected an integer"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        neat(SPACE, **arguments)


def test_a_penalty_does_not_make_all_species_alike(generations):
    _, proposal, _ = generations[6]
    species = proposal.extra["species"]
    good, bad = collections.Counter(species.tolist()).most_common(2)
    fitness = np.where(species == good[0], 40.0, 1.0).astype(np.float32)
    fitness[np.flatnonzero(species == bad[0])[0]] = -1e6
    state = INIT(jax.random.key(0)).replace(species=generations[7][0].species)
    state = TELL(jax.random.key(1), state, proposal, scored(jnp.asarray(fitness)))
    children, _ = ASK(jax.random.key(2), state)
    of = dict(zip(proposal.id.tolist(), species.tolist(), strict=True))
    counted = collections.Counter(of[i] for i in children.parent[:, 0].tolist())
    median = np.median(fitness)
    lowest = median - 3 * (40 - median)
    mean = {s: np.maximum(fitness[species == s] - lowest, 0).mean() for s in set(species.tolist())}
    for s, share in mean.items():
        assert abs(counted[s] - P * share / sum(mean.values())) <= 1
