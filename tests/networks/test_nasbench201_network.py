from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import NasBench201, extract
from jaxnas.networks.choice import Gated
from jaxnas.spaces import nasbench201

SPACE = nasbench201()
NETWORK = NasBench201(channels=4, cells=1, classes=10)
NONE, SKIP, CONV1, CONV3, POOL = range(5)
GENOMES = [
    np.array([CONV3, CONV1, POOL, SKIP, NONE, CONV3]),
    np.array([POOL, SKIP, CONV3, NONE, CONV1, CONV1]),
    np.array([NONE] * 6),
]
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
Y = jax.nn.one_hot(jnp.arange(4), 10)


def init(genome):
    return NETWORK.init(KEY, SPACE.unpack(genome), X, False)


def one_hot(genome):
    return jax.nn.one_hot(genome, 5)


def loss(params, stats, genome):
    """Loss, outputs and new statistics of a training step on the network that `genome` selects."""
    variables = {"params": params, "batch_stats": stats}
    outputs, updates = NETWORK.apply(variables, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
    return ((outputs - Y) ** 2).mean(), (outputs, updates["batch_stats"])


def train(variables, genome):
    (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"], variables["batch_stats"], genome)
    return *aux, gradient


def score(variables, genome):
    return NETWORK.apply(variables, SPACE.unpack(genome), X, False)


@pytest.fixture(scope="module")
def variables():
    """Of the population network, with scales, biases and statistics away from 1 and 0."""
    variables = jax.jit(init)(jnp.asarray(GENOMES[0]))
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noise = [1 + 0.3 * jax.random.uniform(k, v.shape) for k, v in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, [v * n + 0.1 * (v.ndim == 1) for v, n in zip(leaves, noise, strict=True)])


@pytest.fixture(scope="module")
def traced():
    """The one program for all genomes: `(train, score)`."""
    return jax.jit(train), jax.jit(score)


@pytest.fixture(scope="module")
def static(variables):
    """For each genome its own network: `(variables, (outputs, statistics, gradient), scores)`."""

    def run(genome):
        own = extract(variables, jax.eval_shape(partial(init, genome)))
        step, scores = jax.jit(lambda v: (train(v, genome), score(v, genome)))(own)
        return own, step, scores

    return [run(genome) for genome in GENOMES]


@pytest.fixture(scope="module")
def mixed():
    """The relaxed program: `(outputs, statistics)` in training and the scores."""
    return jax.jit(lambda v, w: (loss(v["params"], v["batch_stats"], w)[1], score(v, w)))


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, atol=tolerance * max(1.0, float(jnp.abs(b).max())))


def test_traced_outputs_are_those_of_the_stand_alone_networks(variables, traced, static):
    for genome, (_, (outputs, _, _), scores) in zip(GENOMES, static, strict=True):
        close(traced[0](variables, genome)[0], outputs)
        close(traced[1](variables, genome), scores)


def test_one_hot_outputs_are_those_of_the_stand_alone_networks(variables, mixed, static):
    for genome, (_, (outputs, _, _), scores) in zip(GENOMES, static, strict=True):
        (mixed_outputs, _), mixed_scores = mixed(variables, one_hot(genome))
        close(mixed_outputs, outputs)
        close(mixed_scores, scores)


def test_statistics_are_those_of_the_stand_alone_networks(variables, traced, mixed, static):
    for genome, (own, (_, stats, _), _) in zip(GENOMES, static, strict=True):
        for updated in (traced[0](variables, genome)[1], mixed(variables, one_hot(genome))[0][1]):
            jax.tree.map(close, extract(updated, own["batch_stats"]), stats)


def test_cells_of_a_stage_are_those_of_the_stand_alone_network():
    network, genome = NasBench201(channels=2, cells=2, classes=10), GENOMES[0]
    variables = jax.jit(lambda g: network.init(KEY, SPACE.unpack(g), X, False))(jnp.asarray(genome))
    like = jax.eval_shape(lambda: network.init(KEY, SPACE.unpack(genome), X, False))
    of = lambda variables, genome: network.apply(variables, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
    own = extract(variables, like)
    outputs, stats = jax.jit(lambda: of(own, genome))()
    for choice in (genome, one_hot(genome)):
        found, updated = jax.jit(of)(variables, choice)
        close(found, outputs)
        jax.tree.map(close, extract(updated, stats)["batch_stats"], stats["batch_stats"])


def test_a_mixture_is_that_of_options_behind_open_gates(variables):
    weights = jax.nn.softmax(jax.random.normal(jax.random.key(3), (6, 5)))
    mixture = SPACE.unpack(weights)
    gated = {name: Gated(w, jnp.ones(5, bool)) for name, w in mixture.items()}

    @jax.jit
    def both(variables):
        of = partial(NETWORK.apply, variables, x=X, train=True, mutable=["batch_stats"])
        return of(mixture), of(gated)

    ours, expected = both(variables)
    jax.tree.map(close, ours, expected)


def test_one_program_serves_all_genomes(variables, traced, static):
    for genome in GENOMES:
        traced[0](variables, genome), traced[1](variables, genome)
    assert traced[0]._cache_size() == traced[1]._cache_size() == 1


def test_gradients_are_those_of_the_stand_alone_networks(variables, traced, static):
    for genome, (own, (_, _, gradient), _) in zip(GENOMES, static, strict=True):
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
        ours = extract(traced[0](variables, genome)[2], own["params"])
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4 * largest), ours, gradient)


