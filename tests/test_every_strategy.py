"""What holds of every strategy: fits an evaluator or is refused by name, resumes to the bit, keeps the rules.

A new strategy or evaluator is in these tests once it is public; where a pair does not fit, it goes into `REFUSED`. What
proposals can be like is in `KINDS`, with a strategy of each that is really run with every evaluator.
"""

import functools
import inspect
import itertools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs, evaluators, tasks
from jaxnas.check import InputError
from jaxnas.config.registry import known, make
from jaxnas.loop.compatibility import check_pair
from jaxnas.networks import Choice
from jaxnas.search import search, search_many, search_scan
from jaxnas.spaces import categorical
from jaxnas.types import Evaluator, Feedback

OPTIONS = {"first": [0, 1, 2], "second": [0, 1], "third": [0, 1, 2]}
SPACE = categorical(OPTIONS, name="tiny", distance=lambda a, b: (a != b).sum().astype(jnp.float32))
FITNESS = np.random.default_rng(0).permutation(18).astype(np.float32)
COSTS = {"size": 1 + np.random.default_rng(1).permutation(18).astype(np.float32)}
STEPS = 2
ENDS = {"start": "first=0,second=0,third=0", "goal": "first=2,second=1,third=1"}

NAMES = sorted(known("strategy"))
OWN_BUDGETS = ("hurdles", "hyperband", "successive_halving")
"""Who says itself how long each member is trained, and is refused where that makes no difference."""
RELAXED = ("binary_gates", "darts", "gdas")
"""Who descends on a gradient."""
SHARED = (*RELAXED, "enas", "fair_paths", "sandwich")
"""Who needs weights that live on from one evaluation to the next."""
KINDS = {
    "a genome each, with a budget": "regularized_evolution",
    "budgets of its own, and a part of them inactive": "hyperband",
    "genomes that are told costs": "nsga2",
    "weights": "darts",
    "weights and gates": "gdas",
    "genomes that share weights": "enas",
}


@functools.cache  # one object, so that all tests share its compiled functions
def strategy(name):
    """The smallest of that name; three members in each ask, so that programs of evaluators are shared as well."""
    small = {
        "additive": {"capacity": 12},
        "bananas": {"initial": 3, "capacity": 12, "candidates": 6},
        "beam_search": ENDS,
        "regularized_evolution": {"population_size": 4, "tournament_size": 2},
        "hyperband": {"reduction": 2, "max_budget": STEPS},
        "successive_halving": {"reduction": 2, "min_budget": 1, "max_budget": STEPS},
        "enas": {"rounds": 2},
        "hurdles": {"stages": (1, STEPS), "children": 2, "population_size": 4, "tournament_size": 2},
        "gdas": {"rounds": 4},
        "sandwich": {"between": 1},
        "nsga2": {"population_size": 3, "costs": "size"},
    }
    proposals = {} if name in (*RELAXED, "fair_paths", "sandwich") else {"proposals": 3}
    budget = {} if name in (*OWN_BUDGETS, *SHARED) else {"budget": STEPS}
    return make("strategy", {"name": name, **proposals, **budget, **small.get(name, {})}, {"space": SPACE})


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(10)(x)


class Network(nn.Module):
    """Ten logits, the sum of a linear map for each decision."""

    @nn.compact
    def __call__(self, decisions, x, train):
        x = x.reshape(x.shape[0], -1)
        maps = {name: Choice({str(o): Linear for o in options}, name=name) for name, options in OPTIONS.items()}
        return sum(choice(decisions[name], x, train) for name, choice in maps.items())


def training(**options):
    return evaluators.training(SPACE, Network(), tasks.digits(), devices=jax.devices()[:1], **options)


def supernet():
    options = {"steps": 20, "learning_rate": 0.05, "batch_size": 32, "examples": 32}
    return evaluators.supernet(SPACE, Network(), tasks.digits(), **options)


