"""What an architecture runs, found by tracing."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import evaluators, networks, spaces, tasks
from jaxnas.check import InputError
from jaxnas.costs import all_operations, enumeration, operations, sizes, tracing
from jaxnas.networks import AvgPool, Choice, Identity, ReLUConvBN, exists, width

X = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
WIDTHS, DEPTHS = (4, 8), (1, 2)
SPACE = spaces.categorical({"kernel": [1, 3], "width": WIDTHS, "depth": DEPTHS})


class Net(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train: bool):
        features, mask = width(decisions["width"], WIDTHS)
        x = Choice({k: partial(ReLUConvBN, features, int(k)) for k in "13"}, name="stem")(decisions["kernel"], x, train)
        for i in range(max(DEPTHS)):
            layer = {"skip": Identity, "layer": partial(ReLUConvBN, features, 3)}
            x = Choice(layer, name=f"layer_{i}")(exists(decisions["depth"], DEPTHS, i), x * mask, train)
        return nn.Dense(5, name="head")(x.mean((1, 2)))


@pytest.fixture(scope="module")
def found():
    return all_operations(SPACE, Net(), X)


def counted(found, genome):
    counts = found.counts([genome])[0]
    return {key: int(n) for key, n in zip(found.distinct, counts, strict=True) if n and not key.startswith("Pass")}


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("features", [0, 1])
def test_counts_are_those_of_the_network(found, features, depth):
    C = WIDTHS[features]
    expected = {
        f"ReLUConvBN(features={C}, kernel=1) on float32[2,8,8,3], False": 1,
        f"ReLUConvBN(features={C}) on float32[2,8,8,{C}], False": 1 + depth,
        f"Dense(features=5) on float32[2,{C}]": 1,
    }
    if depth == 0:
        expected[f"Identity() on float32[2,8,8,{C}], False"] = 1
    assert counted(found, [0, features, depth]) == expected


def test_terms_are_by_the_decisions_that_matter_together(found):
    assert {t.decisions for t in found.terms} <= {(0, 1), (1, 2)}


def test_input_of_choices_is_passed_over_once_for_each_array(found):
    passes = [i for i, key in enumerate(found.distinct) if key.startswith("Pass() on")]
    assert found.counts([[0, 0, 1]])[0][passes].sum() == 3  # of the stem and of two layers


class Shared(nn.Module):
    """Two readers of one array, which may be the same pool."""

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        options = {"pool": AvgPool, "conv": partial(ReLUConvBN, 3)}
        terms = [Choice(options, name=name)(decisions[name], x, train) for name in ("a", "b")]
        return nn.Dense(2)(sum(terms).mean((1, 2)))


def test_initializers_do_not_tell_operations_apart():
    layers = nn.Dense(2), nn.Dense(2, kernel_init=networks.lecun_normal()), nn.Dense(2, bias_init=nn.initializers.ones)
    assert {operations.Operation(layer, (X,), {}).key for layer in layers} == {"Dense(features=2) on float32[2,8,8,3]"}


def test_what_xla_computes_once_counts_once():
    space = spaces.categorical({"a": [0, 1], "b": [0, 1]})
    found = all_operations(space, Shared(), X)
    conv, pool, passed = (
        next(k for k in found.distinct if k.startswith(name)) for name in ("ReLU", "AvgPool", "Pass() on")
    )
    at = {key: i for i, key in enumerate(found.distinct)}
    counts = found.counts([[0, 0], [0, 1], [1, 1]])
    assert counts[:, at[pool]].tolist() == [1, 1, 0] and counts[:, at[conv]].tolist() == [0, 1, 2]
    assert counts[:, at[passed]].tolist() == [1, 1, 1]
    program = jax.jit(lambda v, x: Shared().apply(v, {"a": 0, "b": 0}, x, False))
    variables = jax.eval_shape(
        lambda k: Shared().init(k, {"a": 0, "b": 0}, jnp.zeros(X.shape), False), jax.random.key(0)
    )
    both = program.lower(variables, X).compile().cost_analysis()["flops"]
    one = jax.jit(lambda x: networks.avg_pool(x, 3)).lower(X).compile().cost_analysis()["flops"]
    assert both < 2 * one


def test_a_dead_edge_runs_nothing():
    space, network = spaces.nasbench201(), networks.NasBench201(4, 1)
    tracer = tracing.Tracer(network, X, [space.unpack(np.full(6, i)) for i in (1, 3)])
    ran = lambda genome: tracer.operations(space.unpack(np.asarray(space.pruned(np.array(genome)))))
    runs = lambda genome: [key for _, key in ran(genome) if key.startswith("ReLU")]
    assert len(runs([3, 3, 3, 3, 3, 3])) == 18
    assert runs([3, 0, 3, 1, 0, 0]) == runs([0, 0, 0, 1, 0, 0]) == []  # leads nowhere
    assert runs([0, 0, 0, 1, 3, 3]) == []  # comes from nowhere


class Entangled(nn.Module):
    """One module whose size depends on all decisions together."""

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        features = sum(8**i * (int(d) + 1) for i, d in enumerate(decisions.values()))
        return nn.Dense(1)(nn.Dense(features)(x))


def test_too_many_cases_are_refused_by_place_and_decision(monkeypatch):
    monkeypatch.setattr(enumeration, "MOST", 60)
    space = spaces.categorical({f"d{i}": list(range(8)) for i in range(2)})
    with pytest.raises(ValueError, match=r"64 cases .* of at most 60; .* at Dense_\d, say, depends on d0, d1"):
        all_operations(space, Entangled(), X)


def test_parameters_of_any_network_are_counted_by_its_modules():
    """One that is called twice counts once; a norm without parameters and what is cut off do not."""

    class Twice(Net):
        @nn.compact
        def __call__(self, decisions, x, train: bool):
            features, mask = width(decisions["width"], WIDTHS)
            stem = {k: partial(ReLUConvBN, features, int(k)) for k in "13"}
            x = Choice(stem, name="stem")(decisions["kernel"], x, train)
            again = nn.Dense(features, name="again")
            for _ in range(2):
                x = again(x * mask)
            for i in range(max(DEPTHS)):
                layer = {"skip": Identity, "layer": partial(ReLUConvBN, features, 3)}
                x = Choice(layer, name=f"layer_{i}")(exists(decisions["depth"], DEPTHS, i), x, train)
            return nn.Dense(5, name="head")(x.mean((1, 2)))

    images = np.zeros((2, 8, 8, 3), np.float32)
    task = tasks.arrays(dict.fromkeys(("train", "validation", "test"), (images, np.zeros(2, int))), outputs=5)
    cost = jax.jit(sizes.parameter_count(SPACE, Twice(), task).cost)
    for genome in np.ndindex(2, 2, 2):
        own = evaluators.parameters(SPACE, Twice(), task, np.array(genome))
        assert float(cost(jnp.array(genome))) == pytest.approx(own / 1e3)


def test_combinations_that_a_space_does_not_have_and_its_network_neither_are_refused():
    options = {"encoder_blocks": 1, "decoder_blocks": 1, "layers": ("conv_1", "identity", "dead"), "dims": (1,)}
    options |= {"activations": ("relu", "none"), "cells": (1,), "widest": 2}
    space = spaces.evolved_transformer(**options)
    network = networks.EvolvedTransformer(**options, width=8, heads=2, classes=5)
    x = {"source": jax.ShapeDtypeStruct((1, 2), jnp.int32), "target": jax.ShapeDtypeStruct((1, 2), jnp.int32)}
    with pytest.raises(InputError, match="restricts combinations of options, and its network computes no others"):
        all_operations(space, network, x)
