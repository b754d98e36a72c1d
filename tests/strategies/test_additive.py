from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import table
from jaxnas.loop.compatibility import check_pair
from jaxnas.search import search, search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import additive, nsga2, regularized_evolution
from jaxnas.types import Evaluator, Feedback, scored

SPACE = categorical({"a": range(4), "b": range(3), "c": range(4), "d": range(2), "e": range(4), "f": range(4)})
GENOMES = np.asarray(SPACE.from_index(np.arange(SPACE.size)))
D, C = SPACE.mask.shape
RNG = np.random.default_rng(1)
EFFECTS, WHOLE, REAL = RNG.normal(size=(D, C)), RNG.integers(1, 9, size=(D, C)), RNG.gamma(2.0, size=(D, C))
REPLACEMENTS, P, FIRST_ASKS = 1 + 15, 6, 3
START = "a=1,b=2,c=0,d=1,e=3,f=2"


def summed(effects):
    return effects[np.arange(D), GENOMES].sum(1)


FITNESS, MS, MB = summed(EFFECTS), 3.0 * summed(WHOLE), summed(REAL)
TABLE = table(SPACE, FITNESS, costs={"ms": MS, "mb": MB})
LIMIT_MS, LIMIT_MB = 3.0 * 28, 10.0
KEY = jax.random.key(0)


@cache
def strategy(limits=(), costs="ms,mb", start=START):
    return additive(SPACE, costs=costs, limits=dict(limits), start=start, proposals=P, resolution=60)


@cache
def program(one, rounds):
    """A search of a table as a function of its key and the table."""

    def run(key, fitness, cost):
        def evaluate(_, state, proposal):
            rows = jax.vmap(SPACE.index)(proposal.genome)
            return scored(fitness[rows], cost=cost[rows], valid=jnp.isfinite(fitness[rows])), state

        gives = frozenset({"fitness", "cost"})
        evaluator = Evaluator("given", lambda key: (), evaluate, gives=gives, cost_names=one.cost_names or ("ms",))
        state, records = search_scan(one, evaluator, rounds)(key)
        return state.strategy, records

    return jax.jit(run)


def searched(one, rounds, fitness=FITNESS, cost=None):
    cost = np.stack([MS, MB], 1)[:, : max(len(one.cost_names), 1)] if cost is None else cost
    return program(one, rounds)(KEY, jnp.float32(fitness), jnp.float32(cost))


def best_within(ms=np.inf, mb=np.inf):
    return GENOMES[np.where((ms >= MS) & (mb >= MB), FITNESS, -np.inf).argmax()].tolist()


def proposed(records):
    return np.asarray(records.proposal.genome)[np.asarray(records.proposal.active)]


@pytest.mark.parametrize(
    ("limits", "optimum"),
    [
        ((), best_within()),
        ((("ms", LIMIT_MS),), best_within(ms=LIMIT_MS)),
        ((("mb", LIMIT_MB),), best_within(mb=LIMIT_MB)),
        ((("ms", LIMIT_MS), ("mb", LIMIT_MB)), best_within(LIMIT_MS, LIMIT_MB)),
    ],
    ids=["no costs", "a cost of whole units", "a cost that is rounded", "two costs"],
)
def test_where_effects_add_up_the_optimum_within_limits_comes_right_after_the_replacements(limits, optimum):
    one = strategy(limits, costs="ms,mb" if limits else "")
    state, records = searched(one, FIRST_ASKS + 1)
    assert records.proposal.genome[FIRST_ASKS, 0].tolist() == optimum
    assert one.recommend(state).tolist() == optimum


def test_first_come_the_start_and_all_that_differ_from_it_in_one_decision():
    _, records = searched(strategy((("ms", LIMIT_MS),)), FIRST_ASKS)
    genomes, active = proposed(records), np.asarray(records.proposal.active)
    assert SPACE.to_string(genomes[0]) == START and len(np.unique(genomes, axis=0)) == REPLACEMENTS
    assert ((genomes[1:] != genomes[0]).sum(1) == 1).all()
    assert active.sum(1).tolist() == [6, 6, 4] and active[2, :4].all()


def test_no_genome_is_proposed_twice_and_ids_are_in_order():
    _, records = searched(strategy((("ms", LIMIT_MS),)), 12)
    genomes = proposed(records)
    assert len(np.unique(genomes, axis=0)) == len(genomes) > 50
    np.testing.assert_array_equal(
        np.asarray(records.proposal.id)[np.asarray(records.proposal.active)], np.arange(len(genomes))
    )
    later = np.asarray(records.proposal.active)[FIRST_ASKS:]
    assert (np.sort(later, 1)[:, ::-1] == later).all()


