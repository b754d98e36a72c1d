from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import search
from jaxnas.evaluators import training
from jaxnas.execution import execution
from jaxnas.networks import MobileNet, extract
from jaxnas.networks.mobilenet import Depthwise, InvertedResidual, joint
from jaxnas.spaces import mobilenet
from jaxnas.strategies import random_search
from jaxnas.tasks import digits
from tests.support.variables import of_shapes

# Widths out of order, and the second stage of an odd image.
OPTIONS = {"kernels": (3, 5), "expansions": (2, 3), "depths": (1, 2), "widths": (1.0, 0.5)}
SPACE = mobilenet(stages=2, **OPTIONS)
NETWORK = MobileNet(channels=(4, 6), strides=(2, 1), stem=3, features=8, **OPTIONS)
GENOMES = [np.array(g) for g in ([1, 0, 1, 1, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0, 1, 1])]
X = np.random.default_rng(1).normal(size=(4, 7, 7, 2)).astype(np.float32)


def init(genome, network=NETWORK):
    return network.init(jax.random.key(0), SPACE.unpack(genome), X, False)


def step(variables, genome):
    """Outputs, new statistics and gradient of a training step, and the scores."""

    def loss(params):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        outputs, updates = NETWORK.apply(state, SPACE.unpack(genome), X, True, mutable=["batch_stats"])
        return (outputs**2).mean(), (outputs, updates["batch_stats"])

    (_, (outputs, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return outputs, stats, gradient, NETWORK.apply(variables, SPACE.unpack(genome), X, False)


PROGRAM = jax.jit(step)


@pytest.fixture(scope="module")
def variables():
    """Of the population network, with scales, biases and statistics away from 1 and 0."""
    draw, shapes = np.random.default_rng(0), jax.eval_shape(init, jnp.asarray(GENOMES[0]))
    values = lambda leaf: draw.uniform(0.5, 1.5, leaf.shape) if leaf.ndim == 1 else draw.normal(0, 0.4, leaf.shape)
    return jax.tree.map(lambda leaf: np.asarray(values(leaf), np.float32), shapes)


@pytest.fixture(scope="module")
def static(variables):
    results = []
    for genome in GENOMES:
        own = extract(variables, jax.eval_shape(partial(init, genome)))
        results.append((own, jax.jit(partial(step, genome=genome))(own)))
    return results


@pytest.mark.parametrize("choose", [jnp.asarray, lambda g: np.eye(2, dtype=np.float32)[g]], ids=["traced", "one-hot"])
def test_one_program_agrees_with_every_stand_alone_network(variables, static, choose):
    for genome, (_, alone) in zip(GENOMES, static, strict=True):
        ours = PROGRAM(variables, choose(genome))
        for i, tolerance in enumerate((1e-5, 1e-5, 1e-4, 1e-5)):  # outputs, statistics, gradient, scores
            largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(alone[i]))
            cut = extract({"": ours[i]}, {"": alone[i]})[""]
            jax.tree.map(partial(np.testing.assert_allclose, atol=tolerance * largest), cut, alone[i])
    assert PROGRAM._cache_size() <= 2, "one for integers, one for weights"


def test_static_network_is_cut_from_the_population_network(static):
    params = static[0][0]["params"]
    assert set(params["stage_0_block_0"]["depthwise_conv"]) == {"5x5"}
    assert params["stage_0_block_0"]["expand_conv"]["kernel"].shape == (1, 1, 3, 6)
    assert params["stage_0_block_1"]["block"]["project_conv"]["kernel"].shape == (1, 1, 4, 2)
    assert params["stage_1_block_0"]["expand_conv"]["kernel"].shape == (1, 1, 2, 6)
    assert {name for name in params if name.startswith("stage_1")} == {"stage_1_block_0"}


def test_absent_blocks_are_not_computed(variables):
    """A mask would let NaN through, and change statistics."""
    broken = {c: {**v, "stage_1_block_1": jax.tree.map(lambda a: a * jnp.nan, v["stage_1_block_1"])}
              for c, v in variables.items()}  # fmt: skip
    outputs, stats, gradient, scores = PROGRAM(broken, jnp.asarray(GENOMES[0]))
    assert np.isfinite(outputs).all() and np.isfinite(scores).all()
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient["stage_1_block_1"]))
    unchanged = PROGRAM(variables, jnp.asarray(GENOMES[0]))[1]["stage_1_block_1"]
    jax.tree.map(np.testing.assert_array_equal, unchanged, variables["batch_stats"]["stage_1_block_1"])


