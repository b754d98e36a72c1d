"""What devices tell each other in one round, counted in the compiled program."""

import re

import jax
import jax.numpy as jnp
import pytest

from jaxnas.evaluators import training, zero_cost
from jaxnas.types import propose


def collectives(evaluator, space, members):
    """`[(kind, shape of the result)]`."""
    genomes = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), members))
    state, proposal = jax.jit(evaluator.init)(jax.random.key(0)), propose(genomes, jnp.int32(0), budget=2)
    text = jax.jit(evaluator.evaluate).lower(jax.random.key(0), state, proposal).compile().as_text()
    return re.findall(r"= (\S+) (all-\w+|reduce-scatter|collective-\w+)(?:-start)?\(", text)


@pytest.fixture(params=["training", "zero_cost"])
def evaluator(request, space, network, task):
    options = {"batch_size": 16, "devices": jax.devices()[:4]}
    if request.param == "training":
        return training(space, network(), task, **options)
    return zero_cost(space, network(), task, proxies="synflow", **options)


def test_a_population_that_devices_share_evenly_takes_no_communication(evaluator, space):
    assert collectives(evaluator, space, 8) == []


def test_any_other_takes_the_gather_of_its_results(evaluator, space):
    found = collectives(evaluator, space, 6)
    assert found and all(kind == "all-gather" and re.search(r"\[8\]", shape) for shape, kind in found)