def test_nothing_beyond_the_limits_is_proposed_where_costs_add_up():
    _, records = searched(strategy((("ms", LIMIT_MS), ("mb", LIMIT_MB))), 12)
    cost = np.asarray(records.feedback.cost)[FIRST_ASKS:][np.asarray(records.proposal.active)[FIRST_ASKS:]]
    assert len(cost) > 30 and (cost <= [LIMIT_MS, LIMIT_MB]).all()


def test_without_limits_budgets_are_spread_over_the_front():
    _, records = searched(strategy(costs="ms"), FIRST_ASKS + 1)
    rows = np.asarray(SPACE.index(records.proposal.genome[FIRST_ASKS]))
    end = MS[FITNESS.argmax()]
    assert len(set(MS[rows])) > 3 and np.ptp(MS[rows]) > 0.5 * (end - MS.min())
    # Each is the optimum of its budget: nothing that is as cheap is better.
    assert [FITNESS[MS[row] >= MS].max() for row in rows] == FITNESS[rows].tolist()


def test_two_costs_without_limits_are_spread_as_well():
    _, records = searched(strategy(), FIRST_ASKS + 2)
    cost = np.asarray(records.feedback.cost)[FIRST_ASKS:].reshape(-1, 2)
    assert (np.ptp(cost, 0) > 0.4 * np.array([np.ptp(MS), np.ptp(MB)])).all()


def test_front_has_the_optimum_of_every_budget():
    state, _ = searched(strategy(costs="ms"), FIRST_ASKS)
    front = jax.jit(lambda state: state.front(200))(state)
    for budget, fitness, genome in zip(front.budget[:, 0], front.fitness, front.genome, strict=True):
        assert fitness == pytest.approx(FITNESS[budget + 1e-3 >= MS].max(), abs=1e-4)
        assert FITNESS[SPACE.index(genome)] == pytest.approx(float(fitness), abs=1e-4)
    np.testing.assert_allclose(front.cost[:, 0], MS[SPACE.index(front.genome)], rtol=1e-5)


def test_before_anything_within_the_limits_is_evaluated_the_model_recommends():
    low = np.sort(MS)[20]
    one = strategy((("ms", float(low)),))
    state = jax.jit(one.init)(KEY)
    assert SPACE.to_string(one.recommend(state)) == START
    state, _ = searched(one, FIRST_ASKS)
    assert not jnp.isfinite(state.best.fitness)
    assert one.recommend(state).tolist() == best_within(ms=low)


@pytest.mark.parametrize("limits", [(("ms", 3.0),), (("ms", 3.0), ("mb", 0.1))], ids=["one", "two"])
def test_a_limit_that_nothing_meets_has_the_cheapest_evaluated_and_recommended(limits):
    one = strategy(limits)
    state, records = searched(one, FIRST_ASKS + 2)
    if len(limits) == 1:
        cheapest = MS.min()
        rows = np.asarray(SPACE.index(records.proposal.genome))
        assert MS[rows[FIRST_ASKS, 0]] == cheapest == MS[SPACE.index(one.recommend(state))]
    assert records.proposal.active[FIRST_ASKS:].all()


def interacting(key):
    """Fitness `[N]` of main effects and pairwise ones, as large in all, and costs `[N, 1]`."""
    keys = jax.random.split(key, 3)
    hot = jnp.asarray(np.eye(C, dtype=np.float32)[GENOMES]).reshape(len(GENOMES), -1)
    pairs = jnp.triu(jnp.ones((D, D)), 1)[:, None, :, None] * jax.random.normal(keys[1], (D, C, D, C))
    pairs = pairs * jnp.sqrt(2 / (D - 1))
    effects = jax.random.normal(keys[0], (D * C,))
    fitness = hot @ effects + jnp.sum((hot @ pairs.reshape(D * C, -1)) * hot, 1)
    return fitness, (hot @ jax.random.randint(keys[2], (D * C,), 1, 9).astype(jnp.float32))[:, None]


