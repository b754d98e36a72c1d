from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import proxies
from jaxnas.networks import Choice, Identity, ReLUConvBN, conv, extract
from jaxnas.networks.nasbench201 import Cell
from jaxnas.proxies import PROXIES, together
from jaxnas.spaces import categorical, nasbench201
from jaxnas.tasks import Batch
from tests.support.variables import of_shapes

KEY = jax.random.key(0)
B = 8
BATCH = Batch(np.random.default_rng(1).normal(size=(B, 6, 6, 3)).astype(np.float32), np.arange(B) % 3)


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


MLP = Mlp((32, 3))
TANH = Mlp(activation=nn.tanh)


@cache
def of(module):
    """`(apply_fn, params)`, as at initialization."""
    params = of_shapes(jax.eval_shape(module.init, KEY, BATCH.inputs), initial=True)["params"]
    return lambda params, x: module.apply({"params": params}, x), params


@cache
def scorer(names, module):
    """The program `(params, batch) -> {name: score}`."""
    every = together(names)
    return jax.jit(lambda params, batch: every(of(module)[0], params, batch, KEY))


def score(name, module, batch=BATCH):
    """Of one proxy by itself."""
    apply_fn, params = of(module)
    return float(jax.jit(lambda p, b: PROXIES[name](apply_fn, p, b, KEY))(params, batch))


def refused(name, module, batch=BATCH):
    jax.eval_shape(lambda p: PROXIES[name](of(module)[0], p, batch, KEY), of(module)[1])


def ours(params=None, batch=BATCH):
    """All proxies of `MLP` but that of images."""
    names = tuple(name for name in PROXIES if name != "zen")
    return scorer(names, MLP)(of(MLP)[1] if params is None else params, batch)


def loss(outputs):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), BATCH.targets[:, None], 1).mean()


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


# Every network of a population.

SPACE = categorical({"layer": ["skip", "3x3"]}, name="tiny")