@functools.cache
def landscape(scale=1.0):
    """Shared weights in closed form: the loss of a choice is its distance from one that the state drifts to."""
    aim = jnp.asarray(np.random.default_rng(2).uniform(size=SPACE.mask.shape) * SPACE.mask, jnp.float32)

    def loss(weights, state):
        return scale * ((weights - aim / (1 + state)) ** 2).sum()

    def evaluate(key, state, proposal):
        paths = jax.nn.one_hot(proposal.genome, SPACE.mask.shape[1])
        weights = paths if proposal.weights is None else proposal.weights
        value, gradient = jax.vmap(jax.value_and_grad(loss), (0, None))(weights, state)
        value = jnp.where(jnp.isfinite(value), value, jnp.nan)
        curvature = jnp.ones_like(value)
        feedback = Feedback(-value, jnp.zeros((*value.shape, 0)), jnp.isfinite(value), gradient, curvature)
        return feedback, state + proposal.budget.sum().astype(jnp.float32)

    gives = frozenset({"fitness", "gradient", "curvature", "shared"})
    return Evaluator("landscape", lambda key: jnp.float32(0), evaluate, gives=gives)


def zero_cost():
    options = {"proxies": "snip", "batch_size": 8, "devices": jax.devices()[:1]}
    return evaluators.zero_cost(SPACE, Network(), tasks.digits(), **options)


def by_table(**options):
    return evaluators.table(SPACE, FITNESS, **options)


def scalarized():
    return evaluators.scalarized(by_table(costs=COSTS), costs.weighted_product("size", target=9.0))


def with_cost():
    return evaluators.with_cost(by_table(), lambda genome: 1.0 + genome.sum(), "size")


TABLE = evaluators.table(SPACE, FITNESS[:, None, None] * np.ones(2), budgets=(1, STEPS), costs=COSTS)
EVALUATORS = {
    "direct": lambda: evaluators.direct(lambda key, genome: genome.sum().astype(jnp.float32)),
    "direct on the host": lambda: evaluators.direct(lambda key, genome: float(genome.sum()), jittable=False),
    "table": by_table,
    "table of budgets and costs": lambda: TABLE,
    "scalarized": scalarized,
    "with_cost": with_cost,
    "cached": lambda: evaluators.cached(TABLE, SPACE, capacity=8),
    "training": training,
    "training on the host": lambda: training(plan="bucket"),
    "supernet": supernet,
    "zero_cost": zero_cost,
}
WITHOUT_BUDGETS = (
    "direct",
    "direct on the host",
    "table",
    "scalarized",
    "with_cost",
    "supernet",
    "zero_cost",
)
REFUSED = {
    *itertools.product(OWN_BUDGETS, WITHOUT_BUDGETS),
    *itertools.product(
        ("nsga2",), set(EVALUATORS) - {"table of budgets and costs", "scalarized", "with_cost", "cached"}
    ),
    *itertools.product(SHARED, set(EVALUATORS) - {"supernet"}),
}


@functools.cache  # jitted here so that all strategies share one program of each
def built(title):
    evaluator = EVALUATORS[title]()
    if not evaluator.jittable:
        return evaluator
    run = jax.jit(evaluator.evaluate)
    # Without what only the strategy reads, which would make it another program.
    return evaluator._replace(evaluate=lambda key, state, p: run(key, state, p.replace(extra=None)))


def home(name):
    """An evaluator that it works with."""
    return landscape() if name in SHARED else TABLE


def test_no_public_evaluator_is_missing_here():
    public = {n for n in evaluators.__all__ if inspect.signature(getattr(evaluators, n)).return_annotation is Evaluator}
    assert public == {name.split()[0] for name in EVALUATORS}


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_fits_or_is_refused_by_name(name):
    refused = set()
    for title in EVALUATORS:
        try:
            check_pair(strategy(name), built(title))
        except InputError as error:
            assert repr(built(title).name) in str(error) and repr(name) in str(error)
            refused.add((name, title))
    assert refused == {pair for pair in REFUSED if pair[0] == name}


