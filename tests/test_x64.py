"""In JAX's 64-bit mode everything is as without: the same genomes, proposals and states, to the bit and the type."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, pareto, rng, spaces, strategies
from jaxnas.networks import GraphNetwork, gradient_descent, inherited
from jaxnas.search import search_scan
from jaxnas.types import Evaluator, Feedback
from tests.support.x64 import assert_same_program, assert_same_values

CODES = np.arange(0, 4000, 7, dtype=np.int32)
SPACES = {
    "small": lambda: spaces.categorical({"a": range(3), "b": range(2), "c": range(4)}),
    "of many options": lambda: spaces.categorical({"a": range(300), "b": range(2)}),
    "darts": spaces.darts,
    "mobilenet": lambda: spaces.mobilenet(stages=2),
    "nasbench101": spaces.nasbench101,
    "nasbench101 of known cells": lambda: spaces.nasbench101(CODES),
    "nasbench201": spaces.nasbench201,
    "nasnet": lambda: spaces.nasnet(blocks=2),
    "graph": lambda: spaces.graph(2, 1, hidden=3, connections=6, add_node_rate=0.4, add_connection_rate=0.6),
    "recurrent graph": lambda: spaces.graph(2, 1, hidden=3, connections=6, recurrent=True, add_node_rate=0.5),
}


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


def about(space, key):
    """All that a space says of some genomes."""
    keys = jax.random.split(key, 4)
    a, b = (jax.vmap(space.sample)(jax.random.split(k, 3)) for k in keys[:2])
    found = {"sampled": a}
    for _ in range(3):  # so that graphs grow
        a = jax.vmap(space.mutate)(jax.random.split(keys[2], 3), a)
    found |= {"mutated": a, "crossed": jax.vmap(space.crossover)(jax.random.split(keys[3], 3), a, b)}
    found |= {"canonical": jax.vmap(space.canonical)(a), "pruned": jax.vmap(space.pruned)(a)}
    if space.distance is not None:
        found |= {"distance": jax.vmap(space.distance)(a, b), "overflow": jax.vmap(space.overflow)(a)}
        return found
    found |= {"neighbors": jax.vmap(space.neighbors)(a), "features": jax.vmap(space.features)(a)}
    weights = jax.random.uniform(keys[0], space.mask.shape, jnp.float32)
    found |= {"derived": space.derive(weights), "unpacked": space.unpack(a[0]), "weights": space.unpack(weights)}
    if space.index is not None:
        rows = jax.vmap(space.index)(a)
        found |= {"index": rows, "from_index": space.from_index(jnp.minimum(rows, int(space.size) - 1))}
    if space.allowed is not None:
        found["allowed"] = space.allowed(a[0], 3)
    if len(space.decisions) == 6 and space.name == "nasbench201":
        found["paths"] = spaces.path_encoding(a[0])
    if space.name == "darts":
        found["skips"] = spaces.skip_connections(space)[1](a[0])
    return found


@pytest.mark.parametrize("name", SPACES)
def test_spaces_compute_the_same(name):
    assert_same_program(functools.partial(about, SPACES[name]()))


@pytest.mark.parametrize(
    "name", ["small", *map(slow, ("of many options", "mobilenet", "darts", "nasbench101", "graph"))]
)
def test_genomes_are_the_same(name):
    assert_same_values(functools.partial(about, SPACES[name]()))


TINY = {
    "additive": {"proposals": 3, "resolution": 20},
    "bananas": {"initial": 2, "capacity": 8, "candidates": 4, "proposals": 2, "parents": 2},
    "beam_search": {"start": "a=0,b=0,c=0", "goal": [2, 1, 3], "proposals": 2},
    "enas": {"rounds": 4, "hidden": 4, "proposals": 2},
    "gdas": {"rounds": 4},
    "hurdles": {"stages": (1, 3), "children": 3, "population_size": 4, "tournament_size": 2, "proposals": 2},
    "hyperband": {"max_budget": 4, "reduction": 2, "proposals": 3},
    "nsga2": {"population_size": 4, "costs": "size"},
    "neat": {"proposals": 8, "target_species": 3, "max_species": 4},
    "ppo": {"hidden": 4, "proposals": 3},
    "regularized_evolution": {"population_size": 4, "tournament_size": 2, "proposals": 2},
    "reinforce": {"hidden": 4, "proposals": 3},
    "successive_halving": {"min_budget": 1, "max_budget": 4, "reduction": 2, "members": 5, "proposals": 3},
}
KNOWN = [{"architecture": f"a=0,b=0,c={i}", "fitness": float(i)} for i in range(3)]
OTHERWISE = (
    "Policy",
    "independent_policy",
    "lstm_policy",
    "early_stopping",
    "neat",
    "Trials",
    "trials_of",
    "warm_start",
)
WAYS = {
    **{name: (name, {}, "small") for name in strategies.__all__ if name not in OTHERWISE},
    "additive within limits": ("additive", {"costs": "size", "limits": {"size": 3.0}}, "small"),
    "independent_policy": ("reinforce", {"policy": strategies.independent_policy}, "small"),
    "lstm_policy": ("reinforce", {"policy": strategies.lstm_policy}, "darts"),
    "policy of restricted options": ("ppo", {"policy": strategies.independent_policy}, "darts"),
    "exhaustive of distinct": ("exhaustive", {"distinct": True, "proposals": 2}, "nasbench201"),
    "evolution of many": ("regularized_evolution", {"population_size": 300}, "of many options"),
    "evolution of graphs": ("regularized_evolution", {}, "graph"),
    "neat": ("neat", {}, "graph"),
    "nsga2 within limits": ("nsga2", {"limits": {"size": 3.0}}, "graph"),
    "early_stopping": ("darts", {}, "small"),
    "warm_start": ("regularized_evolution", {}, "small"),
    "darts with a cost": ("darts", {"expected_cost": lambda p: (p**2).sum(), "cost_weight": 0.1}, "small"),
}


def everything():
    """Gives all that a strategy may need, as numbers of whatever width the mode makes them."""

    def evaluate(key, state, proposal):
        total = sum(leaf.reshape(len(leaf), -1).astype(jnp.float32).sum(1) for leaf in jax.tree.leaves(proposal.genome))
        fitness, cost, given = jnp.sin(total), jnp.cos(total)[:, None] + 2, {}
        if proposal.weights is not None:
            given = {"gradient": jnp.sin(9 * proposal.weights), "curvature": fitness**2}
        feedback = Feedback(fitness, cost, jnp.ones(fitness.shape, bool), **given)
        return jax.tree.map(lambda leaf: leaf if leaf.dtype == bool else leaf.astype(float), feedback), state

    gives = frozenset({"fitness", "cost", "gradient", "curvature", "budget", "shared"})
    return Evaluator("everything", lambda key: (), evaluate, gives=gives, cost_names=("size",))


def searched(way, rounds):
    """`key -> ` the state, all proposals and the recommendation of a search."""
    name, options, space = WAYS[way]
    strategy = getattr(strategies, name)(SPACES[space](), **{**TINY.get(name, {}), **options})
    if way == "early_stopping":
        strategy = strategies.early_stopping(strategy, start=1, window=2)
    if way == "warm_start":
        strategy = strategies.warm_start(strategy, SPACES[space](), initial=["a=0,b=0,c=1"], trials=KNOWN)
    run = search_scan(strategy, everything(), rounds)

    def program(key):
        state, records = run(key)
        return state.strategy, records.proposal, strategy.recommend(state.strategy)

    return program


@pytest.mark.parametrize("way", WAYS)
def test_strategies_compute_the_same(way):
    assert_same_program(searched(way, 4))


@pytest.mark.parametrize("way", [way if way == "darts" else slow(way) for way in WAYS])
def test_proposals_are_the_same(way):
    assert_same_values(searched(way, 8))


def test_draws_of_few_bits_stay_within_their_range():
    with jax.enable_x64(True):
        drawn = rng.below(rng.uint16_pairs(jax.random.key(0), 1000), 7)
    assert drawn.dtype == jnp.int32 and set(drawn.tolist()) == set(range(7))


def test_cached_answers_are_the_same():
    space = SPACES["small"]()
    evaluator = evaluators.cached(
        evaluators.direct(lambda key, genome: genome[0].astype(jnp.float32)), space, capacity=5
    )
    assert_same_program(search_scan(strategies.random_search(space, proposals=3), evaluator, 4))


@pytest.mark.parametrize("recurrent", [False, True])
def test_graphs_compute_the_same(recurrent):
    space = spaces.graph(2, 1, hidden=3, connections=6, recurrent=recurrent)
    network = GraphNetwork()

    def loss(apply, genome, key):
        outputs = apply(genome, jnp.ones((5, 2), jnp.float32))
        return jnp.sum(outputs[0] if recurrent else outputs)

    tune = gradient_descent(loss, network=network, steps=3, learning_rate=0.1)
    assert_same_program(inherited(space, tune).sample)


def test_pareto_computes_the_same():
    def program(key):
        fitness, cost = jax.random.normal(key, (9,), jnp.float32), jax.random.normal(key, (9, 2), jnp.float32)
        rank = pareto.ranks(fitness, cost)
        return rank, pareto.crowding(fitness, cost, rank), pareto.hypervolumes(fitness, cost, jnp.zeros(3, jnp.float32))

    assert_same_program(program)
