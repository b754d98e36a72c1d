from functools import partial

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import NasNet, ResNet, extract
from jaxnas.networks.nasnet import Blocks, Cell, Kernel
from jaxnas.spaces import nasnet
from tests.support.variables import of_shapes

# Of each kind the one that compiles fastest; separable convolutions are those of DARTS.
OPERATIONS = ("identity", "conv_1x3_3x1", "max_pool_3x3", "conv_1x1")
SPACE = nasnet(blocks=2, operations=OPERATIONS)
NETWORK = NasNet(cells=1, filters=4, blocks=2, operations=OPERATIONS, reductions=1)
TEXTS = [
    "normal|identity~0+conv_1x3_3x1~1|conv_1x1~2+max_pool_3x3~0|reduction|identity~1+conv_1x1~0|conv_1x3_3x1~2+identity~2|",
    "normal|max_pool_3x3~1+conv_1x3_3x1~1|identity~0+conv_1x1~1|reduction|conv_1x1~0+max_pool_3x3~1|conv_1x3_3x1~1+identity~0|",
]
GENOMES = [SPACE.from_string(text) for text in TEXTS]
X = np.random.default_rng(1).normal(size=(3, 7, 7, 2)).astype(np.float32)  # an odd size, so that halving rounds up


class Cells(nn.Module):
    """A reduction, and a normal cell behind it: all that a network has of cells."""

    @nn.compact
    def __call__(self, decisions, x, train):
        x = Blocks.single(x)
        reduction = Cell(4, 2, OPERATIONS, reduce=True, name="reduction")(decisions, x, x, train, None)
        blocks = Cell(4, 2, OPERATIONS, name="normal")(decisions, x, reduction, train, None)
        return blocks.product(partial(Kernel, 4), "head")


def init(genome, network=NETWORK):
    return network.init(jax.random.key(0), SPACE.unpack(genome), X, False)


def one_hot(genome):
    return np.eye(SPACE.mask.shape[1], dtype=np.float32)[genome]


def forward(variables, genome):
    """Outputs and new statistics of a training step, and the scores."""
    outputs, updates = Cells().apply(variables, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
    return outputs, updates["batch_stats"], Cells().apply(variables, SPACE.unpack(genome), X, False)


def step(variables, genome):
    """The same, and the gradient."""

    def loss(params):
        outputs, stats, scores = forward({**variables, "params": params}, genome)
        return (outputs**2).mean(), (outputs, stats, scores)

    (_, results), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return *results, gradient


@pytest.fixture(scope="module")
def variables():
    return of_shapes(jax.eval_shape(partial(init, network=Cells()), jnp.asarray(GENOMES[0])))


@pytest.fixture(scope="module")
def traced(variables):
    program = jax.jit(step)
    return [program(variables, genome) for genome in GENOMES]


@pytest.fixture(scope="module")
def static(variables):
    results = []
    for genome in GENOMES:
        own = extract(variables, jax.eval_shape(partial(init, genome, Cells())))
        results.append(jax.jit(partial(step, genome=genome))(own))
    return results


def agree(population, alone):
    """Outputs, statistics, scores and, where there is one, the gradient."""
    for ours, theirs, tolerance in zip(population, alone, (1e-5, 1e-5, 1e-5, 1e-4), strict=False):
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
        ours = extract(ours, theirs) if isinstance(theirs, dict) else ours
        jax.tree.map(partial(np.testing.assert_allclose, atol=tolerance * max(1.0, largest)), ours, theirs)


@pytest.mark.parametrize("i", range(len(GENOMES)))
def test_population_network_agrees_with_the_stand_alone_one(traced, static, i):
    agree(traced[i], static[i])


def test_mixture_of_one_option_agrees_with_the_stand_alone_network(variables, static):
    program = jax.jit(forward)
    for genome, alone in zip(GENOMES, static, strict=True):
        agree(program(variables, one_hot(genome)), alone)


def test_what_was_not_chosen_gets_no_gradient(traced):
    gradient = jax.tree.map(np.asarray, traced[0][3]["normal"]["operation"])
    assert not any(leaf[3].any() for leaf in jax.tree.leaves(gradient)), "place 3 of the normal cell is a pool"
    assert gradient["conv_1x3_3x1"]["row_conv"]["kernel"][1].any()
    assert not gradient["conv_1x3_3x1"]["row_conv"]["kernel"][0].any()


def test_only_blocks_that_no_block_uses_are_the_output():
    for genome, unused in zip(GENOMES, ([{"head_1"}, {"head_0", "head_1"}]), strict=True):
        params = jax.eval_shape(partial(init, genome))["params"]
        assert {name for name in params if name.startswith("head")} == unused


def test_parameters_of_nasnet_a_are_near_the_published():
    """Zoph et al. (2018), table 1: NASNet-A (6 @ 768) has 3.3 million. Its normal cell also concatenates one of its
    inputs, which the text does not say; without that, each cell has an input of five blocks instead of six."""
    cells = (
        "normal|sep_conv_5x5~1+sep_conv_3x3~0|sep_conv_5x5~0+sep_conv_3x3~0|avg_pool_3x3~1+identity~0|"
        "avg_pool_3x3~0+avg_pool_3x3~0|sep_conv_3x3~1+identity~1|"
        "reduction|sep_conv_5x5~1+sep_conv_7x7~0|max_pool_3x3~1+sep_conv_7x7~0|avg_pool_3x3~1+sep_conv_5x5~0|"
        "identity~3+avg_pool_3x3~2|sep_conv_3x3~2+max_pool_3x3~1|"
    )
    space, network = nasnet(), NasNet(cells=6, filters=32)
    decisions = space.unpack(space.from_string(cells))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), decisions, jnp.zeros((1, 32, 32, 3)), False))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    fits = sum(2 * 6 * (32 * 2**stage) ** 2 for stage in range(3))  # 1 x 1 kernels of the sixth block
    assert count == 3_061_738 and count + fits == pytest.approx(3.3e6, rel=0.03)


