"""What a part needs of a space that has not got it is said when the part is built, by the names of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs, evaluators, strategies, tasks
from jaxnas.check import InputError
from jaxnas.evaluators import with_cost
from jaxnas.evaluators._direct import direct
from jaxnas.networks import NasBench201
from jaxnas.search import search_scan
from jaxnas.spaces import categorical, graph, skip_connections

GRAPH = graph(2, 1, hidden=2, connections=2)
ARGUMENTS = {
    "beam_search": {"start": [0], "goal": [1]},
    "enas": {"rounds": 2},
    "gdas": {"rounds": 2},
    "hurdles": {"stages": (1, 2), "children": 2, "population_size": 4, "tournament_size": 2},
    "hyperband": {"max_budget": 2, "reduction": 2},
    "successive_halving": {"min_budget": 1, "max_budget": 2, "reduction": 2, "members": 2},
    "neat": {"proposals": 4, "max_species": 4, "target_species": 2},
    "nsga2": {"costs": "size", "population_size": 4},
    "regularized_evolution": {"population_size": 4, "tournament_size": 2},
}
WORK = ("hurdles", "hyperband", "neat", "nsga2", "random_search", "regularized_evolution", "successive_halving")
FACTORIES = [
    name
    for name in strategies.__all__
    if name not in ("Policy", "Trials", "early_stopping", "trials_of", "warm_start", *WORK)
]


@pytest.mark.parametrize("name", WORK)
def test_strategies_that_only_sample_mutate_and_cross_work_on_graphs(name):
    fitness = direct(lambda key, genome: genome.weight.sum())
    evaluator = with_cost(fitness, lambda genome: genome.weight.sum(), "size")
    evaluator = evaluator._replace(gives=evaluator.gives | {"budget"})
    strategy = getattr(strategies, name)(GRAPH, **ARGUMENTS.get(name, {}))
    state, _ = jax.eval_shape(search_scan(strategy, evaluator, 3), jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(strategy.recommend, state.strategy)) == jax.tree.structure(
        jax.eval_shape(GRAPH.sample, jax.random.key(0))
    )


@pytest.mark.parametrize("name", FACTORIES)
def test_the_others_are_refused_on_graphs_by_name(name):
    with pytest.raises(InputError, match=f"(strategy '{name}'|{name}) needs .*'graph'") as refused:
        getattr(strategies, name)(GRAPH, **ARGUMENTS.get(name, {}))
    assert "that work on it: random_search" in str(refused.value) and "neat" in str(refused.value)


@pytest.mark.parametrize("name", ["darts", "gdas", "enas", "mcts", "reinforce"])
def test_strategies_over_decisions_say_that_the_space_is_not_categorical(name):
    with pytest.raises(
        InputError, match=f"strategy '{name}' needs a categorical space, which 'graph' is not: .* no mask"
    ):
        getattr(strategies, name)(GRAPH, **ARGUMENTS.get(name, {}))


@pytest.mark.parametrize(
    ("part", "build"),
    [
        ("network NasBench201", lambda: evaluators.training(GRAPH, NasBench201(), tasks.digits())),
        ("network NasBench201", lambda: evaluators.zero_cost(GRAPH, NasBench201(), tasks.digits())),
        ("network NasBench201", lambda: evaluators.supernet(GRAPH, NasBench201(), tasks.digits(), steps=1)),
        ("evaluator 'table'", lambda: evaluators.table(GRAPH, np.zeros(1))),
        ("cost_model", lambda: costs.cost_model(GRAPH, NasBench201(), None)),
        ("all_operations", lambda: costs.all_operations(GRAPH, NasBench201(), None)),
        ("profile", lambda: costs.profile(GRAPH, NasBench201(), None)),
        ("compile_networks", lambda: costs.compile_networks(GRAPH, NasBench201(), [], jnp.zeros(3))),
        ("cheapest", lambda: costs.cheapest(GRAPH, lambda genome: 1.0)),
        ("skip_connections", lambda: skip_connections(GRAPH)),
    ],
)
def test_evaluators_costs_and_counts_are_refused_on_graphs_by_name(part, build):
    with pytest.raises(InputError, match=f"{part} needs a .*'graph'"):
        build()


SMALL = categorical({"a": range(2), "b": range(3)})


@pytest.mark.parametrize(
    ("name", "field"),
    [("local_search", "neighbors"), ("nsga2", "crossover"), ("bananas", "features"), ("exhaustive", "from_index")],
)
def test_what_a_space_lacks_is_named_with_what_works(name, field):
    space = SMALL._replace(**{field: None})
    with pytest.raises(
        InputError, match=f"strategy '{name}' needs a space with .*{field}.*, which space 'categorical' has"
    ):
        getattr(strategies, name)(space, **ARGUMENTS.get(name, {}))


def test_features_of_the_users_own_are_enough():
    strategies.bananas(SMALL._replace(features=None), features=lambda genome: genome.astype(jnp.float32))


@pytest.mark.parametrize("name", ["reinforce", "fair_paths", "mcts", "darts"])
def test_genomes_that_are_no_positions_are_refused_where_positions_are_proposed(name):
    own = categorical({"a": range(2), "b": range(3)}, sample=lambda key: jax.random.randint(key, (2,), 1, 1001))
    with pytest.raises(InputError, match=rf"'{name}' needs a space whose genomes are positions .* has 2 options"):
        getattr(strategies, name)(own)


def test_samples_of_the_users_own_may_be_positions():
    own = categorical({"a": range(2), "b": range(3)}, sample=lambda key: jnp.array([1, 2], jnp.int32))
    assert strategies.mcts(own).name == "mcts"


def test_the_cheapest_is_not_one_of_unknown_cost():
    ms = jnp.asarray(np.where(np.arange(6) == 0, np.nan, np.arange(6.0)), jnp.float32)
    genome, value = costs.cheapest(SMALL, lambda genome: ms[SMALL.index(genome)])
    assert genome.tolist() == SMALL.from_index(1).tolist() and value == 1
    with pytest.raises(InputError, match="cost: it is not known of any of 256 samples of space 'categorical'"):
        costs.cheapest(SMALL, lambda genome: jnp.nan)
