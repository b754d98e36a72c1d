"""A search planned for other devices: what is refused, what is written, and that it holds for a real run."""

import importlib.util
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import build, get_config, networks, spaces
from jaxnas.check import InputError
from jaxnas.planning import Chip, plan, profile, step_bound, targets
from jaxnas.planning.bound import Bound
from jaxnas.planning.measured import _compiled
from tests.support.programs import run

SMALL = {
    "seed": 0,
    "rounds": 3,
    "space": {"name": "nasbench201"},
    "network": {"name": "nasbench201", "channels": 4, "cells": 1},
    "task": {"name": "digits"},
    "strategy": {"name": "random_search", "proposals": 4, "budget": 10},
    "evaluator": {"name": "training", "batch_size": 16},
}
LATENT = {**SMALL, "evaluator": {"name": "zero_cost", "proxies": "synflow", "batch_size": 4}}


def needs(module):
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    return pytest.mark.skipif(not there, reason=f"{module} is not installed: pip install 'jaxnas[plan-tpu,plan-gpu]'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "target: expected some of v5e:1x1"),
        ("v5f:2x2", "target: unknown 'v5f'. Did you mean 'v5"),
        ("v5e", "expected a topology, v5e:2x2 say"),
        ("v5e:3x3", "topology of target v5e: unknown '3x3'. Known: .*4x4"),
        ("h100:x", "expected h100, or h100:8 for so many of one host"),
        ("cpu:2", "the CPU has no topology"),
    ],
)
def test_what_is_no_target_is_refused_with_those_there_are(name, message):
    with pytest.raises(InputError, match=message):
        targets(name)


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x2", "plan-tpu"), ("h100", "plan-gpu")])
def test_a_missing_extra_is_said_with_the_line_that_installs_it(monkeypatch, name, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=rf"pip install 'jaxnas\[{extra}\]'"):
        targets(name)


def test_what_cannot_be_planned_says_why():
    bucket = {**SMALL, "evaluator": {"name": "training", "plan": "bucket"}}
    with pytest.raises(InputError, match="target cpu: .*runs on the host: there is no one program"):
        plan(bucket, "cpu", say=lambda text: None)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("plan")
    given = [f"--config.{kind}={value!r}" for kind, value in SMALL.items() if kind != "seed"]
    status, said = run(
        "launch.plan", "--config=quickstart", "--target=cpu", f"--workdir={workdir}", *given, "--config.cost=None"
    )
    assert status == 0, said
    return json.loads((workdir / "plan.json").read_text())["targets"]["cpu"], said


def test_the_program_writes_what_each_program_needs(found):
    found, said = found
    assert found["fits"] and found["bytes"] < found["bytes_limit"] and "evaluate: traced in" in said
    assert set(found["programs"]) == {"init", "ask", "evaluate", "tell"}
    evaluate = found["programs"]["evaluate"]
    names = {"trace_seconds", "compile_seconds", "code_bytes", "temp_bytes", "collectives", "kernels_per_step"}
    assert names <= set(evaluate) and evaluate["kernels_per_step"] > 10
    assert found["hours_estimated"] is None  # of a CPU nothing is published


def test_memory_is_that_of_the_search_itself(found):
    parts = build(SMALL)
    state = jax.eval_shape(parts.strategy.init, jax.random.key(0))
    proposal = jax.eval_shape(parts.strategy.ask, jax.random.key(0), state)[0]
    real = jax.jit(parts.evaluator.evaluate).lower(jax.random.key(0), (), proposal).compile().memory_analysis()
    assert found[0]["programs"]["evaluate"]["temp_bytes"] == pytest.approx(real.temp_size_in_bytes, rel=0.1)


@needs("libtpu")
def test_a_slice_of_tpus_that_is_not_there(tmp_path):
    found = plan(LATENT, "v5e:2x2", tmp_path, say=lambda text: None)["targets"]["v5e:2x2"]
    assert found["fits"] and found["devices"] == 4 and found["platform"] == "tpu"
    assert found["hours_estimated"] > 0 and found["programs"]["evaluate"]["code_bytes"] > 0
    assert set(found["programs"]["evaluate"]["collectives"]) <= {"all-gather"}
    assert jax.devices()[0].platform == "cpu"


