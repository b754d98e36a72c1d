from functools import partial

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.networks import Darts, Gated, extract, max_pool
from jaxnas.networks.darts import Cell
from jaxnas.spaces import darts
from jaxnas.spaces._darts import EDGES, OPERATIONS
from tests.support.variables import of_shapes

SPACE = darts()
NETWORK = Darts(channels=4, cells=1)  # a reduction
GENOME = SPACE.from_string(  # every operation, in both cells
    "Genotype(normal=[('sep_conv_3x3', 0), ('dil_conv_5x5', 1), ('skip_connect', 0), ('max_pool_3x3', 2), "
    "('avg_pool_3x3', 1), ('dil_conv_3x3', 3), ('sep_conv_5x5', 2), ('skip_connect', 4)], normal_concat=range(2, 6), "
    "reduce=[('skip_connect', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('avg_pool_3x3', 2), ('dil_conv_3x3', 1), "
    "('skip_connect', 2), ('sep_conv_5x5', 3), ('dil_conv_5x5', 4)], reduce_concat=range(2, 6))"
)
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
X = np.random.default_rng(1).normal(size=(4, 7, 7, 2)).astype(np.float32)  # an odd size, so that halving rounds up
FEW = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")
NONE, POOL, SKIP, CONV = range(4)
KINDS = {"none": NONE, "max_pool_3x3": POOL, "avg_pool_3x3": POOL, "skip_connect": SKIP}
CHOSEN = np.array([KINDS.get(OPERATIONS[op], CONV) for op in GENOME])


class FewCell(Cell):
    """A cell with one operation of each kind; those of `NETWORK` have all."""

    def _operations(self, x, size):
        every = super()._operations(x, size)
        return {name: every[name] for name in FEW}


class Cells(nn.Module):
    """A reduction, and a normal cell behind it: all that a network has of cells."""

    @nn.compact
    def __call__(self, decisions, x, train):
        reduction = FewCell(4, reduce=True, reduced=False, search=True, name="reduction")(decisions, x, x, train, None)
        return FewCell(4, reduce=False, reduced=True, search=True, name="normal")(decisions, x, reduction, train, None)


def shapes(genome, network, train=False, x=X):
    return jax.eval_shape(lambda: network.init(jax.random.key(0), SPACE.unpack(genome), x, train))


def count(genome, network):
    params = shapes(genome, network, x=jnp.zeros((1, 32, 32, 3)))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def step(variables, decisions):
    """Outputs, scores, new statistics and gradient of a training step."""

    def loss(params):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        outputs, updates = Cells().apply(state, decisions, X, True, mutable=["batch_stats"])
        return jnp.vdot(outputs, jnp.cos(jnp.arange(outputs.size))), (outputs, updates["batch_stats"])

    (_, (outputs, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return outputs, Cells().apply(variables, decisions, X, False), stats, gradient


def one_hot_of(genome):
    return np.eye(len(FEW), dtype=np.float32)[genome]


@pytest.fixture(scope="module")
def variables():
    return of_shapes(shapes(jnp.asarray(CHOSEN), Cells()))


@pytest.fixture(scope="module")
def static(variables):
    return jax.jit(lambda v: step(v, SPACE.unpack(CHOSEN)))(extract(variables, shapes(CHOSEN, Cells())))


@pytest.fixture(scope="module")
def traced(variables):
    return jax.jit(lambda v, genome: step(v, SPACE.unpack(genome)))(variables, CHOSEN)


@pytest.fixture(scope="module")
def one_hot(variables):
    return jax.jit(lambda v, weights: step(v, SPACE.unpack(weights)))(variables, one_hot_of(CHOSEN))


@pytest.fixture(scope="module")
def gated(variables):
    weights = one_hot_of(CHOSEN)
    return jax.jit(lambda v, w, g: step(v, gates(w, g)))(variables, weights, weights > 0)


def gates(weights, gates):
    gates = SPACE.unpack(gates)
    return {name: Gated(w, gates[name]) for name, w in SPACE.unpack(weights).items()}


@pytest.mark.parametrize("mode", ["traced", "one_hot", "gated"])
def test_supernet_agrees_with_the_stand_alone_network(mode, static, request):
    for ours, theirs in zip(request.getfixturevalue(mode), static, strict=True):
        ours = extract(ours, theirs) if isinstance(theirs, dict) else ours
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
        assert largest > 0.01
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4 * largest, rtol=0), ours, theirs)