class Choices(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = conv(4, name="stem")(x)
        options = {"skip": Identity, "3x3": partial(ReLUConvBN, 4, 3)}
        x = Choice(options, name="layer")(decisions["layer"], x, train)
        return nn.Dense(3, name="head")(nn.relu(x).mean((1, 2)))


def init(genome):
    return Choices().init(KEY, SPACE.unpack(genome), BATCH.inputs, False)


def within(variables, genome):
    others = [c for c in variables if c != "params"]
    return lambda params, x: Choices().apply(
        {**variables, "params": params}, SPACE.unpack(genome), x, True, mutable=others
    )


GENOMES = np.array([[0], [1]])


@pytest.fixture(scope="module")
def variables():
    return of_shapes(jax.eval_shape(init, jnp.array([0])), initial=True)


@pytest.fixture(scope="module")
def population(variables):
    every = together("all")

    @jax.jit
    def scores(genomes, batch):
        return jax.lax.map(lambda g: every(within(variables, g), variables["params"], batch, KEY), genomes)

    return scores(GENOMES, BATCH)


@pytest.fixture(scope="module")
def alone(variables):
    every = together("all")
    found = []
    for genome in GENOMES:
        own = extract(variables, jax.eval_shape(partial(init, genome)))
        found.append(jax.jit(lambda p, b: every(within(own, genome), p, b, KEY))(own["params"], BATCH))  # noqa: B023
    return jax.tree.map(lambda *each: np.stack(each), *found)


@pytest.mark.parametrize("name", PROXIES)
def test_a_network_scores_within_a_population_as_it_does_alone(name, population, alone):
    assert np.isfinite(alone[name]).all() and len(set(alone[name].tolist())) == 2
    np.testing.assert_allclose(population[name], alone[name], rtol=2e-3, atol=1e-6)


def test_shared_passes_change_nothing():
    np.testing.assert_allclose(score("snip", MLP), ours()["snip"], rtol=1e-5)


# Closed forms.


@pytest.fixture(scope="module")
def derivatives():
    """Of the loss with respect to parameters, and of the outputs' sum with respect to inputs `[B, n]`."""
    apply_fn, params = of(MLP)

    @jax.jit
    def both(params, x):
        gradient = jax.grad(lambda params: loss(apply_fn(params, x)))(params)
        return gradient, jax.grad(lambda x: apply_fn(params, x).sum())(x)

    gradient, jacobians = both(params, BATCH.inputs)
    return jax.tree.map(np.asarray, gradient), np.asarray(jacobians, np.float64).reshape(B, -1)


@pytest.mark.parametrize(
    ("name", "of_layer"),
    [
        ("grad_norm", lambda w, g: np.linalg.norm(g)),
        ("snip", lambda w, g: np.abs(w * g).sum()),
        ("plain", lambda w, g: (w * g).sum()),
        ("l2_norm", lambda w, g: np.linalg.norm(w)),
    ],
)
def test_sums_over_layers_are_those_of_the_weights_alone(name, of_layer, derivatives):
    params, gradient = of(MLP)[1], derivatives[0]
    expected = sum(of_layer(params[k]["kernel"], gradient[k]["kernel"]) for k in params)
    np.testing.assert_allclose(ours()[name], expected, rtol=1e-5)


def test_grasp_is_minus_weight_times_hessian_times_gradient(float64):
    batch = Batch(BATCH.inputs[:, :1, :2].astype(np.float64), BATCH.targets)
    module = Mlp((3, 3), nn.tanh)
    params = jax.tree.map(lambda a: a.astype(np.float64), of_shapes(jax.eval_shape(module.init, KEY, batch.inputs)))[
        "params"
    ]
    apply_fn = lambda p, x: module.apply({"params": p}, x)

    @jax.jit
    def both(params):
        flat, tree = jax.flatten_util.ravel_pytree({k: v["kernel"] for k, v in params.items()})

        def of_weights(flat):
            return loss(apply_fn({k: {**params[k], "kernel": w} for k, w in tree(flat).items()}, batch.inputs))

        expected = -flat @ jax.hessian(of_weights)(flat) @ jax.grad(of_weights)(flat)
        return PROXIES["grasp"](apply_fn, params, batch, KEY), expected

    np.testing.assert_allclose(*both(params), rtol=1e-4)


def test_fisher_is_that_of_activation_times_gradient():
    class Masked(nn.Module):
        @nn.compact
        def __call__(self, x, a=0.0, b=0.0):
            x = conv(4, name="conv")(x) + a
            return nn.Dense(3, name="head")(nn.relu(x).mean((1, 2))) + b

    apply_fn, params = of(Masked())

    @jax.jit
    def expected(params):
        first = conv(4).apply({"params": params["conv"]}, BATCH.inputs)
        second = apply_fn(params, BATCH.inputs)
        of_outputs = lambda a, b: loss(Masked().apply({"params": params}, BATCH.inputs, a, b))
        g, h = jax.grad(of_outputs, (0, 1))(jnp.zeros_like(first), jnp.zeros_like(second))
        # Times the weights of a channel: 3 x 3 x 3 and 4.
        return (27 * ((first * g).sum((1, 2)) ** 2).sum() + 4 * ((second * h) ** 2).sum()) / (2 * B)

    np.testing.assert_allclose(score("fisher", Masked()), expected(params), rtol=1e-5)


def test_synflow_is_the_log_of_weight_times_gradient_at_absolute_weights():
    apply_fn, params = of(MLP)
    positive = jax.tree.map(np.abs, params)
    gradient = jax.jit(jax.grad(lambda p: apply_fn(p, jnp.ones((1, 6, 6, 3))).sum()))(positive)
    expected = sum(float((positive[k]["kernel"] * gradient[k]["kernel"]).sum()) for k in params)
    np.testing.assert_allclose(ours()["synflow"], np.log(expected), rtol=1e-5)


def test_synflow_bypasses_norms_and_leaves_biases_out(variables):
    mapped = lambda fn: jax.tree_util.tree_map_with_path(lambda path, leaf: fn(path[-1].key, leaf), variables["params"])
    synflow = jax.jit(lambda params: PROXIES["synflow"](within(variables, GENOMES[1]), params, BATCH, KEY))
    results = [synflow(variables["params"]), synflow(mapped(lambda name, a: a if name == "kernel" else a + 3))]
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert abs(synflow(mapped(lambda name, a: 2 * a if name == "kernel" else a)) - results[0]) > 1


def test_synflow_of_a_network_beyond_float32_adds_the_logarithms():
    params = of(Mlp((4,) * 16))[1]
    synflow = scorer(("synflow",), Mlp((4,) * 16))
    scaled = jax.tree.map(lambda w: 600 * w, params)  # 16 layers: 600^16 = 10^44.5
    results = [float(synflow(p, BATCH)["synflow"]) for p in (scaled, params)]
    np.testing.assert_allclose(results[0], results[1] + 16 * np.log(600), rtol=1e-5)


def test_synflow_of_a_dead_network_is_minus_infinity():
    assert ours(jax.tree.map(np.zeros_like, of(MLP)[1]))["synflow"] == -np.inf


def codes_of(module):
    params = of(module)[1]["dense_0"]
    return BATCH.inputs.reshape(B, -1) @ params["kernel"] + params["bias"] > 0


def log_determinant(codes):
    c = codes.astype(float)
    return np.linalg.slogdet(c @ c.T + (1 - c) @ (1 - c).T)[1]


def test_nwot_is_the_log_determinant_of_the_kernel_of_codes():
    np.testing.assert_allclose(ours()["nwot"], log_determinant(codes_of(MLP)), rtol=1e-4)


def test_nwot_finds_every_way_to_write_a_relu():
    modules = [Mlp((32, 3), a) for a in (nn.relu, lambda x: jnp.maximum(0.0, x), nn.relu6, jax.jit(nn.relu))]
    nwot = jax.jit(lambda p: [PROXIES["nwot"](of(module)[0], p, BATCH, KEY) for module in modules])
    np.testing.assert_allclose(nwot(of(MLP)[1]), [log_determinant(codes_of(MLP))] * 4, rtol=1e-4)


def test_nwot_of_examples_with_the_same_codes_is_minus_infinity():
    assert ours(batch=Batch(np.repeat(BATCH.inputs[:1], B, 0), BATCH.targets))["nwot"] == -np.inf


def test_nwot_counts_the_codes_of_every_round_of_a_loop():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(16, name="dense_0")(x.reshape(x.shape[0], -1))
            x = jax.lax.fori_loop(0, 3, lambda _, x: jax.nn.relu(x) - 0.1, x)
            return nn.Dense(3)(jax.lax.scan(lambda x, _: (jax.nn.relu(x) + 1, None), x, None, 2)[0])

    params = of(Loop())[1]["dense_0"]
    x = BATCH.inputs.reshape(B, -1) @ params["kernel"] + params["bias"]
    codes = []
    for shift in (-0.1, -0.1, -0.1, 1, 1):
        codes.append(x > 0)
        x = np.maximum(x, 0) + shift
    np.testing.assert_allclose(score("nwot", Loop()), log_determinant(np.concatenate(codes, 1)), rtol=1e-4)


def test_jacov_is_that_of_the_eigenvalues_of_the_correlations(derivatives):
    values = np.linalg.eigvalsh(np.corrcoef(derivatives[1])) + 1e-5
    np.testing.assert_allclose(ours()["jacov"], -(np.log(values) + 1 / values).sum(), rtol=1e-3)


def test_epe_nas_is_that_of_the_correlations_within_classes(derivatives):
    j, y = derivatives[1], BATCH.targets
    sums = [np.log(np.abs(np.corrcoef(j[y == c])) + 1e-5).sum() for c in np.unique(y)]
    np.testing.assert_allclose(ours()["epe_nas"], np.abs(sums).sum(), rtol=1e-3)


def test_epsinas_is_the_difference_of_scaled_outputs_over_their_mean():
    apply_fn, params = of(MLP)
    scaled, outputs_of = [], jax.jit(apply_fn)
    for value in (1e-7, 1.0):
        constant = {k: {**v, "kernel": np.full_like(v["kernel"], value)} for k, v in params.items()}
        outputs = np.asarray(outputs_of(constant, BATCH.inputs))
        scaled.append((outputs - outputs.min()) / (outputs.max() - outputs.min()))
    expected = np.abs(scaled[0] - scaled[1]).mean() / np.concatenate(scaled).mean()
    np.testing.assert_allclose(ours()["epsinas"], expected, atol=1e-5)


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
        variables = of_shapes(jax.eval_shape(module.init, KEY, BATCH.inputs), initial=True)
        stats = variables.get("batch_stats", {})

        def apply_fn(params, x, module=module, stats=stats):
            return module.apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])

        zen = jax.jit(partial(PROXIES["zen"], apply_fn))
        scores[norm] = float(zen(variables["params"], BATCH, KEY))
    # Inputs and weights are Gaussian of unit variance: so 27 is the variance of what is normalized, less at the edges.
    # The normalization divides by its root, the deviation of the running variance puts part of that back.
    batch = 27 * (16 / 18) ** 2
    running = 0.81 + 0.19 * batch
    deviation = scores[True] - scores[False]
    np.testing.assert_allclose(deviation, 0.5 * np.log(running / batch), atol=0.15)


