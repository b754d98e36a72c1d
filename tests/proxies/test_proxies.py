from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import proxies
from jaxnas.networks import Choice, Identity, NasBench201, ReLUConvBN, conv, extract
from jaxnas.proxies import PROXIES, together
from jaxnas.spaces import categorical, nasbench201
from jaxnas.tasks.task import Split

KEY = jax.random.key(0)
B = 8
BATCH = Split(jax.random.normal(jax.random.key(1), (B, 6, 6, 3)), jnp.arange(B) % 3)


class Mlp(nn.Module):
    """Dense layers with a ReLU between."""

    widths: tuple[int, ...] = (5, 4)
    activation: callable = nn.relu

    @nn.compact
    def __call__(self, x):
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, name=f"dense_{i}")(x)
            if i + 1 < len(self.widths):
                x = self.activation(x)
        return x


def of(module, x=BATCH.x):
    """`(apply_fn, params)`."""
    params = module.init(KEY, x)["params"]
    return lambda params, x: module.apply({"params": params}, x), params


def score(name, module, batch=BATCH):
    return float(PROXIES[name](*of(module), batch, KEY))


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


# Every network of a population.

SPACE = categorical({"first": ["skip", "1x1", "3x3"], "second": ["skip", "1x1", "3x3"]}, name="tiny")


class Choices(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = conv(4, name="stem")(x)
        for name in SPACE.decisions:
            options = {"skip": Identity, "1x1": partial(ReLUConvBN, 4, 1), "3x3": partial(ReLUConvBN, 4, 3)}
            x = Choice(options, name=name)(decisions[name], x, train)
        return nn.Dense(3, name="head")(nn.relu(x).mean((1, 2)))


def within(variables, genome):
    others = [c for c in variables if c != "params"]
    return lambda params, x: Choices().apply(
        {**variables, "params": params}, SPACE.unpack(genome), x, True, mutable=others
    )


GENOMES = np.array([[0, 1], [2, 1], [2, 2]])


@pytest.fixture(scope="module")
def variables():
    return jax.jit(lambda genome: Choices().init(KEY, SPACE.unpack(genome), BATCH.x, False))(jnp.array([0, 0]))


@pytest.fixture(scope="module")
def population(variables):
    every = together("all")

    @jax.jit
    def scores(genomes, batch):
        return jax.lax.map(lambda g: every(within(variables, g), variables["params"], batch, KEY), genomes)

    return scores(jnp.asarray(GENOMES), BATCH)


@pytest.fixture(scope="module")
def alone(variables):
    every = together("all")
    found = []
    for genome in GENOMES:
        like = jax.eval_shape(lambda: Choices().init(KEY, SPACE.unpack(genome), BATCH.x, False))  # noqa: B023
        own = extract(variables, like)
        found.append(jax.jit(lambda p, b: every(within(own, genome), p, b, KEY))(own["params"], BATCH))  # noqa: B023
    return jax.tree.map(lambda *each: np.stack(each), *found)


@pytest.mark.parametrize("name", PROXIES)
def test_a_network_scores_within_a_population_as_it_does_alone(name, population, alone):
    assert np.isfinite(alone[name]).all() and len(set(alone[name].tolist())) == 3
    np.testing.assert_allclose(population[name], alone[name], rtol=2e-3, atol=1e-6)


def test_shared_passes_change_nothing(variables, alone):
    own = within(variables, jnp.asarray(GENOMES[1]))
    single = jax.jit(lambda batch: PROXIES["snip"](own, variables["params"], batch, KEY))(BATCH)
    np.testing.assert_allclose(single, alone["snip"][1], rtol=1e-5)


# Closed forms.


def gradients(module):
    apply_fn, params = of(module)

    def loss(params):
        return -jnp.take_along_axis(jax.nn.log_softmax(apply_fn(params, BATCH.x)), BATCH.y[:, None], 1).mean()

    return params, jax.grad(loss)(params)


@pytest.mark.parametrize(
    ("name", "of_layer"),
    [
        ("grad_norm", lambda w, g: np.linalg.norm(g)),
        ("snip", lambda w, g: np.abs(w * g).sum()),
        ("plain", lambda w, g: (w * g).sum()),
        ("l2_norm", lambda w, g: np.linalg.norm(w)),
    ],
)
def test_sums_over_layers_are_those_of_the_weights_alone(name, of_layer):
    params, gradient = gradients(Mlp())
    expected = sum(of_layer(np.asarray(params[k]["kernel"]), np.asarray(gradient[k]["kernel"])) for k in params)
    np.testing.assert_allclose(score(name, Mlp()), expected, rtol=1e-5)


def test_grasp_is_minus_weight_times_hessian_times_gradient(float64):
    batch = Split(BATCH.x[:, :1, :2].astype(jnp.float64), BATCH.y)
    module = Mlp((3, 3), nn.tanh)
    params = jax.tree.map(lambda a: a.astype(jnp.float64), module.init(KEY, batch.x)["params"])
    flat, tree = jax.flatten_util.ravel_pytree({k: v["kernel"] for k, v in params.items()})

    def loss(flat):
        weights = {k: {**params[k], "kernel": w} for k, w in tree(flat).items()}
        logits = module.apply({"params": weights}, batch.x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), batch.y[:, None], 1).mean()

    expected = -flat @ jax.hessian(loss)(flat) @ jax.grad(loss)(flat)
    ours = PROXIES["grasp"](lambda p, x: module.apply({"params": p}, x), params, batch, KEY)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_fisher_is_that_of_activation_times_gradient():
    class Masked(nn.Module):
        @nn.compact
        def __call__(self, x, a=0.0, b=0.0):
            x = conv(4, name="conv")(x) + a
            return nn.Dense(3, name="head")(nn.relu(x).mean((1, 2))) + b

    module = Masked()
    apply_fn, params = of(module)
    first = conv(4).apply({"params": params["conv"]}, BATCH.x)
    second = apply_fn(params, BATCH.x)

    def loss(a, b):
        logits = module.apply({"params": params}, BATCH.x, a, b)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), BATCH.y[:, None], 1).mean()

    g, h = jax.grad(loss, (0, 1))(jnp.zeros_like(first), jnp.zeros_like(second))
    # Times the weights of a channel: 3 x 3 x 3 and 4.
    expected = (27 * ((first * g).sum((1, 2)) ** 2).sum() + 4 * ((second * h) ** 2).sum()) / (2 * B)
    np.testing.assert_allclose(score("fisher", module), expected, rtol=1e-5)


