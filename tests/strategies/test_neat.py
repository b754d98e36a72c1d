import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import spaces, tasks
from jaxnas.evaluators import direct, with_cost
from jaxnas.networks import GraphNetwork
from jaxnas.search import search, search_many
from jaxnas.spaces import graph
from jaxnas.strategies import neat, nsga2, random_search, regularized_evolution
from jaxnas.types import scored

SPACE = graph(2, 1)
XOR = tasks.xor()
EVALUATOR = direct(XOR.fitness, network=GraphNetwork())
P = 60
STRATEGY = neat(SPACE, proposals=P)
ASK, TELL = jax.jit(STRATEGY.ask), jax.jit(STRATEGY.tell)
EVALUATE = jax.jit(EVALUATOR.evaluate)


@pytest.fixture(scope="module")
def generations():
    """`[(state that was asked, proposal, feedback)]`."""
    state, found = STRATEGY.init(jax.random.key(0)), []
    for t in range(12):
        keys = jax.random.split(jax.random.key(t), 3)
        proposal, asked = ASK(keys[0], state)
        feedback, _ = EVALUATE(keys[1], (), proposal)
        found.append(jax.tree.map(np.asarray, (state, proposal, feedback)))
        state = TELL(keys[2], asked, proposal, feedback)
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
    for t in range(1, 8):  # nobody stagnates yet
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
        species = proposal.extra["species"]
        old = {int(n) for n in state.species.number if n >= 0} & set(species.tolist())
        founded = [s for s in set(species.tolist()) if s not in old]
        assert all(s >= int(state.founded) for s in founded)
        for s in founded:  # its founder is its first member, to which no species of before was near
            first = np.flatnonzero(species == s)
            apart = [
                float(SPACE.distance(*(jax.tree.map(lambda leaf: leaf[i], proposal.genome) for i in (first[0], j))))  # noqa: B023
                for j in first[1:3]
            ]
            assert all(d < state.threshold for d in apart)


def test_the_threshold_follows_the_number_of_species():
    def after(target, step):
        strategy = neat(SPACE, proposals=P, target_species=target, threshold_step=step, threshold=0.5)
        return float(jax.jit(strategy.ask)(jax.random.key(0), strategy.init(jax.random.key(0)))[1].threshold)

    assert after(1, 0.2) == pytest.approx(0.6) and after(32, 0.2) == pytest.approx(0.4)


def test_who_finds_no_place_goes_to_the_nearest_and_is_counted():
    strategy = neat(SPACE, proposals=P, max_species=2, target_species=1, threshold=0.01)
    proposal, state = jax.jit(strategy.ask)(jax.random.key(0), strategy.init(jax.random.key(0)))
    assert int(state.misplaced) == P - 2 and set(proposal.extra["species"].tolist()) == {0, 1}
    one = lambda i: jax.tree.map(lambda leaf: leaf[i], proposal.genome)
    for i in range(2, 10):
        apart = [float(SPACE.distance(one(j), one(i))) for j in (0, 1)]
        assert int(proposal.extra["species"][i]) == int(np.argmin(apart))


def told(state, fitness, strategy, t=0):
    proposal, asked = jax.jit(strategy.ask)(jax.random.key(t), state)
    return proposal, jax.jit(strategy.tell)(jax.random.key(t), asked, proposal, scored(fitness(proposal)))


def test_a_species_that_stagnates_has_no_children_unless_it_is_the_best():
    strategy = neat(SPACE, proposals=P, stagnation=2, threshold=0.8, threshold_step=0.0, refocus=1000)
    state = strategy.init(jax.random.key(1))
    for t in range(5):  # species 0 is the best, never better; the others neither
        proposal, state = told(state, lambda p: jnp.where(p.extra["species"] == 0, 2.0, 1.0), strategy, t)
    of = dict(zip(proposal.id.tolist(), proposal.extra["species"].tolist(), strict=True))
    assert len(set(of.values())) > 2
    stale = {int(n) for n, i in zip(state.species.number, state.species.improved, strict=True) if int(i) <= 2} - {0}
    following, _ = jax.jit(strategy.ask)(jax.random.key(9), state)
    parents = {of[i] for i in following.parent[:, 0].tolist()}
    assert stale and 0 in parents and not parents & stale


