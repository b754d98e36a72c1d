from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import NasBench201, extract
from jaxnas.networks.choice import Gated
from jaxnas.networks.nasbench201 import Cell
from jaxnas.spaces import nasbench201
from tests.support.variables import of_shapes

SPACE = nasbench201()
CELL = Cell(3)
NETWORK = NasBench201(channels=2, cells=2, classes=3)
NONE, SKIP, CONV1, CONV3, POOL = range(5)
GENOMES = [
    np.array([CONV3, CONV1, POOL, SKIP, NONE, CONV3]),
    np.array([POOL, SKIP, CONV3, NONE, CONV1, CONV1]),
]
ZEROS = np.array([NONE] * 6)
KEY = jax.random.key(0)
X, Y = np.random.default_rng(1).normal(size=(2, 4, 4, 4, 3)).astype(np.float32)


def init(genome, of=CELL):
    return of.init(KEY, SPACE.unpack(genome), X, False)


def one_hot(genome):
    return np.eye(5, dtype=np.float32)[genome]


def forward(variables, genome, of=CELL):
    """Outputs and new statistics of a training step."""
    outputs, updates = of.apply(variables, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
    return outputs, updates["batch_stats"]


def score(variables, genome):
    return CELL.apply(variables, SPACE.unpack(genome), X, False)


def step(variables, genome):
    """Outputs, new statistics and gradient of a training step on the cell that `genome` selects, and its scores."""

    def loss(params):
        outputs, stats = forward({**variables, "params": params}, genome)
        return ((outputs - Y) ** 2).mean(), (outputs, stats)

    (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return *aux, gradient, score(variables, genome)


@pytest.fixture(scope="module")
def variables():
    """Of the population cell."""
    return of_shapes(jax.eval_shape(init, jnp.asarray(GENOMES[0])))


@pytest.fixture(scope="module")
def traced():
    """The one program for all genomes."""
    return jax.jit(step)


@pytest.fixture(scope="module")
def static(variables):
    """For each genome its own cell: `(variables, its step)`."""

    def run(genome):
        own = extract(variables, jax.eval_shape(partial(init, genome)))
        return own, jax.jit(lambda v: step(v, genome))(own)

    return [run(genome) for genome in GENOMES]


@pytest.fixture(scope="module")
def mixed():
    """The relaxed program: `((outputs, statistics), scores)`."""
    return jax.jit(lambda v, w: (forward(v, w), score(v, w)))


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, atol=tolerance * max(1.0, float(np.abs(b).max())))


def test_traced_outputs_are_those_of_the_stand_alone_cells(variables, traced, static):
    for genome, (_, (outputs, _, _, scores)) in zip(GENOMES, static, strict=True):
        ours = traced(variables, genome)
        close(ours[0], outputs)
        close(ours[3], scores)


def test_one_hot_outputs_are_those_of_the_stand_alone_cells(variables, mixed, static):
    for genome, (_, (outputs, _, _, scores)) in zip(GENOMES, static, strict=True):
        (mixed_outputs, _), mixed_scores = mixed(variables, one_hot(genome))
        close(mixed_outputs, outputs)
        close(mixed_scores, scores)


def test_statistics_are_those_of_the_stand_alone_cells(variables, traced, mixed, static):
    for genome, (own, (_, stats, _, _)) in zip(GENOMES, static, strict=True):
        for updated in (traced(variables, genome)[1], mixed(variables, one_hot(genome))[0][1]):
            jax.tree.map(close, extract(updated, own["batch_stats"]), stats)


def test_the_whole_network_is_the_stand_alone_one():
    """Two cells in each stage, which are one loop in the population and relaxed networks."""
    genome = np.array([SKIP, POOL, CONV1, NONE, NONE, SKIP])
    variables = of_shapes(jax.eval_shape(partial(init, of=NETWORK), jnp.asarray(genome)))
    own = extract(variables, jax.eval_shape(partial(init, genome, NETWORK)))
    outputs, stats = jax.jit(lambda: forward(own, genome, NETWORK))()
    assert np.abs(outputs - outputs[0]).max() > 1e-2
    for choice in (genome, one_hot(genome)):
        found, updated = jax.jit(partial(forward, of=NETWORK))(variables, choice)
        close(found, outputs)
        jax.tree.map(close, extract(updated, stats), stats)


def test_a_mixture_is_that_of_options_behind_open_gates(variables):
    logits = np.random.default_rng(3).normal(size=(6, 5))
    weights = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)

    @jax.jit
    def both(variables):
        mixture = SPACE.unpack(weights)
        gated = {name: Gated(w, jnp.ones(5, bool)) for name, w in mixture.items()}
        of = partial(CELL.apply, variables, x=X, train=True, mutable=["batch_stats"])
        return of(mixture), of(gated)

    ours, expected = both(variables)
    jax.tree.map(close, ours, expected)


