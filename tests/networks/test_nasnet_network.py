import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import NasNet, ResNet, extract
from jaxnas.spaces import nasnet

# Of each kind the one that compiles fastest.
OPERATIONS = ("identity", "conv_1x3_3x1", "max_pool_3x3", "conv_1x1", "sep_conv_3x3")
SPACE = nasnet(blocks=2, operations=OPERATIONS)
NETWORK = NasNet(cells=1, filters=4, blocks=2, operations=OPERATIONS, reductions=1)
TEXTS = [
    "normal|identity~0+conv_1x3_3x1~1|sep_conv_3x3~2+max_pool_3x3~0|reduction|identity~1+sep_conv_3x3~0|identity~2+conv_1x1~0|",
    "normal|max_pool_3x3~1+conv_1x3_3x1~1|identity~0+conv_1x1~1|reduction|conv_1x1~0+max_pool_3x3~1|conv_1x3_3x1~1+identity~0|",
]
GENOMES = [SPACE.from_string(text) for text in TEXTS]
X = jax.random.normal(jax.random.key(1), (3, 7, 7, 2))  # an odd size, so that halving rounds up


def init(genome):
    return NETWORK.init(jax.random.key(0), SPACE.unpack(genome), X, False)


def step(variables, genome):
    """Outputs, new statistics and gradient of a training step, and the scores."""

    def loss(params):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        outputs, updates = NETWORK.apply(state, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
        return (outputs**2).mean(), (outputs, updates["batch_stats"])

    (_, (outputs, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return outputs, stats, gradient, NETWORK.apply(variables, SPACE.unpack(genome), X, False)


@pytest.fixture(scope="module")
def variables():
    variables = jax.jit(init)(jnp.asarray(GENOMES[0]))
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    return jax.tree.unflatten(
        tree, [v + 0.1 * jax.random.uniform(k, v.shape) for k, v in zip(keys, leaves, strict=True)]
    )


@pytest.fixture(scope="module")
def traced(variables):
    program = jax.jit(step)
    return [program(variables, jnp.asarray(genome)) for genome in GENOMES]


@pytest.fixture(scope="module")
def static(variables):
    results = []
    for genome in GENOMES:
        own = extract(variables, jax.eval_shape(lambda genome=genome: init(genome)))
        results.append(jax.jit(lambda v, genome=genome: step(v, genome))(own))
    return results


def agree(population, alone):
    outputs, stats, gradient, scores = alone
    np.testing.assert_allclose(population[0], outputs, atol=1e-5)
    np.testing.assert_allclose(population[3], scores, atol=1e-5)
    for ours, theirs, tolerance in ((population[1], stats, 1e-5), (population[2], gradient, 1e-4)):
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
        jax.tree.map(
            lambda a, b, t=tolerance * largest: np.testing.assert_allclose(a, b, atol=t), extract(ours, theirs), theirs
        )


@pytest.mark.parametrize("i", range(len(GENOMES)))
def test_population_network_agrees_with_the_stand_alone_one(traced, static, i):
    agree(traced[i], static[i])


def test_mixture_of_one_option_agrees_with_the_stand_alone_network(variables, static):
    program = jax.jit(step)
    for genome, alone in zip(GENOMES, static, strict=True):
        agree(program(variables, jax.nn.one_hot(genome, SPACE.mask.shape[1])), alone)


def test_what_was_not_chosen_gets_no_gradient(traced):
    gradient = traced[0][2]["stage_0_cell_0"]["operation"]
    assert all((leaf[3] == 0).all() for leaf in jax.tree.leaves(gradient)), "place 3 of the normal cell is a pool"
    assert float(jnp.abs(gradient["conv_1x3_3x1"]["row_conv"]["kernel"][1]).sum()) > 0
    assert float(jnp.abs(gradient["conv_1x3_3x1"]["row_conv"]["kernel"][0]).sum()) == 0


def test_only_blocks_that_no_block_uses_are_the_output():
    for genome, unused in zip(GENOMES, ([{"head_1"}, {"head_0", "head_1"}]), strict=True):
        params = jax.eval_shape(lambda genome=genome: init(genome))["params"]
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


def outputs(variables, rate, key):
    own = {**variables, "schedule": {"drop_path": jnp.float32(rate)}}
    return NETWORK.apply(
        own, SPACE.unpack(GENOMES[1]), X, True, mutable=["batch_stats"], rngs={"drop_path": jax.random.key(key)}
    )[0]


def test_paths_are_dropped_at_the_given_rate_only(variables):
    own = extract(variables, jax.eval_shape(lambda: init(GENOMES[1])))
    run = jax.jit(outputs)
    whole = NETWORK.apply(own, SPACE.unpack(GENOMES[1]), X, True, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(run(own, 0.0, 0), whole, atol=1e-5)
    assert not np.allclose(run(own, 0.5, 0), whole, atol=1e-3)
    assert not np.allclose(run(own, 0.5, 0), run(own, 0.5, 1), atol=1e-3)


def test_paths_can_be_dropped_in_the_population_network(variables):
    def run(genome):
        own = {**variables, "schedule": {"drop_path": jnp.float32(0.5)}}
        rngs = {"drop_path": jax.random.key(0)}
        return NETWORK.apply(own, SPACE.unpack(genome), X, True, mutable=["batch_stats"], rngs=rngs)[0]

    assert np.isfinite(jax.jit(run)(jnp.asarray(GENOMES[0]))).all()
    with pytest.raises(flax.errors.InvalidRngError):
        own = {**variables, "schedule": {"drop_path": 0.5}}
        NETWORK.apply(own, SPACE.unpack(GENOMES[0]), X, True, mutable=["batch_stats"])


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
