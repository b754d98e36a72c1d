"""In JAX's 64-bit mode evaluators give the same numbers of the same types as without."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import problems, tasks
from jaxnas.evaluators import retrain, supernet, training, zero_cost
from jaxnas.networks import BatchNorm, Choice, Darts, MobileNet, NasBench201, NasNet, ReLUConvBN
from jaxnas.networks.ops import drop_path
from jaxnas.proxies import together
from jaxnas.spaces import categorical, darts, mobilenet, nasbench201, nasnet
from jaxnas.types import Proposal
from tests.support.x64 import assert_same_program

SPACE = categorical({"layer": ["bent", "straight"]}, name="tiny")
GENOMES = np.int32([[0], [1]])
WEIGHTS = np.float32([[[0.3, 0.7]]])


class Layer(nn.Module):
    bend: bool

    @nn.compact
    def __call__(self, x, train):
        y = nn.Dense(4)(x)
        return nn.relu(y) if self.bend else y


class Network(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train):
        rate = self.get_variable("schedule", "drop_path") if train else None
        x = nn.Dense(4)(x.reshape(len(x), -1))
        x = BatchNorm()(x[:, None, None], train)[:, 0, 0]
        options = {"bent": partial(Layer, True), "straight": partial(Layer, False)}
        return nn.Dense(10)(drop_path(self, Choice(options, name="layer")(decisions["layer"], x, train), rate))


class Images(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = ReLUConvBN(2, 3, name="convolution")(x, True)
        return nn.Dense(10)(nn.relu(x).mean((1, 2)))


def task():
    random = np.random.default_rng(0)
    pair = lambda n: (random.integers(0, 256, (n, 5, 5, 1), np.uint8), np.arange(n) % 10)
    return tasks.classification("made", pair(50), pair(20), where="here", crop_padding=1)


def proposal(genomes=GENOMES, budget=2, **fields):
    P = len(genomes)
    return Proposal(
        genome=jnp.asarray(genomes),
        id=jnp.arange(P, dtype=jnp.int32),
        parent=jnp.full((P, 2), -1, jnp.int32),
        active=jnp.ones(P, bool),
        budget=jnp.full(P, budget, jnp.int32),
        **fields,
    )


def agree(compute, **tolerance):
    """`compute()` in both modes: numbers of the same types, and equal but for what other kernels round."""
    narrow, wide = compute(), None
    with jax.enable_x64(True):
        wide = compute()
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(narrow), jax.tree.leaves(wide), strict=True):
        where = jax.tree_util.keystr(path)
        assert np.asarray(a).dtype == np.asarray(b).dtype, where
        np.testing.assert_allclose(a, b, **{"rtol": 1e-5, "atol": 1e-6, **tolerance}, err_msg=where)
    return narrow


def answered(build, asked):
    evaluator = build()
    run = jax.jit(lambda key, asked: evaluator.evaluate(key, evaluator.init(key), asked)[0])
    feedback = run(jax.random.key(0), asked)
    return feedback.fitness, feedback.metrics, feedback.gradient, feedback.curvature


def trained():
    """Augmented, and with paths dropped."""
    recipe = {"batch_size": 8, "drop_path": np.float64(0.2), "cutout": 2, "label_smoothing": np.float64(0.1)}
    recipe |= {"clip_norm": np.float64(5.0), "learning_rate": np.float64(0.1), "devices": jax.devices()[:1]}
    return training(SPACE, Network(), task(), test=True, **recipe)


def mixing(order):
    return supernet(SPACE, Network(), task(), steps=9, batch_size=8, order=order, curvature=1)


def mixed():
    return proposal(GENOMES[:1], weights=jnp.asarray(WEIGHTS))


@pytest.mark.parametrize(
    ("build", "asked"),
    [(trained, proposal), (partial(mixing, "second"), mixed)],
    ids=["training", "supernet of a mixture"],
)
def test_programs_are_the_same(build, asked):
    def program(key):
        with jax.ensure_compile_time_eval():
            evaluator = build()
        return evaluator.evaluate(key, evaluator.init(key), asked())

    assert_same_program(program)


@pytest.mark.slow
def test_training():
    agree(lambda: answered(trained, proposal()))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["first", "second", "finite_difference"])
def test_supernet_of_a_mixture(order):
    # Finite differences divide what is rounded by .02.
    agree(lambda: answered(lambda: mixing(order), mixed()), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_supernet_of_paths():
    build = lambda: supernet(SPACE, Network(), task(), steps=9, batch_size=8, examples=7)
    asked = proposal().replace(budget=jnp.array([2, 0], jnp.int32))
    agree(lambda: answered(build, asked))


@pytest.mark.slow
def test_zero_cost():
    build = lambda: zero_cost(SPACE, Network(), task(), proxies="synflow,params", batch_size=8, reference=3)
    agree(lambda: answered(build, proposal()))


def scored(params, stats, batch, key):
    """By every proxy."""
    apply = lambda params, x: Images().apply({"params": params, **stats}, x, mutable=["batch_stats"])
    return together("all")(apply, params, batch, key)


def images():
    batch = tasks.Batch(np.random.default_rng(0).normal(size=(6, 5, 5, 1)).astype(np.float32), np.arange(6) % 3)
    variables = jax.jit(Images().init)(jax.random.key(0), batch.inputs)
    return variables["params"], {"batch_stats": variables["batch_stats"]}, batch


def test_program_of_every_proxy():
    made = images()
    assert_same_program(lambda key: scored(*made, key), constants=("log",))


@pytest.mark.slow
def test_every_proxy():
    made = images()
    agree(lambda: jax.jit(scored)(*made, jax.random.key(0)), rtol=1e-3)


@pytest.mark.slow
def test_retraining():
    options = {"steps": 3, "batch_size": 8, "devices": jax.devices()[:1], "seed": 2**32 - 1}
    agree(lambda: retrain(SPACE, Network(), task(), [np.int64([1])], **options))


def test_what_streams():
    x = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
    take = lambda: tasks.Stream.of([(row, np.int64(i)) for i, row in enumerate(x)]).take
    agree(lambda: jax.jit(take())(jnp.array([3, 1], jnp.int32)))


@pytest.mark.parametrize("build", [tasks.digits, task], ids=["digits", "images"])
def test_tasks_and_their_augmentation(build):
    def all_of_it():
        made = build()

        @jax.jit
        def prepared(x, key):
            x = made.inputs(x)
            return x, made.augment(key, x)

        return prepared(made.train.take(np.arange(8)).inputs, jax.random.key(0)), made.train.targets, made.blank()

    agree(all_of_it)


def test_inputs_of_ones_own_stay_float32():
    pair = np.arange(8, dtype=np.uint8).reshape(4, 2), np.arange(4) % 2
    splits = dict.fromkeys(("train", "validation", "test"), pair)
    agree(lambda: tasks.arrays(splits, prepare=lambda x: x / 255.0).inputs(pair[0][:2] + jnp.uint8(0)))


@pytest.mark.parametrize("velocities", [True, False])
def test_balancing(velocities):
    problem = problems.cart_pole(2, velocities=velocities, random=True, steps=5)
    memory = (jnp.zeros(2, jnp.float32),) if not velocities else ()
    recurrent = {"recurrent": not velocities, "outputs": 1, "node": np.zeros((1, 1))}
    genome = type("Genome", (), recurrent)
    push = lambda genome, x, *state: (jnp.tanh(x[:1]), *memory) if memory else jnp.tanh(x[:1])
    agree(lambda: jax.jit(lambda key: problem.fitness(push, genome, key))(jax.random.key(0)))


NETWORKS = {
    "nasnet": (nasnet(blocks=2), NasNet(cells=1, filters=4, blocks=2, reductions=1)),
    "darts": (darts(), Darts(channels=2, cells=3)),
    "nasbench201": (nasbench201(), NasBench201(channels=2, cells=1)),
    "mobilenet": (mobilenet(stages=1), MobileNet(channels=(8,), strides=(1,), stem=4, features=8)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("nasnet", "darts"))) for name in NETWORKS]
)
def test_networks_have_parameters_of_float32(name):
    space, network = NETWORKS[name]
    genome = np.zeros(len(space.decisions), np.int32)
    x = np.zeros((2, 8, 8, 3), np.float32)

    def shapes():
        variables = jax.eval_shape(
            lambda g: network.init(jax.random.key(0), space.unpack(g), x, False), jnp.asarray(genome)
        )
        mutable = list(variables)
        apply = lambda v, g: network.apply(v, space.unpack(g), x, True, mutable=mutable)
        weights = jax.ShapeDtypeStruct(space.mask.shape, jnp.float32)
        return [variables, jax.eval_shape(apply, variables, weights)]

    narrow = shapes()
    with jax.enable_x64(True):
        assert shapes() == narrow