def test_refinement_beats_the_replacements_alone_and_evolution_on_average():
    seeds, rounds, limit = 20, 12, 25.0

    def mean_best(one):
        """Fitness within the limit, that is the best of all told by the end of each round, mean over seeds."""

        def run(key):
            fitness, cost = interacting(key)
            _, records = program(one, rounds)(key, fitness, cost)
            counts = records.proposal.active & (records.feedback.cost[..., 0] <= limit)
            best = jax.lax.cummax(jnp.where(counts, records.feedback.fitness, -jnp.inf).max(1))
            top = jnp.where(cost[:, 0] <= limit, fitness, -jnp.inf).max()
            return jnp.maximum(best, -20) - top, records.proposal.active.sum()

        found, evaluations = jax.jit(jax.vmap(run))(jax.random.split(KEY, seeds))
        return found.mean(0), evaluations.max()

    ours, evaluations = mean_best(strategy((("ms", limit),), costs="ms"))
    genetic, of_genetic = mean_best(nsga2(SPACE, costs="ms", limits={"ms": limit}, population_size=18, proposals=P))
    assert evaluations <= of_genetic
    assert ours[-1] > ours[FIRST_ASKS] + 0.5
    assert ours[-1] > genetic[-1] + 1


def test_without_costs_it_beats_evolution_on_average():
    def mean_best(one):
        def run(key):
            return program(one, 10)(key, *interacting(key))[1].feedback.fitness.max()

        return jax.jit(jax.vmap(run))(jax.random.split(KEY, 20)).mean()

    evolution = regularized_evolution(SPACE, population_size=18, tournament_size=6, proposals=P)
    assert mean_best(strategy(costs="")) > mean_best(evolution) + 0.5


def test_an_option_that_fails_is_left_alone():
    optimum = best_within(ms=LIMIT_MS)
    bad = next(d for d in range(D) if optimum[d] != SPACE.from_string(START)[d])
    fails = np.where(GENOMES[:, bad] == optimum[bad], np.nan, FITNESS)
    one = strategy((("ms", LIMIT_MS),))
    state, records = searched(one, 12, fitness=fails)
    row = SPACE.index(one.recommend(state))
    assert FITNESS[row] == np.where((MS <= LIMIT_MS) & np.isfinite(fails), FITNESS, -np.inf).max()
    invalid = np.isnan(fails[np.asarray(SPACE.index(proposed(records)))])
    assert invalid[:REPLACEMENTS].sum() == 1 and invalid[REPLACEMENTS:].mean() < 0.3
    assert jnp.isfinite(state.model().fitness).all()


def test_the_only_other_option_of_a_decision_that_fails_is_left_alone():
    d = SPACE.decisions.index("d")
    start = SPACE.from_string(START)
    fails = np.where(GENOMES[:, d] != start[d], np.nan, FITNESS)
    _, records = searched(strategy((("ms", LIMIT_MS),)), 12, fitness=fails)
    invalid = np.isnan(fails[np.asarray(SPACE.index(proposed(records)))])
    assert invalid[:REPLACEMENTS].sum() == 1 and invalid[REPLACEMENTS:].mean() < 0.1


def test_without_an_answer_of_the_start_it_finds_nearly_the_optimum_all_the_same():
    fails = FITNESS.copy()
    fails[SPACE.index(SPACE.from_string(START))] = np.nan
    state, _ = searched(strategy((("ms", LIMIT_MS),)), 12, fitness=fails)
    assert state.best.fitness >= np.sort(FITNESS[LIMIT_MS >= MS])[-5]


def test_costs_that_do_not_add_up_are_corrected():
    changes = (SPACE.from_string(START) != GENOMES).sum(1)
    dearer = MS + 4.0 * np.maximum(changes - 1, 0)  # which no replacement shows
    state, records = searched(strategy((("ms", LIMIT_MS),)), 12, cost=np.stack([dearer, MB], 1))
    cost, active = np.asarray(records.feedback.cost[..., 0]), np.asarray(records.proposal.active)
    first, last = cost[FIRST_ASKS][active[FIRST_ASKS]], cost[-3:][active[-3:]]
    assert (first <= LIMIT_MS).mean() < 0.3 and (last <= LIMIT_MS).mean() > 0.6
    assert state.best.fitness >= np.sort(FITNESS[dearer <= LIMIT_MS])[-3]
    np.testing.assert_allclose(state.model().predict(GENOMES)[1][:, 1], MB, rtol=1e-4)


