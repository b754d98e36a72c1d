"""Several rounds as one program are the same search; a time limit ends it; rounds in groups are the same rounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import problems
from jaxnas.check import InputError
from jaxnas.evaluators import direct, table
from jaxnas.loop.groups import in_groups, turns_of
from jaxnas.networks import GraphNetwork
from jaxnas.population import over_population
from jaxnas.search import Phase, search
from jaxnas.spaces import categorical, graph
from jaxnas.strategies import local_search, neat, random_search, regularized_evolution
from jaxnas.types import Evaluator, propose, scored

SPACE = categorical({"a": range(6), "b": range(5), "c": range(4)})
EVALUATOR = table(SPACE, np.random.default_rng(0).normal(size=SPACE.size))
EVOLUTION = regularized_evolution(SPACE, population_size=8, tournament_size=3, proposals=2)
GRAPHS = graph(2, 1, hidden=2, connections=6)


def lines(result):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in result.history]


def alike(one, two):
    assert lines(one) == lines(two) and one.architecture == two.architecture and one.fitness == two.fitness
    jax.tree.map(np.testing.assert_array_equal, one.state, two.state)


@pytest.mark.parametrize(
    ("space", "strategy", "evaluator"),
    [
        (SPACE, EVOLUTION, EVALUATOR),
        (SPACE, local_search(SPACE, proposals=4), EVALUATOR),
        (
            GRAPHS,
            neat(GRAPHS, proposals=20),
            direct(problems.xor().fitness, network=GraphNetwork(activation="sigmoid", output="sigmoid")),
        ),
    ],
    ids=["evolution", "local_search", "neat"],
)
def test_rounds_in_one_program_are_the_same_search(space, strategy, evaluator):
    options = {"rounds": 11, "seed": 3, "progress": False}
    one = search(space, strategy, evaluator, rounds_per_call=1, **options)
    alike(search(space, strategy, evaluator, rounds_per_call=4, **options), one)


def test_it_may_differ_where_a_run_is_resumed_and_phases_end_within_a_call(tmp_path):
    phases = [Phase(random_search(SPACE, proposals=2), 5), Phase(EVOLUTION, 9)]
    whole = search(SPACE, phases, EVALUATOR, rounds_per_call=1, progress=False)
    options = {"workdir": tmp_path, "progress": False, "config": {"mine": 1}}
    search(SPACE, [phases[0]], EVALUATOR, rounds_per_call=4, **options)
    search(SPACE, [phases[0], Phase(EVOLUTION, 3)], EVALUATOR, rounds_per_call=1, **options)
    seen = []
    alike(search(SPACE, phases, EVALUATOR, on_round=seen.append, **options), whole)
    assert [metrics["round"] for metrics in seen] == list(range(8, 14))
    assert seen[-1]["evaluations"] == 28 and set(seen[-1]["seconds"]) == {"call", "checkpoint", "compile", "total"}


def test_evaluators_on_the_host_run_round_by_round():
    with pytest.raises(InputError, match="rounds_per_call: evaluator 'direct' runs on the host"):
        search(SPACE, EVOLUTION, direct(lambda key, g: 0.0, jittable=False), rounds=2, rounds_per_call=2)


def test_a_time_limit_ends_the_search_and_more_time_resumes_it(tmp_path):
    options = {"rounds": 40, "seed": 1, "progress": False, "rounds_per_call": 2}
    part = search(SPACE, EVOLUTION, EVALUATOR, seconds=0.0, workdir=tmp_path, **options)
    assert part.out_of_time and part.evaluations == 2 and part.fitness is not None  # of the call that ran then
    assert search(SPACE, EVOLUTION, EVALUATOR, seconds=0.0, workdir=tmp_path, **options).evaluations == 2
    rest = search(SPACE, EVOLUTION, EVALUATOR, seconds=1000.0, workdir=tmp_path, **options)
    assert not rest.out_of_time
    alike(rest, search(SPACE, EVOLUTION, EVALUATOR, **options))


def test_a_time_limit_within_an_early_phase_recommends_by_its_strategy():
    phases = [Phase(random_search(SPACE, proposals=2), 5), Phase(local_search(SPACE), 9)]
    found = search(SPACE, phases, EVALUATOR, seconds=0.0, rounds_per_call=1, progress=False)
    assert found.out_of_time and found.fitness == max(found.history.column("fitness")) and len(found.history) == 2


def test_turns_give_every_device_work():
    active = np.array([1, 1, 0, 1, 1, 1, 1, 0, 1], bool)
    turns = turns_of(active, 3)  # blocks of three members
    assert [turn.tolist() for turn in turns] == [[0, 3, 6], [1, 4, 8], [5]]
    assert [turn.tolist() for turn in turns_of(active, 1)] == [[0], [1], [3], [4], [5], [6], [8]]


def test_a_round_in_groups_is_the_same_round_by_the_same_program():
    population = over_population(lambda genome, x: jnp.sin(x * genome.sum()), plan="map")
    calls, told = [], []
    program = jax.jit(lambda proposal: population.run(proposal.genome, proposal.active, jnp.arange(20.0)))

    def evaluate(key, state, proposal):
        calls.append(int(proposal.active.sum()))
        return scored(program(proposal)), state + 1

    active = np.arange(20) % 7 != 3
    proposal = propose(jnp.arange(40).reshape(20, 2), jnp.int32(0), active=active)
    split = in_groups(evaluate, population.group, timer=iter(range(0, 1000, 10)).__next__, answered=told.append)
    whole, _ = evaluate(None, 0, proposal)
    feedback, state = split(None, 0, proposal)
    jax.tree.map(np.testing.assert_array_equal, feedback, whole)
    assert calls[1:] == told and sum(told) == active.sum() and state == len(told) > 1
    assert program._cache_size() == 1


def test_what_a_host_evaluator_says_of_some_members_is_kept():
    def judged(key, genome):
        if genome[0] == 0:
            raise ValueError("no zeros")
        return float(genome[1]), ({"twos": 2.0} if genome[0] == 2 else {})

    evaluator, told = direct(judged, jittable=False), []
    split = in_groups(evaluator.evaluate, 1, timer=iter(range(0, 1000, 10)).__next__, answered=told.append)
    proposal = propose(np.array([[2, 1], [0, 1], [1, 3], [0, 4]]), np.int32(0))
    one, two = evaluator.evaluate(jax.random.key(0), np.int32(0), proposal), split(jax.random.key(0), 0, proposal)
    assert one[1] == two[1] == 1 and told == [1, 1, 1, 1]
    assert two[0].metrics["error"].tolist() == one[0].metrics["error"].tolist()
    np.testing.assert_array_equal(two[0].metrics["twos"], [2, np.nan, np.nan, np.nan])


def test_a_search_in_groups_tells_of_members_within_a_round(monkeypatch):
    from jaxnas.loop.progress import Progress

    told = []
    monkeypatch.setattr(Progress, "answered", lambda self, members: told.append(members))
    search(SPACE, random_search(SPACE, proposals=6), _grouped(), rounds=1, progress=False)
    assert sum(told) == 6 and len(told) > 1


def _grouped() -> Evaluator:
    return direct(lambda key, genome: float(genome.sum()), jittable=False)
