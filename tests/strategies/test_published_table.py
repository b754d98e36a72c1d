"""All strategies on the real NAS-Bench-201 table, against a plain-Python reference of 400 seeds."""

import jax
import numpy as np
import pytest

from jaxnas import costs, pareto, statistics
from jaxnas.evaluators import scalarized, table
from jaxnas.search import search_many, search_scan
from jaxnas.spaces import nasbench201
from jaxnas.strategies import local_search, nsga2, ppo, random_search, regularized_evolution, reinforce

SEEDS, AT = 1000, np.array([100, 300, 1000])
REFERENCE = {
    "random": ([91.032, 91.255, 91.436], [0.014, 0.010, 0.006]),
    "evolution 10/3": ([91.340, 91.554, 91.600], [0.014, 0.004, 0.001]),
    "evolution 50/10": ([91.378, 91.579, 91.593], [0.011, 0.005, 0.004]),
}
SPACE = nasbench201()
STRATEGIES = {
    "random": random_search(SPACE),
    "evolution 10/3": regularized_evolution(SPACE, population_size=10, tournament_size=3),
    "evolution 50/10": regularized_evolution(SPACE, population_size=50, tournament_size=10),
    "local search": local_search(SPACE),
}


@pytest.fixture(scope="module")
def evaluator(shared_data):
    file = shared_data / "nasbench201" / "nasbench201_cifar10.npz"
    if not file.exists():
        pytest.skip("the published NAS-Bench-201 table is not here")
    return table(SPACE, np.load(file)["val_acc_200ep_cifar10"])


@pytest.fixture(scope="module")
def anytime(evaluator):
    """name -> best validation accuracy after 100, 300 and 1,000 evaluations, `[SEEDS, 3]`."""
    return {name: curves(strategy, evaluator, AT, SEEDS) for name, strategy in STRATEGIES.items()}


def curves(strategy, evaluator, at, seeds):
    """`[seeds, len(at)]`: the best so far after as many evaluations."""
    run = search_scan(strategy, evaluator, at[-1], record=lambda record: record.feedback.fitness[0])
    curve = lambda key: jax.lax.cummax(run(key)[1])[at - 1]
    return np.asarray(jax.jit(jax.vmap(curve))(jax.random.split(jax.random.key(0), seeds)))


def assert_is_the_reference(ours, name):
    mean, stderr = (np.array(values[: ours.shape[1]]) for values in REFERENCE[name])
    # The reference rounds its standard errors to three digits.
    allowed = 3 * np.sqrt((stderr + 0.0005) ** 2 + ours.var(0) / len(ours))
    assert (np.abs(ours.mean(0) - mean) <= allowed).all(), (ours.mean(0), mean, allowed)


def test_evolution_at_100_and_300_evaluations_is_the_reference(evaluator):
    name = "evolution 10/3"
    assert_is_the_reference(curves(STRATEGIES[name], evaluator, AT[:2], 200), name)


@pytest.mark.statistical
@pytest.mark.parametrize("name", list(REFERENCE))
def test_anytime_performance_equals_the_reference(anytime, name):
    assert_is_the_reference(anytime[name], name)


@pytest.mark.statistical
def test_local_search_beats_both_evolutions_early(anytime):
    for rival in ("evolution 10/3", "evolution 50/10"):
        difference = anytime["local search"][:, :2] - anytime[rival][:, :2]
        assert (difference.mean(0) > 3 * difference.std(0) / np.sqrt(SEEDS)).all()


@pytest.mark.statistical
@pytest.mark.parametrize("controller", [reinforce, ppo])
def test_controllers_beat_random_search_at_500_and_1000_evaluations(evaluator, controller):
    """With their defaults, which were tuned on other seeds: of a search from key 12345."""
    seeds, best = 300, []
    for strategy in (controller(SPACE, proposals=5), random_search(SPACE, proposals=5)):
        run = search_many(strategy, evaluator, 200, seeds, record=lambda record: record.feedback.fitness)
        fitness = np.asarray(jax.jit(lambda key, run=run: run(key)[1])(jax.random.key(0))).reshape(seeds, -1)
        best.append(np.maximum.accumulate(fitness, 1)[:, [499, 999]])
    ours, random = best
    error = np.sqrt((ours.var(0) + random.var(0)) / seeds)
    assert (ours.mean(0) - random.mean(0) > 3 * error).all(), (ours.mean(0), random.mean(0), error)


@pytest.fixture(scope="module")
def by_latency(evaluator, shared_data):
    file = np.load(shared_data / "nasbench201" / "nasbench201_cifar10.npz")
    return table(SPACE, file["val_acc_200ep_cifar10"], costs={"ms": file["hw_edgegpu_latency_cifar10"]})


def evaluated(strategy, evaluator, rounds, record):
    found = jax.jit(lambda key: search_many(strategy, evaluator, rounds, 100, record=record)(key)[1])(jax.random.key(0))
    return [np.asarray(leaf).reshape(100, 500) for leaf in found]


@pytest.mark.statistical
def test_nsga2_finds_nearly_all_of_the_front_and_more_than_random_search(by_latency):
    known = by_latency.known()
    reference = np.array([known.fitness.min(), known.cost.max()])
    true = float(jax.jit(pareto.hypervolume)(known.fitness, known.cost, reference))
    shares = {}
    for name, strategy in {"nsga2": nsga2(SPACE, costs="ms"), "random": random_search(SPACE, proposals=50)}.items():
        fitness, ms = evaluated(strategy, by_latency, 10, lambda r: (r.feedback.fitness, r.feedback.cost))
        shares[name] = statistics.hypervolumes(fitness, ms[..., None], reference)[:, -1] / true
    assert shares["nsga2"].mean() > 0.997 and shares["nsga2"].max() <= 1 + 1e-6
    difference = shares["nsga2"] - shares["random"]
    assert difference.mean() > 5 * difference.std() / np.sqrt(100)


STATISTICAL = pytest.mark.statistical


@pytest.mark.parametrize("target", [4.0, pytest.param(2.0, marks=STATISTICAL), pytest.param(6.0, marks=STATISTICAL)])
def test_mnasnets_reward_finds_the_best_within_a_target_to_1_percent(by_latency, target):
    known = by_latency.known()
    best = known.fitness[known.cost[:, 0] <= target].max()
    reward = costs.weighted_product("ms", target=target, alpha=0.0, beta=-1.0)
    evolution = regularized_evolution(SPACE, population_size=50, tournament_size=10)
    keep = lambda r: (r.feedback.metrics["raw_fitness"], r.feedback.cost)
    accuracy, ms = evaluated(evolution, scalarized(by_latency, reward), 500, keep)
    found = np.where(ms <= target, accuracy, 0).max(1)
    assert found.mean() > 0.99 * best and (found > 0.99 * best).mean() > 0.8