def test_it_waits_for_the_replacements_whose_answers_may_come_in_any_order():
    one = strategy((("ms", LIMIT_MS),))
    ask, tell = jax.jit(one.ask), jax.jit(one.tell)
    state, asks = jax.jit(one.init)(KEY), []
    for _ in range(FIRST_ASKS):
        proposal, state = ask(KEY, state)
        asks.append(proposal)
    waiting, state = ask(KEY, state)
    assert not waiting.active.any()
    for proposal in reversed(asks):
        rows = np.asarray(SPACE.index(proposal.genome))
        answer = scored(jnp.float32(FITNESS[rows]), cost=jnp.float32(np.stack([MS, MB], 1)[rows]))
        state = tell(KEY, state, proposal, answer)
    first, state = ask(KEY, state)
    second, state = ask(jax.random.key(1), state)
    assert first.genome[0].tolist() == best_within(ms=LIMIT_MS)
    both = np.concatenate([first.genome[first.active], second.genome[second.active]])
    assert len(np.unique(both, axis=0)) == len(both)


def test_members_that_are_not_usable_teach_nothing():
    one = strategy((("ms", LIMIT_MS),))
    state, _ = searched(one, FIRST_ASKS + 1)
    proposal, state = jax.jit(one.ask)(jax.random.key(5), state)
    cost = jnp.full((P, 2), jnp.nan).at[0].set(1)
    answer = Feedback(jnp.full(P, 1e9), cost, jnp.arange(P) > 0)
    after = jax.jit(one.tell)(KEY, state, proposal, answer)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_a_program_on_the_host_finds_the_same():
    one = strategy((("ms", LIMIT_MS),))
    result = search(SPACE, one, TABLE, rounds=FIRST_ASKS + 1, progress=False)
    assert result.genome.tolist() == best_within(ms=LIMIT_MS)


def test_costs_of_the_evaluator_are_checked():
    with pytest.raises(ValueError, match="strategy 'additive' expects costs ms; evaluator 'table' gives ms, mb"):
        check_pair(strategy(costs="ms"), TABLE)
    one = strategy(costs="ms")
    proposal, state = one.ask(KEY, one.init(KEY))
    with pytest.raises(ValueError, match=r"additive: expected 1 costs \(ms\), got 2"):
        one.tell(KEY, state, proposal, scored(jnp.zeros(P), cost=jnp.zeros((P, 2))))
    with pytest.raises(ValueError, match="front: expected a search with one or two costs, got 0"):
        strategy(costs="").init(KEY).front()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"costs": "ms,ms"}, "costs: expected names that differ, got 'ms,ms'"),
        ({"costs": (), "limits": {"ms": 1.0}}, "limits: there are no costs to limit"),
        ({"limits": {"md": 1.0}}, "limits: unknown 'md'. Known: ms"),
        ({"limits": {"ms": 0}}, "limits, ms: expected a positive number, got 0"),
        ({"costs": "a,b,c"}, "costs: expected one or two budgets, got 3"),
        ({"costs": "a,b,c", "limits": dict.fromkeys("abc", 1.0)}, "limits: expected one or two budgets, got 3"),
        ({"start": "a=9"}, "expected decisions a, b, c, d, e, f in this order"),
        ({"start": [0, 0, 0, 5, 0, 0]}, "start: expected a position in \\[0, 1\\] for decision 'd', got 5"),
        ({"resolution": 0}, "resolution: expected at least 1"),
        ({"proposals": 8, "capacity": 7}, "capacity: expected at least 8"),
        ({"budget": -1}, "budget: expected at least 0"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        additive(SPACE, **{"costs": "ms", **arguments})


def test_a_sensitivity_search_takes_the_cheapest_of_what_loses_little():
    state, _ = searched(strategy(costs="ms"), FIRST_ASKS + 2)
    gains = np.where(SPACE.mask, EFFECTS, -np.inf)
    start = SPACE.from_string(START)
    lost = np.maximum(gains[np.arange(D), start][:, None] - gains, 0)
    for limit in (MS.min(), LIMIT_MS, MS.max()):
        genomes = [np.where(lost <= t + 1e-6, WHOLE, 99).argmin(1) for t in np.sort(lost[np.isfinite(lost)])]
        expected = next(g for g in genomes if 3.0 * WHOLE[np.arange(D), g].sum() <= limit)
        assert np.asarray(state.least_sensitive(jnp.array([limit]))).tolist() == expected.tolist()
    assert (
        np.asarray(state.least_sensitive(jnp.array([1.0]))).tolist()
        == np.where(SPACE.mask, WHOLE, 99).argmin(1).tolist()
    )


def test_limits_of_a_sensitivity_search_are_those_of_its_costs():
    with pytest.raises(ValueError, match=r"limits: expected \[2\], one for each cost, got \(1,\)"):
        strategy().init(KEY).least_sensitive(jnp.ones(1))