def test_synflow_is_the_log_of_weight_times_gradient_at_absolute_weights():
    apply_fn, params = of(Mlp())
    positive = jax.tree.map(jnp.abs, params)
    gradient = jax.grad(lambda p: apply_fn(p, jnp.ones((1, 6, 6, 3))).sum())(positive)
    expected = sum(float((positive[k]["kernel"] * gradient[k]["kernel"]).sum()) for k in params)
    np.testing.assert_allclose(score("synflow", Mlp()), np.log(expected), rtol=1e-5)


def test_synflow_bypasses_norms_and_leaves_biases_out(variables):
    def mapped(fn):
        return jax.tree_util.tree_map_with_path(lambda path, leaf: fn(path[-1].key, leaf), variables["params"])

    genome = jnp.array([2, 1])
    ours = [
        PROXIES["synflow"](within(variables, genome), params, BATCH, KEY)
        for params in (variables["params"], mapped(lambda name, a: a if name == "kernel" else a + 3))
    ]
    np.testing.assert_allclose(*ours, rtol=1e-6)


def test_synflow_of_a_network_beyond_float32_adds_the_logarithms():
    apply_fn, params = of(Mlp((4,) * 20))
    scaled = jax.tree.map(lambda w: 600 * w, params)  # 20 layers: 600^20 = 10^55.6
    ours = PROXIES["synflow"](apply_fn, params, BATCH, KEY)
    np.testing.assert_allclose(PROXIES["synflow"](apply_fn, scaled, BATCH, KEY), ours + 20 * np.log(600), rtol=1e-5)


def test_synflow_of_a_dead_network_is_minus_infinity():
    apply_fn, params = of(Mlp())
    assert PROXIES["synflow"](apply_fn, jax.tree.map(jnp.zeros_like, params), BATCH, KEY) == -jnp.inf


def codes_of(module):
    apply_fn, params = of(module)
    flat = np.asarray(BATCH.x).reshape(B, -1)
    return flat @ np.asarray(params["dense_0"]["kernel"]) + np.asarray(params["dense_0"]["bias"]) > 0