def test_what_was_not_chosen_gets_no_gradient(variables):
    block = jax.tree.map(np.asarray, PROGRAM(variables, jnp.asarray(GENOMES[0]))[2]["stage_0_block_0"])
    assert (block["depthwise_conv"]["3x3"]["kernel"] == 0).all()
    assert np.abs(block["depthwise_conv"]["5x5"]["kernel"][..., :6]).min() > 0
    assert (block["depthwise_conv"]["5x5"]["kernel"][..., 6:] == 0).all()
    projection = block["project_conv"]["kernel"]
    assert (projection[:, :, 6:] == 0).all() and (projection[..., 2:] == 0).all()


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_form_of_a_choice_of_kernel_is_the_convolution_of_that_size(platform, stride):
    layer, x = Depthwise((5, 1, 3), stride), X.repeat(2, -1)
    variables = of_shapes(jax.eval_shape(layer.init, jax.random.key(0), x, jnp.int32(0)))

    @jax.jit
    def alone(params):
        return [Depthwise((size,), stride).apply({"params": {name: params[name]}}, x, 0) for size, name in names]

    names = [(size, f"{size}x{size}") for size in (5, 1, 3)]
    choose = jax.jit(execution(platform=platform)(layer.apply))
    for i, expected in enumerate(alone(variables["params"])):
        assert expected.shape == (4, -(-7 // stride), -(-7 // stride), 4)
        for decision in (np.int32(i), np.eye(3, dtype=np.float32)[i]):
            np.testing.assert_allclose(choose(variables, x, decision), expected, atol=1e-6)


def test_mixture_of_kernels_is_the_weighted_sum_of_their_convolutions():
    layer, weights = Depthwise((3, 5)), np.array([0.3, 0.7], np.float32)
    variables = of_shapes(jax.eval_shape(layer.init, jax.random.key(0), X, weights))
    choose = jax.jit(layer.apply)
    terms = [w * np.asarray(choose(variables, X, np.int32(i))) for i, w in enumerate(weights)]
    np.testing.assert_allclose(choose(variables, X, weights), sum(terms), atol=1e-6)


def test_mixed_masks_silence_what_exceeds_every_option_and_weigh_the_rest():
    """With 1 x 1 images and unit normalization a block is a product, so each hidden channel counts by its mask."""
    block, x = InvertedResidual(3, 4, (1,), residual=False), np.full((1, 1, 1, 2), 0.5, np.float32)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), (x, 0, 1.0, 1.0), False))
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    zero = jax.tree.map(np.zeros_like, variables["batch_stats"])
    variables["batch_stats"] = {n: {"mean": v["mean"], "var": np.ones_like(v["var"])} for n, v in zero.items()}
    masks = np.array([1, 1, 0.25, 0]), np.array([1, 0.5, 0])
    y = jax.jit(lambda v, inner, outer: block.apply(v, (x, 0, inner, outer), False))(variables, *masks)
    np.testing.assert_allclose(y[0, 0, 0], (2.25 * 3 + 1) * np.array([1, 0.5, 0]), rtol=1e-4)


def test_gradient_of_weights_is_the_finite_difference(variables):
    loss = lambda w: (NETWORK.apply(variables, SPACE.unpack(w), X, False) ** 2).mean()
    score = jax.jit(jax.value_and_grad(loss))
    logits, direction = np.random.default_rng(3).normal(size=(2, 8, 2)).astype(np.float32)
    weights, h = np.exp(logits) / np.exp(logits).sum(1, keepdims=True), np.float32(3e-3)
    slope = (score(weights + h * direction)[0] - score(weights - h * direction)[0]) / (2 * h)
    np.testing.assert_allclose((score(weights)[1] * direction).sum(), slope, rtol=1e-3)