def rows(tree, chosen):
    """Of the variables of the edges of the normal cell, those of operations that are (not) `chosen`."""
    for op, name in enumerate(FEW):
        at = (CHOSEN[:14] == op) == chosen
        yield from (np.asarray(leaf)[at] for leaf in jax.tree.leaves(tree["normal"]["edge"].get(name, {})))


@pytest.mark.parametrize("mode", ["traced", "gated"])
def test_what_was_not_chosen_gets_no_gradient_and_keeps_its_statistics(mode, variables, request):
    _, _, stats, gradient = request.getfixturevalue(mode)
    assert not any(leaf.any() for leaf in rows(gradient, chosen=False))
    assert all(leaf.any() for leaf in rows(gradient, chosen=True))
    before = variables["batch_stats"]
    for chosen in (False, True):
        same = [(a == b).all() for a, b in zip(rows(stats, chosen), rows(before, chosen), strict=True)]
        assert not any(same) if chosen else all(same)


def test_mixture_is_the_weighted_sum():
    """Node 2 mixes two operations without parameters on one input, node 3 is half of node 2, 4 and 5 are empty."""
    cell, second = FewCell(4, reduce=False, reduced=False, search=False), EDGES.index((2, 3))
    decide = lambda w: {f"normal_{j}->{i}": w[e] for e, (j, i) in enumerate(EDGES)}
    like = jax.eval_shape(lambda w: cell.init(jax.random.key(0), decide(w), X, X, False, None), jnp.zeros((14, 4)))
    program = jax.jit(lambda v, w: cell.apply(v, decide(w), X, X, False, None).reshape(*X.shape[:3], 4, 4))

    def run(weights):
        w = np.zeros((14, 4), np.float32)
        for at, weight in weights.items():
            w[at] = weight
        return np.asarray(program(of_shapes(like), w))

    state = run({(0, SKIP): 1})[..., 0, :]
    nodes = run({(0, SKIP): 0.3, (0, POOL): 0.7, (second, SKIP): 0.5})
    np.testing.assert_allclose(nodes[..., 0, :], 0.3 * state + 0.7 * max_pool(state, 3), atol=1e-5)
    np.testing.assert_allclose(nodes[..., 1, :], 0.5 * nodes[..., 0, :], atol=1e-5)
    assert not nodes[..., 2:, :].any() and np.abs(state).max() > 0.1


def test_search_network_has_the_published_number_of_parameters():
    """Printed by the authors' `train_search.py`: param size = 1.930618MB."""
    assert count(jnp.zeros((28, 8)), Darts(channels=16, cells=8)) == 1_930_618


@pytest.mark.parametrize("genome", [GENOME, jnp.asarray(GENOME)], ids=["static", "traced"])
def test_pools_are_normalized_in_the_search_only(genome):
    for search in (True, False):
        stats = shapes(genome, NETWORK.clone(search=search))["batch_stats"]["cell_0"]
        pools = {name for edge in stats.values() for name in edge if "pool" in name}
        assert pools == ({"max_pool_3x3", "avg_pool_3x3"} if search else set())


def test_network_of_the_published_genotype_has_the_published_number_of_parameters():
    """Printed by the authors' `train.py` for DARTS_V2, the auxiliary head left out: param size = 3.349342MB."""
    assert count(SPACE.from_string(DARTS_V2), Darts(channels=36, cells=20, search=False)) == 3_349_342


@pytest.mark.parametrize(
    "genome", [GENOME, jnp.asarray(GENOME), jax.nn.one_hot(GENOME, 8)], ids=["static", "traced", "mixture"]
)
def test_half_precision_keeps_parameters_and_scores_in_float32(genome):
    network = NETWORK.clone(dtype=jnp.bfloat16)
    like = shapes(genome, network)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(like))
    scores = jax.eval_shape(lambda v: network.apply(v, SPACE.unpack(genome), X, False), like)
    assert (scores.dtype, scores.shape) == (jnp.float32, (4, 10))