@pytest.mark.parametrize("activation", [nn.relu, lambda x: jnp.maximum(0.0, x), nn.relu6, jax.jit(nn.relu)])
def test_nwot_is_the_log_determinant_of_the_kernel_of_codes(activation):
    module = Mlp((64, 3), activation)
    c = codes_of(module).astype(float)
    expected = np.linalg.slogdet(c @ c.T + (1 - c) @ (1 - c).T)[1]
    np.testing.assert_allclose(score("nwot", module), expected, rtol=1e-4)


def test_nwot_of_examples_with_the_same_codes_is_minus_infinity():
    same = Split(jnp.repeat(BATCH.x[:1], B, 0), BATCH.y)
    assert score("nwot", Mlp((64, 3)), same) == -np.inf


def test_nwot_counts_the_codes_of_every_round_of_a_loop():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(16, name="dense_0")(x.reshape(x.shape[0], -1))
            x = jax.lax.fori_loop(0, 3, lambda _, x: jax.nn.relu(x) - 0.1, x)
            return nn.Dense(3)(jax.lax.scan(lambda x, _: (jax.nn.relu(x) + 1, None), x, None, 2)[0])

    first = codes_of(Loop())
    apply_fn, params = of(Loop())
    x = np.asarray(BATCH.x).reshape(B, -1) @ np.asarray(params["dense_0"]["kernel"])
    codes = []
    for shift in (-0.1, -0.1, -0.1, 1, 1):
        codes.append(x > 0)
        x = np.maximum(x, 0) + shift
    assert (codes[0] == first).all()
    c = np.concatenate(codes, 1).astype(float)
    expected = np.linalg.slogdet(c @ c.T + (1 - c) @ (1 - c).T)[1]
    np.testing.assert_allclose(score("nwot", Loop()), expected, rtol=1e-4)


def jacobians(module):
    apply_fn, params = of(module)
    return np.asarray(jax.grad(lambda x: apply_fn(params, x).sum())(BATCH.x), np.float64).reshape(B, -1)


def test_jacov_is_that_of_the_eigenvalues_of_the_correlations():
    values = np.linalg.eigvalsh(np.corrcoef(jacobians(Mlp((32, 3))))) + 1e-5
    np.testing.assert_allclose(score("jacov", Mlp((32, 3))), -(np.log(values) + 1 / values).sum(), rtol=1e-3)


def test_epe_nas_is_that_of_the_correlations_within_classes():
    j, y = jacobians(Mlp((32, 3))), np.asarray(BATCH.y)
    sums = [np.log(np.abs(np.corrcoef(j[y == c])) + 1e-5).sum() for c in np.unique(y)]
    np.testing.assert_allclose(score("epe_nas", Mlp((32, 3))), np.abs(sums).sum(), rtol=1e-3)


def test_epsinas_is_the_difference_of_scaled_outputs_over_their_mean():
    apply_fn, params = of(Mlp())
    scaled = []
    for value in (1e-7, 1.0):
        constant = {k: {**v, "kernel": jnp.full_like(v["kernel"], value)} for k, v in params.items()}
        outputs = np.asarray(apply_fn(constant, BATCH.x))
        scaled.append((outputs - outputs.min()) / (outputs.max() - outputs.min()))
    expected = np.abs(scaled[0] - scaled[1]).mean() / np.concatenate(scaled).mean()
    np.testing.assert_allclose(score("epsinas", Mlp()), expected, atol=1e-5)


def test_zen_adds_the_deviations_of_normalizations():
    class Convolutions(nn.Module):
        norm: bool

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(8, (3, 3), use_bias=False, name="conv")(x)
            if self.norm:
                x = nn.BatchNorm(use_running_average=False, momentum=0.9, name="norm")(x)
            return nn.Dense(3)(x.mean((1, 2)))

    scores, deviation = {}, None
    for norm in (False, True):
        module = Convolutions(norm)
        variables = module.init(KEY, BATCH.x)
        stats = variables.get("batch_stats", {})

        def apply_fn(params, x, module=module, stats=stats):
            return module.apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])

        scores[norm] = float(PROXIES["zen"](apply_fn, variables["params"], BATCH, KEY))
    # Inputs and weights are Gaussian of unit variance: so 27 is the variance of what is normalized, less at the edges.
    # The normalization divides by its root, the deviation of the running variance puts part of that back.
    batch = 27 * (16 / 18) ** 2
    running = 0.81 + 0.19 * batch
    deviation = scores[True] - scores[False]
    np.testing.assert_allclose(deviation, 0.5 * np.log(running / batch), atol=0.15)