@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
def test_every_evaluator_answers_every_kind_of_proposal(name):
    for title in EVALUATORS:
        if (name, title) in REFUSED or (name, title) == ("regularized_evolution", "training on the host"):
            continue  # which compiles for each genome, and does for Hyperband
        result = search(SPACE, strategy(name), built(title), rounds=2, progress=False)
        assert result.evaluations >= 2 and result.invalid == 0
        assert (result.fitness is None) == (name in RELAXED)  # which recommend what was never evaluated alone
        assert SPACE.from_string(result.architecture).tolist() == result.genome.tolist()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*OWN_BUDGETS, *SHARED)])
def test_without_a_budget_training_refuses_it_and_says_what_to_give(name):
    message = re.escape(f"which strategy '{name}' does not give. Give the strategy budget=STEPS")
    given = {"name": name, **(ENDS if name == "beam_search" else {})}
    one = make("strategy", given, {"space": SPACE, "costs": ("size",)})  # neat too, as the space has a distance
    evaluator = evaluators.with_cost(built("training"), lambda genome: genome.sum(), "size")
    with pytest.raises(InputError, match=message):
        check_pair(one, evaluator)


def resumed(name, evaluator, folder):
    """The same search at once and in two parts."""

    def run(workdir, rounds):
        options = {"seed": 3, "progress": False, "workdir": workdir, "config": {"strategy": name}}
        return search(SPACE, strategy(name), evaluator, rounds=rounds, **options)

    whole = run(folder / "whole", 5)
    run(folder / "parts", 2)
    parts = run(folder / "parts", 5)
    jax.tree.map(np.testing.assert_array_equal, parts.state, whole.state)
    strip = lambda history: [{k: v for k, v in line.items() if k != "seconds"} for line in history]
    assert strip(parts.history) == strip(whole.history) and parts.architecture == whole.architecture
    return whole


@pytest.mark.parametrize("name", NAMES)
def test_resumed_it_equals_the_uninterrupted_run_and_ids_are_unique_and_in_order(name, tmp_path):
    whole = resumed(name, home(name), tmp_path)
    ids = [line["id"] for line in whole.history]
    assert (np.diff(ids) > 0).all()


def test_with_a_supernet_resumed_it_equals_the_uninterrupted_run(tmp_path):
    resumed("darts", built("supernet"), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_many_seeds_are_one_program(name):
    run = search_many(strategy(name), home(name), 3, seeds=2, record=lambda r: r.proposal.id, devices=jax.devices()[:1])
    if name not in ("regularized_evolution", "hyperband", "darts"):
        assert jax.eval_shape(run, jax.random.key(0))[1].shape[:2] == (2, 3)
        return
    keys = jax.random.split(jax.random.key(0), 2)
    alone = search_scan(strategy(name), home(name), 3, record=lambda r: r.proposal.id)
    np.testing.assert_array_equal(jax.jit(run)(jax.random.key(0))[1][1], jax.jit(alone)(keys[1])[1])


@pytest.mark.parametrize("name", NAMES)
def test_it_recommends_a_genome_before_anything_was_told(name):
    one = strategy(name)
    genome = np.asarray(jax.jit(lambda key: one.recommend(one.init(key)))(jax.random.key(0)))
    assert SPACE.from_string(SPACE.to_string(genome)).tolist() == genome.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_failures_leaves_it_running(name):
    nothing = {"fitness": np.full((18, 1, 2), np.nan), "budgets": (1, STEPS), "costs": COSTS}
    fails = landscape(np.inf) if name in SHARED else evaluators.table(SPACE, **nothing)
    result = search(SPACE, strategy(name), fails, rounds=4, progress=False)
    assert result.invalid == result.evaluations > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(getattr(result.state.strategy, "params", ())))