def outputs(variables, genome, rate, key):
    own = {**variables, "schedule": {"drop_path": rate}}
    rngs = {"drop_path": jax.random.key(key)}
    return NETWORK.apply(own, SPACE.unpack(genome), X, True, mutable=["batch_stats"], rngs=rngs)[0]


def test_paths_are_dropped_at_the_given_rate_only():
    """In the network of all operations too, which without dropping gives what the stand-alone network does."""
    variables = of_shapes(shapes(jnp.asarray(GENOME), NETWORK))
    own = extract(variables, shapes(GENOME, NETWORK))
    alone = partial(jax.jit(lambda *args: outputs(args[0], GENOME, *args[1:])), own)
    every = partial(jax.jit(outputs), variables, GENOME)
    np.testing.assert_allclose(every(0.0, 0), alone(0.0, 0), atol=1e-4)
    for run in (alone, every):
        whole, dropped = run(0.0, 0), run(0.5, 0)
        assert not np.allclose(dropped, whole, atol=1e-2)
        assert not np.allclose(dropped, run(0.5, 1), atol=1e-2)
        np.testing.assert_allclose(whole, run(0.0, 1), atol=1e-6)


@pytest.fixture(scope="module", params=[int, jnp.int32], ids=["static", "traced"])
def dropping(request):
    """`(op, rate) -> [B, H, W, 4 nodes, F]`: a normal cell with one operation on all edges from its inputs."""
    cell = FewCell(4, reduce=False, reduced=False, search=False)
    rngs = {"params": jax.random.key(0), "drop_path": jax.random.key(1)}
    kind = lambda op: request.param(op) if isinstance(op, int) else op
    decide = lambda op: {f"normal_{j}->{i}": kind(op if j < 2 else NONE) for j, i in EDGES}

    def run(op, rate):
        variables = of_shapes(jax.eval_shape(lambda: cell.init(rngs, decide(op), X, X, True, None)))
        return cell.apply(variables, decide(op), X, X, True, rate, rngs=rngs).reshape(*X.shape[:3], 4, 4)

    program = jax.jit(run, static_argnums=0 if request.param is int else ())
    return lambda op, rate: np.asarray(program(op, rate))


def test_identities_are_never_dropped(dropping):
    """As published, while paths of other operations are."""
    np.testing.assert_array_equal(dropping(SKIP, 0.9), dropping(SKIP, 0.0))
    assert (dropping(POOL, 0.9) != dropping(POOL, 0.0)).any()


def test_each_edge_drops_examples_of_its_own(dropping):
    """Node 2 of an example is not just either there, twice as large, or not: one of its two paths may be dropped."""
    whole, dropped = dropping(POOL, 0.0)[..., 0, :], dropping(POOL, 0.5)[..., 0, :]
    both = [np.allclose(d, 2 * w, atol=1e-5) or (d == 0).all() for w, d in zip(whole, dropped, strict=True)]
    assert not all(both)


def test_dropping_paths_needs_a_key():
    own = {**of_shapes(shapes(GENOME, NETWORK)), "schedule": {"drop_path": 0.5}}
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(lambda: NETWORK.apply(own, SPACE.unpack(GENOME), X, True, mutable=["batch_stats"]))


@pytest.mark.parametrize("genome", [GENOME, jnp.asarray(GENOME)], ids=["static", "traced"])
def test_auxiliary_head_is_there_in_training_where_it_is_asked_for(genome):
    asked = shapes(genome, NETWORK, train=True)
    assert asked["auxiliary"]["logits"][0].shape == (4, 10)
    assert "AuxiliaryHead_0" in asked["params"]
    assert "AuxiliaryHead_0" not in shapes(genome, NETWORK)["params"]


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="cells: expected at least 1, got 0"):
        Darts(cells=0)
    with pytest.raises(ValueError, match="channels: expected at least 2, got 1"):
        Darts(channels=1)