def test_operations_not_chosen_get_exactly_zero_gradient(variables, traced):
    genome = GENOMES[0]
    gradient = traced[0](variables, genome)[2]
    for stage in range(3):
        cell = gradient[f"stage_{stage}_cell_0"]
        for edge, chosen in SPACE.unpack(genome).items():
            for name, tree in cell[edge].items():
                zero = all((leaf == 0).all() for leaf in jax.tree.leaves(tree))
                assert zero == (name != SPACE.options[0][chosen]), (stage, edge, name)


def test_stand_alone_parameters_are_a_sub_tree_of_the_population_network():
    genome = GENOMES[1]
    whole = jax.jit(init)(jnp.asarray(GENOMES[0]))["params"]
    own = jax.jit(partial(init, genome))()["params"]
    jax.tree.map(np.testing.assert_array_equal, own, extract(whole, own))
    for edge, chosen in SPACE.unpack(genome).items():
        learned = {SPACE.options[0][chosen]} & {"nor_conv_1x1", "nor_conv_3x3"}
        assert set(own["stage_0_cell_0"].get(edge, {})) == learned


def test_cells_of_one_class_are_the_same_function(traced):
    """Dead edges removed, the cells below keep their names, so at initialization they agree to the last parameter."""
    dead = np.array([NONE, CONV3, CONV1, POOL, CONV3, SKIP])
    pruned = np.array([NONE, CONV3, NONE, POOL, NONE, SKIP])
    alive = np.array([SKIP, CONV3, CONV1, POOL, CONV3, SKIP])
    fresh = jax.jit(init)(jnp.asarray(dead))
    np.testing.assert_array_equal(SPACE.canonical(dead), SPACE.canonical(pruned))
    close(traced[1](fresh, dead), traced[1](fresh, pruned))
    assert jnp.abs(traced[1](fresh, alive) - traced[1](fresh, pruned)).max() > 1e-3


def test_a_cell_of_zeros_forgets_its_input(variables, traced, static):
    scores = traced[1](variables, GENOMES[2])
    assert jnp.abs(traced[1](variables, GENOMES[0]) - traced[1](variables, GENOMES[0])[0]).max() > 1e-3
    close(scores, jnp.broadcast_to(scores[0], scores.shape))


@pytest.mark.parametrize("genome", [[NONE] * 6, [CONV3] * 6, [CONV1] * 6, [CONV3, SKIP, CONV1, POOL, CONV1, NONE]])
def test_parameters_are_the_published_number(genome):
    full = NasBench201(channels=16, cells=5, classes=10)
    decisions = SPACE.unpack(np.array(genome))
    shapes = jax.eval_shape(lambda: full.init(KEY, decisions, jnp.zeros((1, 32, 32, 3)), False))["params"]
    expected = 73_306 + 243_040 * genome.count(CONV3) + 28_000 * genome.count(CONV1)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == expected


def test_published_formula_holds_for_all_cells(shared_data):
    published = np.load(shared_data / "nasbench201/nasbench201_cifar10.npz")
    names = published["op_names"][published["ops"]]
    count = lambda operation: (names == operation).sum(1)
    formula = 73_306 + 243_040 * count("nor_conv_3x3") + 28_000 * count("nor_conv_1x1")
    np.testing.assert_array_equal(published["params_cifar10"], formula)


def test_half_precision_computes_near_and_answers_in_float32(static):
    own, _, scores = static[0]
    half = NETWORK.clone(dtype=jnp.bfloat16)
    outputs = jax.jit(lambda v: half.apply(v, SPACE.unpack(GENOMES[0]), X, False))(own)
    assert outputs.dtype == jnp.float32
    assert 0 < jnp.abs(outputs - scores).max() < 0.05 * jnp.abs(scores).max()


@pytest.mark.parametrize("choice", [GENOMES[0], one_hot(GENOMES[0])], ids=["traced", "one-hot"])
def test_every_form_of_a_half_precision_network_answers_in_float32(choice):
    half = NETWORK.clone(dtype=jnp.bfloat16)
    run = lambda choice: half.init_with_output(KEY, SPACE.unpack(choice), X, True)
    outputs, variables = jax.eval_shape(run, jnp.asarray(choice))
    apply = lambda v, choice: half.apply(v, SPACE.unpack(choice), X, True, mutable=["batch_stats"])
    applied, updates = jax.eval_shape(apply, variables, jnp.asarray(choice))
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, applied, variables, updates))} == {jnp.dtype(jnp.float32)}


def test_decision_out_of_range_is_refused_by_edge():
    genome = np.array([CONV3, 5, POOL, SKIP, NONE, CONV3])
    with pytest.raises(ValueError, match="decision of 0->2: expected at most 4, got 5"):
        jax.eval_shape(partial(init, genome))


@pytest.mark.parametrize("field", ["channels", "cells", "classes"])
def test_size_below_one_is_refused_by_name(field):
    with pytest.raises(ValueError, match=f"{field}: expected at least 1, got 0"):
        NasBench201(**{field: 0})