class Refused:
    """A program whose compile ends with an error, unless it is given options."""

    def __init__(self, said):
        self.said = said

    def compile(self, compiler_options=None):
        if compiler_options is None:
            raise RuntimeError(self.said)
        return compiler_options


def test_a_kernel_that_must_be_tried_on_a_card_is_done_without():
    program = Refused("INTERNAL: Couldn't find output tile sizes that satisfy hlo")
    assert _compiled(program) == {"xla_gpu_enable_triton_gemm": False}


def test_other_errors_of_a_compiler_stay():
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        _compiled(Refused("RESOURCE_EXHAUSTED"))


@needs("jax_plugins.xla_cuda12")
def test_a_gpu_that_is_not_there():
    found = plan(LATENT, "h100", say=lambda text: None)["targets"]["h100"]
    assert found["fits"] and found["bound"]["by"] == "kernel launches" and found["hours_estimated"] > 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("v5e:2x2", "target: expected one device, v5e:1x1 or h100, got 'v5e:2x2'"),
        ("h100,h100", "target: expected one device"),
        ("cpu", "nothing is published of the CPU to estimate by"),
    ],
)
def test_a_table_of_estimates_is_of_one_absent_device(target, message, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)
    with pytest.raises(InputError, match=message):
        profile({}, target, tmp_path)


@needs("libtpu")
def test_latency_by_the_estimates_of_a_compiler(tmp_path):
    config = get_config("profile:mobilenet,small")
    config["space"] |= {"kernels": (3,), "expansions": (3,)}
    config["network"] |= {"kernels": (3,), "expansions": (3,)}
    config |= {"held_out": 0, "calibration": 2, "batch": 2}
    result = profile(config, "v5e:1x1", tmp_path / "p", say=lambda text: None)
    assert result["cost"] == "estimated_latency_ms" and result["of"]["platform"] == "tpu"
    cost = {"name": "estimated_latency", "path": str(tmp_path / "p" / "latency_table.json"), "batch": 2}
    task = {"name": "jaxnas.benchmarks.plan:cifar10", "train": 64, "test": 16, "downsample": 4}
    search = get_config("mnasnet:small") | {"space": config["space"], "network": config["network"], "cost": cost}
    parts = build(search | {"task": task, "objective": None})
    assert 0 < float(parts.cost.cost(parts.space.sample(jax.random.key(0)))) < 1
    with pytest.raises(InputError, match="expected one of latency_ms, .* is of estimated_latency_ms"):
        build(search | {"task": task, "objective": None, "cost": {**cost, "name": "latency"}})


class Product(nn.Module):
    @nn.compact
    def __call__(self, decisions, x, train):
        return nn.Dense(7, use_bias=False, name="product")(x)


def test_the_bound_is_what_must_move_and_be_computed():
    space = spaces.categorical({"a": ["one", "two"]})
    B, D, F = 11, 5, 7
    bound = step_bound(space, Product(), jax.ShapeDtypeStruct((B, D), jnp.float32))
    assert bound.bytes == 4 * (3 * B * D + 2 * B * F + 6 * D * F)
    assert bound.flops == 3 * 2 * B * D * F
    assert Bound(8e9, 1e9).seconds(Chip(1e9, 4e9, 1e9)) == 2.0  # memory bounds it


def test_the_bound_of_a_cell_without_convolutions_is_less():
    space, network = spaces.nasbench201(), networks.NasBench201(4, 1, 10)
    x = jax.ShapeDtypeStruct((8, 8, 8, 3), jnp.float32)
    of = lambda option: step_bound(space, network, x, [np.full(6, option)])
    assert of(1).bytes < of(3).bytes and of(1).flops < of(3).flops
