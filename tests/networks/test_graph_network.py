"""A population of graphs, each of them alone, and its stand-alone Flax module compute the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import GraphNetwork, gradient_descent, inherited
from jaxnas.population import CompileMeter
from jaxnas.spaces import graph

RATES = {"add_node_rate": 0.5, "add_connection_rate": 0.7, "toggle_rate": 0.1}
SPACES = {r: graph(3, 2, hidden=8, connections=32, recurrent=r, **RATES) for r in (False, True)}
NETWORK = GraphNetwork("tanh")
P = 16
X = np.asarray(jax.random.normal(jax.random.key(9), (20, 3)))


@pytest.fixture(scope="module")
def populations():
    found = {}
    for recurrent, space in SPACES.items():
        genomes = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), P))
        mutate = jax.jit(jax.vmap(space.mutate))
        for t in range(12):
            genomes = mutate(jax.random.split(jax.random.key(t), P), genomes)
        found[recurrent] = jax.tree.map(np.asarray, genomes)
    return found


def member(genomes, i):
    return jax.tree.map(lambda leaf: leaf[i], genomes)


def outputs(network, genome, x):
    made = network.apply(genome, x)
    return made[0] if genome.recurrent else made


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("count", [3, 20])  # examples that all see: few, and so many that a matrix product is made
def test_a_population_computes_what_its_members_do_alone(recurrent, count, populations):
    genomes, x = populations[recurrent], X[:count]
    together = jax.jit(jax.vmap(lambda g: outputs(NETWORK, g, x)))(genomes)
    assert together.shape == (P, count, 2)
    alone = jax.jit(lambda g: outputs(NETWORK, g, x))
    for i in range(0, P, 3):
        np.testing.assert_allclose(np.asarray(together)[i], alone(member(genomes, i)), atol=1e-5)


def test_members_may_see_inputs_of_their_own(populations):
    genomes = populations[False]
    together = np.asarray(jax.jit(jax.vmap(NETWORK.apply))(genomes, X[:P]))
    alone = jax.jit(NETWORK.apply)
    for i in range(0, P, 3):
        np.testing.assert_allclose(together[i], alone(member(genomes, i), X[i]), atol=1e-5)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_stand_alone_module_computes_the_same_over_steps(recurrent, populations):
    population = jax.jit(NETWORK.apply)
    for i in (3, 9):
        genome = member(populations[recurrent], i)
        module, variables = NETWORK.static(genome)
        if not recurrent:
            np.testing.assert_allclose(jax.jit(module.apply)(variables, X), population(genome, X), atol=1e-5)
            continue
        state = ours = None
        apply = jax.jit(module.apply)
        for x in X[:5]:
            y, state = apply(variables, x, state)
            z, ours = population(genome, x, ours)
            np.testing.assert_allclose(y, z, atol=1e-5)


def test_a_known_graph_gives_its_closed_form():
    space = graph(2, 1, recurrent=True)
    genome = space.from_string("h0=i0>o0; i0>o0:9! i1>o0:.5 bias>o0:-1 i0>h0:2 h0>o0:3 o0>h0:.25 h0>h0:-.5")
    network = GraphNetwork("sigmoid", output="identity")
    sigmoid = lambda x: 1 / (1 + np.exp(-4.9 * x))
    h = o = 0.0
    state, apply = None, jax.jit(network.apply)
    for a, b in ((0.1, 0.4), (-0.3, 0.2), (0.2, 0.0)):
        h = sigmoid(2 * a + 0.25 * o - 0.5 * h)
        o = 0.5 * b - 1 + 3 * h
        y, state = apply(genome, np.float32([a, b]), state)
        assert float(y[0]) == pytest.approx(o, abs=1e-5)


def test_all_topologies_are_one_program(populations):
    run = jax.jit(lambda g: NETWORK.apply(g, X))
    run(member(populations[False], 0))
    meter = CompileMeter()
    for i in range(1, P):
        run(member(populations[False], i))
    assert meter.compiles == 0


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_gradient_is_that_of_finite_differences(recurrent, populations):
    genomes = populations[recurrent]

    def total(weight, genome):
        return jnp.square(outputs(NETWORK, genome.replace(weight=weight), X)).sum()

    gradients = jax.jit(jax.vmap(jax.grad(total)))(genomes.weight, genomes)
    alone = jax.jit(total)
    for i in (0, 7):
        genome = member(genomes, i)
        for e in range(0, int(genome.connections), 4):
            up, down = (
                float(alone(genome.weight + d * (np.arange(len(genome.weight)) == e).astype(np.float32), genome))
                for d in np.float32([1e-2, -1e-2])
            )
            assert float(gradients[i, e]) == pytest.approx((up - down) / 2e-2, abs=0.02, rel=0.02)


def mean_square(apply, genome, key):
    return jnp.square(apply(genome, X) - 0.3).mean()


def test_gradient_descent_lowers_the_loss_and_is_inherited_where_it_is_at_birth(populations):
    tune = gradient_descent(mean_square, network=NETWORK, steps=20, learning_rate=0.05)
    space = inherited(SPACES[False], tune)
    genomes, keys = populations[False], jax.random.split(jax.random.key(1), P)
    losses = jax.jit(jax.vmap(lambda g: mean_square(NETWORK.apply, g, None)))
    plain, tuned = (jax.jit(jax.vmap(s.mutate))(keys, genomes) for s in (SPACES[False], space))
    np.testing.assert_array_equal(plain.innovation, tuned.innovation)
    assert (np.asarray(losses(tuned)) < np.asarray(losses(plain))).all()
    off = ~np.asarray(tuned.enabled)
    np.testing.assert_array_equal(np.asarray(tuned.weight)[off], np.asarray(plain.weight)[off])


def test_weights_of_the_stand_alone_module_go_back_into_the_genome(populations):
    genome = member(populations[False], 3)
    module, variables = NETWORK.static(genome)
    changed = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), variables)
    again = NETWORK.with_parameters(genome, changed)
    np.testing.assert_allclose(jax.jit(NETWORK.apply)(again, X), jax.jit(module.apply)(changed, X), atol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 3), ()])
def test_inputs_of_another_shape_are_refused(shape, populations):
    with pytest.raises(ValueError, match=r"graph: expected inputs \[3\] or \[examples, 3\], got"):
        NETWORK.apply(member(populations[False], 0), np.zeros(shape))


def test_unknown_activations_and_states_without_memory_are_refused(populations):
    with pytest.raises(ValueError, match="activation: unknown 'sigmoidal'. Did you mean 'sigmoid'"):
        GraphNetwork("sigmoidal")
    with pytest.raises(ValueError, match="a state is for recurrent graphs only"):
        NETWORK.apply(member(populations[False], 0), X[0], jnp.zeros(10))