def test_one_program_serves_all_genomes(variables, traced):
    for genome in (*GENOMES, ZEROS):
        traced(variables, genome)
    assert traced._cache_size() == 1


def test_gradients_are_those_of_the_stand_alone_cells(variables, traced, static):
    for genome, (own, (_, _, gradient, _)) in zip(GENOMES, static, strict=True):
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
        ours = extract(traced(variables, genome)[2], own["params"])
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4 * largest), ours, gradient)


def test_operations_not_chosen_get_exactly_zero_gradient(variables, traced):
    genome = GENOMES[0]
    gradient = traced(variables, genome)[2]
    for edge, chosen in SPACE.unpack(genome).items():
        for name, tree in gradient[edge].items():
            zero = not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))
            assert zero == (name != SPACE.options[0][chosen]), (edge, name)


def test_stand_alone_parameters_are_a_sub_tree_of_the_population_cell():
    genome = GENOMES[1]
    whole = jax.jit(init)(jnp.asarray(GENOMES[0]))["params"]
    own = jax.jit(partial(init, genome))()["params"]
    jax.tree.map(np.testing.assert_array_equal, own, extract(whole, own))
    for edge, chosen in SPACE.unpack(genome).items():
        learned = {SPACE.options[0][chosen]} & {"nor_conv_1x1", "nor_conv_3x3"}
        assert set(own.get(edge, {})) == learned


def test_cells_of_one_class_are_the_same_function(variables, traced):
    """Dead edges removed, the cells below keep their names, so they agree at initialization, where biases are 0."""
    variables = of_shapes(variables, initial=True)
    dead = np.array([NONE, CONV3, CONV1, POOL, CONV3, SKIP])
    pruned = np.array([NONE, CONV3, NONE, POOL, NONE, SKIP])
    alive = np.array([SKIP, CONV3, CONV1, POOL, CONV3, SKIP])
    np.testing.assert_array_equal(SPACE.canonical(dead), SPACE.canonical(pruned))
    scores = [np.asarray(traced(variables, genome)[3]) for genome in (dead, pruned, alive)]
    close(scores[0], scores[1])
    assert np.abs(scores[2] - scores[1]).max() > 1e-3


def test_a_cell_of_zeros_forgets_its_input_and_learns_nothing(variables, traced, mixed):
    assert np.asarray(traced(variables, GENOMES[0])[3]).any(axis=(1, 2, 3)).all()
    outputs, stats, gradient, scores = traced(variables, ZEROS)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves((outputs, scores, gradient)))
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    (outputs, _), scores = mixed(variables, one_hot(ZEROS))
    assert not np.asarray(outputs).any() and not np.asarray(scores).any()


@pytest.mark.parametrize("genome", [[NONE] * 6, [CONV3, SKIP, CONV1, POOL, CONV1, NONE]])
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


def test_half_precision_computes_near(static):
    own, (*_, scores) = static[0]
    half = CELL.clone(dtype=jnp.bfloat16)
    outputs = jax.jit(lambda v: half.apply(v, SPACE.unpack(GENOMES[0]), X, False))(own)
    scores = np.asarray(scores)
    assert 0 < np.abs(np.asarray(outputs, np.float32) - scores).max() < 0.05 * np.abs(scores).max()


@pytest.mark.parametrize("form", ["static", "traced", "one-hot"])
def test_every_form_of_a_half_precision_network_answers_in_float32(form):
    half = NETWORK.clone(cells=1, dtype=jnp.bfloat16)

    def run(genome):
        decisions = SPACE.unpack(genome)
        outputs, variables = half.init_with_output(KEY, decisions, X, True)
        return outputs, variables, half.apply(variables, decisions, X, True, mutable=["batch_stats"])

    if form == "static":
        answers = jax.eval_shape(partial(run, GENOMES[0]))
    else:
        answers = jax.eval_shape(run, jnp.asarray(GENOMES[0] if form == "traced" else one_hot(GENOMES[0])))
    assert {leaf.dtype for leaf in jax.tree.leaves(answers)} == {jnp.dtype(jnp.float32)}


def test_decision_out_of_range_is_refused_by_edge():
    genome = np.array([CONV3, 5, POOL, SKIP, NONE, CONV3])
    with pytest.raises(ValueError, match="decision of 0->2: expected at most 4, got 5"):
        jax.eval_shape(partial(init, genome))


@pytest.mark.parametrize("field", ["channels", "cells", "classes"])
def test_size_below_one_is_refused_by_name(field):
    with pytest.raises(ValueError, match=f"{field}: expected at least 1, got 0"):
        NasBench201(**{field: 0})