def test_members_that_failed_have_no_children_and_a_generation_of_failures_begins_anew():
    strategy = neat(SPACE, proposals=P)
    half = lambda p: jnp.where(jnp.arange(P) % 2 == 0, 1.0, jnp.nan)
    proposal, state = told(strategy.init(jax.random.key(0)), half, strategy)
    following, _ = jax.jit(strategy.ask)(jax.random.key(1), state)
    assert set(following.parent[:, 0].tolist()) <= set(proposal.id[::2].tolist())
    failed, state = told(state, lambda p: jnp.full(P, jnp.nan), strategy)
    again, _ = jax.jit(strategy.ask)(jax.random.key(1), state)
    assert (again.parent == -1).all() and not again.genome.node.any()
    assert not set(again.genome.weight[:, 0].tolist()) & set(failed.genome.weight[:, 0].tolist())


def test_negative_fitness_and_a_generation_of_equals_work():
    for fitness in (lambda p: -1.0 - p.id.astype(jnp.float32), lambda p: jnp.full(P, -3.0), lambda p: jnp.zeros(P)):
        state = STRATEGY.init(jax.random.key(0))
        for t in range(3):
            proposal, state = told(state, fitness, STRATEGY, t)
        assert np.isfinite(np.asarray(state.genomes.weight)).all() and (proposal.parent[:, 0] >= 0).all()


def test_exclusive_or_is_solved_by_every_seed():
    strategy = neat(SPACE)
    keep = lambda record: record.feedback.metrics["solved"].any()
    run = search_many(strategy, EVALUATOR, 100, seeds=6, record=keep, devices=jax.devices()[:1])
    assert np.asarray(jax.jit(run)(jax.random.key(0))[1]).any(1).all()


@pytest.mark.slow
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
        lambda: STRATEGY,
    ],
    ids=["regularized_evolution", "random_search", "neat"],
)
def test_strategies_on_graphs_share_the_loop(make, tmp_path):
    result = search(SPACE, make(), EVALUATOR, rounds=6, progress=False, workdir=str(tmp_path))
    assert result.fitness > 4 and result.refused == 0
    again = SPACE.from_string(result.architecture)
    fitness, _ = XOR.fitness(GraphNetwork().apply, again, None)
    assert float(fitness) == pytest.approx(result.fitness, rel=1e-5)
    assert all(line["genome"] is None and SPACE.from_string(line["architecture"]) for line in result.history[-5:])


def test_refused_mutations_are_counted_once_each():
    space = graph(2, 1, hidden=1, connections=3, add_node_rate=0.5)
    strategy = neat(space, proposals=20)
    result = search(space, strategy, EVALUATOR, rounds=8, progress=False)
    births = {line["id"]: line for line in result.history}
    own = [line["refused"] - births.get(line["parent"][0], {"refused": 0})["refused"] for line in result.history]
    assert result.refused == sum(own) > 20 and min(own) == 0 and max(own) <= 2


def test_two_objectives_work_on_graphs():
    evaluator = with_cost(EVALUATOR, lambda genome: genome.enabled.sum().astype(jnp.float32), "connections")
    strategy = nsga2(SPACE, population_size=10, proposals=10, costs="connections")
    assert search(SPACE, strategy, evaluator, rounds=3, progress=False).evaluations == 30


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
    state = STRATEGY.init(jax.random.key(0)).replace(species=generations[7][0].species)
    state = TELL(jax.random.key(1), state, proposal, scored(jnp.asarray(fitness)))
    children, _ = ASK(jax.random.key(2), state)
    of = dict(zip(proposal.id.tolist(), species.tolist(), strict=True))
    counted = collections.Counter(of[i] for i in children.parent[:, 0].tolist())
    median = np.median(fitness)
    lowest = median - 3 * (40 - median)
    mean = {s: np.maximum(fitness[species == s] - lowest, 0).mean() for s in set(species.tolist())}
    for s, share in mean.items():
        assert abs(counted[s] - P * share / sum(mean.values())) <= 1