def test_depthwise_convolutions_count_whatever_form_they_take_here():
    class Depthwise(nn.Module):
        @nn.compact
        def __call__(self, x):
            return conv(3, groups=3)(x).mean((1, 2))

    assert score("flops", Depthwise()) == 6 * 6 * 3 * 9


def test_params_and_flops_are_those_of_the_stand_alone_network():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, decisions, x, train):
            x = Cell(4, name="cell")(decisions, conv(4, 3, 2, name="stem")(x), train)
            return nn.Dense(10, name="head")(x.mean((1, 2)))

    space, genome = nasbench201(), np.array([3, 2, 4, 1, 0, 3])
    init = lambda g: Network().init(KEY, space.unpack(g), BATCH.inputs, False)
    variables = of_shapes(jax.eval_shape(init, jnp.asarray(genome)))

    @jax.jit
    def counts(genome):
        apply_fn = lambda params, x: Network().apply({**variables, "params": params}, space.unpack(genome), x, False)
        return together(["params", "flops"])(apply_fn, variables["params"], BATCH, KEY)

    alone = jax.eval_shape(lambda: init(genome))["params"]
    found = counts(genome)
    assert found["params"] == sum(leaf.size for leaf in jax.tree.leaves(alone))
    # Stem of stride 2; two 3 x 3 and one 1 x 1 of 4 channels and 9 pixels; head.
    assert found["flops"] == 9 * 27 * 4 + 9 * 4 * 4 * (9 + 1 + 9) + 4 * 10