def test_joint_decision_counts_pairs_of_options_in_every_form():
    for a in range(2):
        for b in range(3):
            assert joint(a, b, (2, 3)) == 3 * a + b == joint(jnp.int32(a), b, (2, 3))
            hard, soft = np.eye(2, dtype=np.float32)[a], np.eye(3, dtype=np.float32)[b]
            pairs = joint(hard, b, (2, 3)), joint(hard, soft, (2, 3))
            np.testing.assert_array_equal(pairs, [np.eye(6)[3 * a + b]] * 2)


def count(network, decisions, x):
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), decisions, x, False))["params"]
    return {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in params.items()}


def test_parameters_of_a_block_are_three_kernels_and_three_normalizations():
    for kernel, expansion in ((0, 1), (1, 0)):
        decisions = SPACE.unpack(np.array([0, 0, 0, 0, kernel, expansion, 1, 0]))
        h, k = (2, 3)[expansion] * 6, (3, 5)[kernel]
        assert count(NETWORK, decisions, X)["stage_1_block_1"] == 6 * h + k * k * h + h * 6 + 2 * (h + h + 6)


def test_mobilenet_v2_has_the_published_number_of_parameters():
    """3,504,872 as torchvision counts the network of Sandler et al. (2018), table 2. Its first block is not expanded;
    ours has a 1 x 1 convolution of 32 channels there, and its normalization."""
    options = {"kernels": (3,), "expansions": (1, 6), "depths": (1, 2, 3, 4), "widths": (1.0,)}
    space = mobilenet(stages=7, **options)
    network = MobileNet((16, 24, 32, 64, 96, 160, 320), (1, 2, 2, 2, 1, 2, 1), stem=32, classes=1000, **options)
    decisions = space.unpack(np.array([0, 0, 1, 1, 1, 2, 1, 3, 1, 2, 1, 2, 1, 0]))
    parameters = count(network, decisions, jnp.zeros((1, 32, 32, 3)))
    assert sum(parameters.values()) == 3_504_872 + 32 * 32 + 2 * 32


@pytest.mark.parametrize("fixed", ["kernels", "expansions", "depths", "widths"])
def test_factor_of_one_option_is_fixed_in_every_form(fixed):
    options = {**OPTIONS, fixed: OPTIONS[fixed][:1]}
    space = mobilenet(stages=1, **options)
    network = NETWORK.clone(channels=(4,), strides=(2,), **options)
    genome = np.ones(3, int)
    run = lambda choice: network.init(jax.random.key(0), space.unpack(choice), X, True)
    own = jax.eval_shape(lambda: run(genome))
    for choice in (genome, np.eye(2, dtype=np.float32)[genome]):
        variables = jax.eval_shape(run, choice)
        apply = lambda v, c: network.apply(v, space.unpack(c), X, True, mutable=["batch_stats"])[0].sum()
        gradient = jax.eval_shape(jax.grad(apply), jax.tree.map(lambda s: np.ones(s.shape, s.dtype), variables), choice)
        assert jax.tree.structure(gradient) == jax.tree.structure(variables)
        jax.eval_shape(partial(extract, like=own), variables)


@pytest.mark.parametrize("form", [lambda g: g, jnp.asarray, lambda g: jnp.eye(2)[g]])
def test_every_form_of_a_half_precision_network_answers_in_float32(form):
    half = NETWORK.clone(dtype=jnp.bfloat16)

    def run(choice):
        outputs, variables = half.init_with_output(jax.random.key(0), SPACE.unpack(choice), X, True)
        return outputs, variables, half.apply(variables, SPACE.unpack(choice), X, True, mutable=["batch_stats"])

    choice = form(GENOMES[0])
    results = jax.eval_shape(lambda: run(choice)) if isinstance(choice, np.ndarray) else jax.eval_shape(run, choice)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(jnp.float32)}


