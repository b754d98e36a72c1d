"""Proxies of networks whose sizes are prefixes of the largest, by masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, networks, spaces, tasks
from jaxnas.check import InputError
from jaxnas.types import propose

OPTIONS = {"layers": 1, "heads": (1, 2), "groups": (1,), "head_sizes": (8,), "ratios": (1, 2), "widths": (8, 16)}
SPACE = spaces.transformer(**OPTIONS)
TASK = tasks.recall(pairs=2, vocabulary=8, train=32, held_out=2)
NETWORK = networks.Transformer(**OPTIONS, classes=TASK.outputs)


@pytest.mark.parametrize("proxy", ["params", "flops", "l2_norm", "nwot", "fisher"])
def test_proxies_that_count_what_is_masked_are_refused(proxy):
    with pytest.raises(InputError, match=rf"proxies: {proxy} count all .* cut by masks .* synflow, snip"):
        evaluators.zero_cost(SPACE, NETWORK, TASK, proxies=proxy, batch_size=4)


def test_proxies_that_count_are_taken_where_nothing_is_masked():
    digits = tasks.digits()
    network = networks.NasBench201(channels=2, cells=1, classes=digits.outputs)
    evaluators.zero_cost(spaces.nasbench201(), network, digits, proxies="params,fisher", batch_size=4)


def test_a_gradients_norm_is_that_of_the_stand_alone_network():
    evaluator = evaluators.zero_cost(SPACE, NETWORK, TASK, proxies="grad_norm", batch_size=4)
    genomes = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 2))
    state = evaluator.init(jax.random.key(1))
    found = jax.jit(evaluator.evaluate)(jax.random.key(2), state, propose(genomes, jnp.int32(0)))[0].metrics
    batch = TASK.train.take(state.chosen)
    for i, genome in enumerate(np.asarray(genomes)):
        decisions = SPACE.unpack(genome)
        shapes = jax.eval_shape(lambda d=decisions: NETWORK.init(jax.random.key(0), d, batch.inputs, False))
        own = networks.extract(state.variables, shapes)

        def loss(variables, decisions=decisions):
            outputs = NETWORK.apply(variables, decisions, batch.inputs, True)
            return (TASK.loss(outputs, batch.targets) * batch.weight).sum() / batch.weight.sum()

        gradient = jax.tree_util.tree_leaves_with_path(jax.grad(loss)(own)["params"])
        norm = sum(float(jnp.linalg.norm(g)) for path, g in gradient if path[-1].key == "kernel")
        np.testing.assert_allclose(found["grad_norm"][i], norm, rtol=1e-3)