def outputs(variables, genome, rate, key):
    own = {**variables, "schedule": {"drop_path": rate}}
    rngs = {"drop_path": jax.random.key(key)}
    return NETWORK.apply(own, SPACE.unpack(genome), X, True, mutable=["batch_stats"], rngs=rngs)[0]


def test_paths_are_dropped_at_the_given_rate_only():
    """In the population network too, which without dropping gives what the stand-alone network does."""
    genome = GENOMES[1]
    variables = of_shapes(jax.eval_shape(init, jnp.asarray(genome)))
    own = extract(variables, jax.eval_shape(partial(init, genome)))
    alone = partial(jax.jit(lambda *args: outputs(args[0], genome, *args[1:])), own)
    population = partial(jax.jit(outputs), variables, genome)
    whole = jax.jit(lambda v: NETWORK.apply(v, SPACE.unpack(genome), X, True, mutable=["batch_stats"])[0])(own)
    for run in (alone, population):
        np.testing.assert_allclose(run(0.0, 0), whole, atol=1e-5)
        dropped, other = run(0.5, 0), run(0.5, 1)
        assert not np.allclose(dropped, whole, atol=1e-3) and not np.allclose(dropped, other, atol=1e-3)


def test_dropping_paths_needs_a_key():
    own = {**of_shapes(jax.eval_shape(partial(init, GENOMES[0]))), "schedule": {"drop_path": 0.5}}
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(lambda: NETWORK.apply(own, SPACE.unpack(GENOMES[0]), X, True, mutable=["batch_stats"]))


def test_auxiliary_head_is_there_in_training_where_it_is_asked_for():
    asked = jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), SPACE.unpack(GENOMES[0]), X, True))
    assert asked["auxiliary"]["logits"][0].shape == (3, 10)
    assert "AuxiliaryHead_0" in asked["params"]
    assert "AuxiliaryHead_0" not in jax.eval_shape(lambda: init(GENOMES[0]))["params"]


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="cells: expected at least 1, got 0"):
        NasNet(cells=0)
    with pytest.raises(ValueError, match="operations: unknown 'pool'"):
        NasNet(operations=("identity", "pool"))


def test_residual_network_has_the_published_number_of_parameters():
    """He et al. (2016), table 6: ResNet-20 has 0.27 million; ours has convolutions on two shortcuts besides."""
    network = ResNet(blocks=3, filters=16)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), {}, jnp.zeros((1, 32, 32, 3)), False))["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count - 16 * 32 - 32 * 64 == pytest.approx(0.27e6, rel=0.02)