def test_half_precision_computes_near(static):
    own, (*_, scores) = static[0]
    half = NETWORK.clone(dtype=jnp.bfloat16)
    outputs = jax.jit(lambda v: half.apply(v, SPACE.unpack(GENOMES[0]), X, False))(own)
    outputs, scores = np.asarray(outputs), np.asarray(scores)
    assert 0 < np.abs(outputs - scores).max() < 0.05 * np.abs(scores).max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 0}, "features: expected at least 1, got 0"),
        ({"channels": (4, 0)}, "channels: expected at least 1, got 0"),
        ({"strides": (1,)}, r"strides: expected one for each of channels \(4, 6\), got \(1,\)"),
        ({"kernels": (3, 4)}, "kernels: expected odd sizes"),
        ({"widths": (1.0, 1.1)}, r"channels: 4 are too few for widths \(1.0, 1.1\) to differ"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        NETWORK.clone(**settings)


def test_lists_of_a_config_serve_as_tuples():
    listed = NETWORK.clone(channels=[4, 6], strides=[2, 1], **{name: list(o) for name, o in OPTIONS.items()})
    assert listed == NETWORK and hash(listed) == hash(NETWORK)


@pytest.mark.parametrize("other", [{"kernels": (3,)}, {"stages": 1}, {"stages": 3}])
def test_space_of_other_decisions_is_refused(other):
    space = mobilenet(**{"stages": 2, **OPTIONS, **other})
    decisions = space.unpack(np.zeros(len(space.decisions), int))
    with pytest.raises(ValueError, match="give both the same"):
        jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), decisions, X, False))


@pytest.mark.parametrize("factor", range(4))
def test_decision_out_of_range_is_refused_by_name(factor):
    genome, name = 2 * np.eye(8, dtype=int)[4 + factor], SPACE.decisions[4 + factor]
    with pytest.raises(ValueError, match=f"decision of {name}: expected at most 1, got 2"):
        jax.eval_shape(partial(init, genome))
    with pytest.raises(ValueError, match=f"decision of {name}: expected 2 weights, got 3"):
        weights = {**SPACE.unpack(np.ones((8, 2))), name: jnp.ones(3)}
        jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), weights, X, False))


def test_search_runs_on_it():
    options = {"kernels": (1, 3), "expansions": (1,), "depths": (1,), "widths": (1.0,)}
    space = mobilenet(stages=1, **options)
    network = MobileNet(channels=(2,), strides=(2,), stem=2, features=4, **options)
    evaluator = training(space, network, digits(), batch_size=16, devices=jax.devices()[:1])
    result = search(space, random_search(space, proposals=2, budget=1), evaluator, rounds=1, progress=False)
    assert result.evaluations == 2 and result.invalid == 0
    np.testing.assert_array_equal(space.from_string(result.architecture), result.genome)


@pytest.fixture(scope="module")
def transformed():
    """A depthwise convolution whose smaller kernels are made of the largest, its images and variables."""
    module = Depthwise((3, 7, 5), transforms=True)
    draw, x = np.random.default_rng(2), X[..., :2]
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, jnp.int32(0)))
    variables = jax.tree.map(lambda leaf: jnp.asarray(draw.normal(0, 0.3, leaf.shape), jnp.float32), shapes)
    return module, x, variables


def test_smaller_kernels_are_the_middle_of_larger_ones_times_a_matrix(transformed):
    module, x, variables = transformed
    params = variables["params"]
    middle = np.asarray(params["7x7"]["kernel"])[1:-1, 1:-1].reshape(25, -1)
    five = (middle + params["to_5x5"] @ middle).reshape(5, 5, 1, -1)
    own = Depthwise((5,)).apply({"params": {"5x5": {"kernel": five}}}, x, 0)
    np.testing.assert_allclose(module.apply(variables, x, 2), own, rtol=1e-4, atol=1e-5)


def test_a_transformed_kernel_is_the_same_chosen_before_and_in_the_program(transformed):
    module, x, variables = transformed
    traced = jax.jit(module.apply)
    for i in range(3):
        alone = module.apply(variables, x, i)
        np.testing.assert_allclose(traced(variables, x, jnp.int32(i)), alone, rtol=1e-4, atol=1e-5)
        one_hot = jnp.eye(3)[i]
        np.testing.assert_allclose(traced(variables, x, one_hot), alone, rtol=1e-4, atol=1e-5)
    kept = jax.eval_shape(lambda: module.init(jax.random.key(0), x, 2))["params"]
    assert set(kept) == {"7x7", "to_5x5"}