def test_params_and_flops_are_those_of_the_stand_alone_network():
    space, network = nasbench201(), NasBench201(channels=4, cells=1, classes=10)
    genome = np.array([3, 2, 4, 1, 0, 3])
    variables = jax.jit(lambda g: network.init(KEY, space.unpack(g), BATCH.x, False))(jnp.asarray(genome))
    others = {"batch_stats": variables["batch_stats"]}

    @jax.jit
    def counts(genome):
        apply_fn = lambda params, x: network.apply({"params": params, **others}, space.unpack(genome), x, False)
        return together(["params", "flops"])(apply_fn, variables["params"], BATCH, KEY)

    alone = jax.eval_shape(lambda: network.init(KEY, space.unpack(genome), BATCH.x, False))["params"]
    found = counts(jnp.asarray(genome))
    assert found["params"] == sum(leaf.size for leaf in jax.tree.leaves(alone))
    # Stem; per stage of C channels and n pixels two 3 x 3 and one 1 x 1; reductions of two 3 x 3 and a shortcut; head.
    stages = [(4, 36), (8, 9), (16, 4)]
    cells = sum(n * C * C * (9 + 1 + 9) for C, n in stages)
    reductions = sum(n * C * (C // 2 * 9 + C * 9 + C // 2) for C, n in stages[1:])
    assert found["flops"] == 36 * 27 * 4 + cells + reductions + 16 * 10


def test_parameters_of_a_loop_count_row_by_row():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = lambda module, x, _: (nn.relu(module(x)), None)
            x = nn.Dense(6, name="first")(x.reshape(x.shape[0], -1))
            return nn.scan(layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)(
                nn.Dense(6, name="layers"), x, None
            )[0]

    _, params = of(Loop())
    assert score("params", Loop()) == sum(leaf.size for leaf in jax.tree.leaves(params))
    expected = sum(np.linalg.norm(k) for k in (params["first"]["kernel"], *params["layers"]["kernel"]))
    np.testing.assert_allclose(score("l2_norm", Loop()), expected, rtol=1e-6)
    assert np.isfinite(score("fisher", Loop())) and np.isfinite(score("synflow", Loop()))


# Refusals.


@pytest.mark.parametrize("name", ["jacov", "epe_nas", "nwot", "epsinas"])
def test_proxies_that_compare_examples_refuse_a_batch_of_one(name):
    with pytest.raises(ValueError, match=f"batch: {name} compares examples and needs at least 2 of them, got 1"):
        score(name, Mlp(), Split(BATCH.x[:1], BATCH.y[:1]))


@pytest.mark.parametrize("name", ["snip", "grasp", "fisher", "grad_norm", "plain", "epe_nas"])
def test_missing_labels_are_named(name):
    with pytest.raises(ValueError, match="batch: .*labels y"):
        score(name, Mlp(), Split(BATCH.x, None))


@pytest.mark.parametrize("name", ["synflow", "jacov", "nwot", "epsinas", "l2_norm", "params", "flops"])
def test_proxies_without_need_of_labels_do_without(name):
    assert np.isfinite(score(name, Mlp((64, 3)), Split(BATCH.x, None)))


def test_a_network_without_relu_is_refused_by_nwot():
    with pytest.raises(ValueError, match="apply_fn: nwot reads the codes of ReLUs, and the network has none"):
        score("nwot", Mlp(activation=nn.tanh))


def test_a_network_without_images_is_refused_by_zen():
    with pytest.raises(ValueError, match="apply_fn: zen compares images"):
        score("zen", Mlp())


def test_a_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="params: no leaf is named 'kernel'"):
        PROXIES["snip"](lambda p, x: x, {"scale": jnp.ones(3)}, BATCH, KEY)


def test_an_unknown_proxy_lists_the_known():
    with pytest.raises(ValueError, match=r"proxies: unknown 'synflo'. Did you mean 'synflow'\? Known: synflow, snip"):
        proxies.named("nwot,synflo")


def test_all_and_repeated_names():
    assert proxies.named("all") == list(PROXIES) and proxies.named("nwot, snip,nwot") == ["nwot", "snip"]
    with pytest.raises(ValueError, match="proxies: expected names out of synflow"):
        proxies.named("")