def test_parameters_of_a_loop_count_row_by_row():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = lambda module, x, _: (nn.relu(module(x)), None)
            x = nn.Dense(6, name="first")(x.reshape(x.shape[0], -1))
            return nn.scan(layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)(
                nn.Dense(6, name="layers"), x, None
            )[0]

    params = of(Loop())[1]
    found = scorer(("params", "l2_norm", "fisher", "synflow"), Loop())(params, BATCH)
    assert found["params"] == sum(leaf.size for leaf in jax.tree.leaves(params))
    expected = sum(np.linalg.norm(k) for k in (params["first"]["kernel"], *params["layers"]["kernel"]))
    np.testing.assert_allclose(found["l2_norm"], expected, rtol=1e-6)
    assert np.isfinite(found["fisher"]) and np.isfinite(found["synflow"])


# Refusals.


@pytest.mark.parametrize("name", ["jacov", "epe_nas", "nwot", "epsinas"])
def test_proxies_that_compare_examples_refuse_a_batch_of_one(name):
    with pytest.raises(ValueError, match=f"batch: {name} compares examples and needs at least 2 of them, got 1"):
        refused(name, MLP, Batch(BATCH.inputs[:1], BATCH.targets[:1]))


@pytest.mark.parametrize("name", ["snip", "grasp", "fisher", "grad_norm", "plain", "epe_nas"])
def test_missing_labels_are_named(name):
    with pytest.raises(ValueError, match="batch: .*labels y"):
        refused(name, MLP, Batch(BATCH.inputs, None))


def test_proxies_without_need_of_labels_do_without():
    names = ("synflow", "jacov", "nwot", "epsinas", "l2_norm", "params", "flops")
    found = scorer(names, MLP)(of(MLP)[1], Batch(BATCH.inputs, None))
    np.testing.assert_allclose([found[name] for name in names], [ours()[name] for name in names], rtol=1e-4)


def test_a_network_without_relu_is_refused_by_nwot():
    with pytest.raises(ValueError, match="apply_fn: nwot reads the codes of ReLUs, and the network has none"):
        refused("nwot", TANH)


def test_a_network_without_images_is_refused_by_zen():
    with pytest.raises(ValueError, match="apply_fn: zen compares images"):
        refused("zen", MLP)


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


@pytest.mark.parametrize(("name", "asked"), [("jacov", True), ("synflow", False)])
def test_products_are_asked_for_in_full_where_ranks_need_it(name, asked):
    """A TPU makes bfloat16 of float32 unless they are."""
    apply = lambda params, x: x @ params["kernel"]
    batch = Batch(jnp.ones((3, 4)), jnp.arange(3))
    program = jax.make_jaxpr(lambda p: PROXIES[name](apply, p, batch, jax.random.key(0)))({"kernel": jnp.ones((4, 5))})
    assert ("HIGHEST" in str(program)) == asked
