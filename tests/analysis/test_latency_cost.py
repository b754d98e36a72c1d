"""Searches with latency on this device, from the profile to the candidates that are measured again."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnas
from jaxnas import build, costs, evaluators, get_config
from jaxnas.analysis import profiling
from jaxnas.config import run_program
from jaxnas.config.wiring import prepare_cost
from jaxnas.costs import on_device

pytestmark = pytest.mark.usefixtures("one_device")

CHAIN = {"kernels": (3, 5), "expansions": (3,), "depths": (1, 2), "widths": (1.0,)}


def quick(space, network):
    """An evaluator that prefers large kernels, which are slow."""
    return evaluators.direct(lambda key, genome: 1.0 + genome.sum())


def flat(space, network):
    """An evaluator that prefers none, so that only the fastest is on the front."""
    return evaluators.direct(lambda key, genome: jnp.float32(1))


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    config = get_config("profile:mobilenet,small")
    config["space"].update(CHAIN)
    config["network"].update(CHAIN)
    config |= {"image": (8, 8, 1), "held_out": 3, "calibration": 4, "rounds": 2, "limit": 0.0}
    workdir = tmp_path_factory.mktemp("profile")
    return run_program("profile", config, workdir), workdir, config


@pytest.fixture
def config(profiled):
    config = get_config("mnasnet:small")
    config["space"].update(CHAIN)
    config["network"].update(CHAIN)
    config["evaluator"] = {"name": "test_latency_cost:quick"}
    config["strategy"] = {"name": "random_search", "proposals": 4}
    config["cost"] |= {"batch": 8, "path": str(profiled[1] / "latency_table.json")}
    config["objective"]["target"] = 100.0
    return config | {"rounds": 2, "random_search": False, "retrain": None}


def test_profile_leaves_a_table_its_validation_and_a_picture(profiled):
    workdir = profiled[1]
    result = json.loads((workdir / "result.json").read_text())
    held_out, timing = result["heldout"], result["timing"]
    names = "spearman mape within_5 within_10 noise_floor_mape flops_spearman flops_mape n uncalibrated_mape"
    assert set(names.split()) <= set(held_out) and held_out["n"] == 3
    assert set(timing) == {"operations", "networks"} and timing["networks"]["seconds"] < result["wall_seconds"]
    assert timing["networks"]["rounds_most"] == 2 and timing["networks"]["left_out"] == 0
    assert (workdir / "latency.png").stat().st_size > 10_000
    assert costs.load_cost_table(workdir / "latency_table.json").batch.shape == (8, 8, 8, 1)


def test_a_table_is_not_overwritten(profiled):
    _, workdir, config = profiled
    with pytest.raises(ValueError, match="holds a latency table already; give another"):
        run_program("profile", config, workdir)


def test_a_noisy_run_says_that_it_says_nothing(profiled, tmp_path, monkeypatch):
    table = costs.load_cost_table(profiled[1] / "latency_table.json")
    monkeypatch.setattr(costs, "profile", lambda *args, **kwargs: costs.Profile(table, None, {}))
    monkeypatch.setattr(profiling, "NOISY", -1.0)
    result = run_program("profile", {**profiled[2], "held_out": 0}, tmp_path / "p")
    assert not result["valid"] and "the noise floor is" in result["why_invalid"] and "heldout" not in result


def test_search_measures_its_candidates_again(config, tmp_path):
    result = jaxnas.run(config, tmp_path / "run")
    found, *others = result["measured_again"]
    assert found["architecture"] == result["architecture"] and found["latency_ms"]["measured"] > 0
    assert found["latency_ms"]["predicted"] == pytest.approx(result["cost"]["latency_ms"], rel=1e-5)
    assert {line["architecture"] for line in others} == {member["architecture"] for member in result["front"]}
    kept = costs.load_cost_table(tmp_path / "run" / "latency_table.json")
    assert kept.operations == costs.load_cost_table(config["cost"]["path"]).operations


def test_search_without_a_table_measures_one_and_goes_on_with_it(config, tmp_path, monkeypatch):
    made = []
    real = costs.load_cost_table(config["cost"]["path"])

    def profiled(*args, **kwargs):
        made.append(args)
        return costs.Profile(real, None, {})

    monkeypatch.setattr(on_device, "profile", profiled)
    config["cost"]["path"], config["evaluator"] = "", {"name": "test_latency_cost:flat"}
    first = jaxnas.run(config, tmp_path / "run")
    again = jaxnas.run({**config, "rounds": 3}, tmp_path / "run")
    assert len(made) == 1 and again["evaluations"] == first["evaluations"] + 4


def test_latency_and_peak_memory_beside_each_other(config, tmp_path):
    config["cost"] = [config["cost"], {"name": "peak_memory", "batch": 8, "networks": 10}]
    config["strategy"] = {"name": "nsga2", "population_size": 4, "proposals": 4, "limits": {"peak_mb": 1000.0}}
    config["objective"] = None
    result = jaxnas.run(config, tmp_path / "run")
    assert set(result["cost"]) == {"latency_ms", "peak_mb"}
    for line in result["measured_again"]:
        assert line["peak_mb"]["predicted"] == pytest.approx(line["peak_mb"]["measured"], rel=0.5)
        assert line["latency_ms"]["measured"] > 0
    again = jaxnas.run({**config, "rounds": 3}, tmp_path / "run")  # with the tables that the folder has
    assert again["evaluations"] == result["evaluations"] + 4


def test_strategies_take_the_expectation(config):
    gates = get_config("proxylessnas:small")
    config["strategy"] = {**gates["strategy"], "cost_weight": 0.5}
    parts = build({**config, "objective": {}})
    assert parts.strategy.name == "binary_gates"
    uniform = parts.space.mask / parts.space.mask.sum(1, keepdims=True)
    assert float(parts.cost.expected_cost(np.float32(uniform))) > 0
    config["strategy"]["cost_weight"] = [0.5, 0.1]
    with pytest.raises(ValueError, match=r"cost_weight: expected one for each of 1 costs, got \[0.5, 0.1\]"):
        build({**config, "objective": {}})


def test_a_differentiable_search_measures_a_table_where_there_is_none(config, monkeypatch):
    made = []
    table = costs.load_cost_table(config["cost"]["path"])
    monkeypatch.setattr(on_device, "profile", lambda *args, **kwargs: made.append(1) or costs.Profile(table, None, {}))
    config["cost"]["path"] = ""
    gates = get_config("proxylessnas:small")["strategy"]
    parts = build({**config, "strategy": gates, "objective": {}}, prepare=False)
    assert not made
    prepare_cost(parts, config)
    assert made and float(parts.cost.expected_cost(np.float32(parts.space.mask / 2))) > 0


def test_a_target_that_nobody_meets_is_refused(config):
    config["objective"]["target"] = 1e-6
    with pytest.raises(ValueError, match=r"config.objective.target: no .* latency_ms of at most 1e-06; the least"):
        build(config)
    config["objective"] = {}
    config["strategy"] = {"name": "nsga2", "population_size": 4, "proposals": 4, "limits": {"latency_ms": 1e-6}}
    with pytest.raises(ValueError, match="config.strategy.limits: no architecture"):
        build(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "latencies"}, "config.cost.name: unknown 'latencies'. Did you mean 'latency'"),
        ({"pth": "x"}, "config.cost, argument of 'latency': unknown 'pth'. Did you mean 'path'"),
        ({"batch": 0}, "config.cost.batch: expected at least 1"),
        ({"batch": 64}, r"made elsewhere: shape \[8, 8, 8, 1\], here \[64, 8, 8, 1\]"),
        ({"path": "none.json"}, "none.json cannot be read"),
    ],
)
def test_bad_costs_are_refused(config, change, message):
    config["cost"] |= change
    with pytest.raises(ValueError, match=message):
        build(config)


def test_a_table_of_another_network_is_refused(config):
    config["network"]["channels"] = (8, 24)
    with pytest.raises(ValueError, match="which the table does not have"):
        build(config)


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_mnasnet_and_proxylessnas_search_the_same_chain_for_the_same_cost(scale):
    ours, theirs = get_config(f"mnasnet:{scale}"), get_config(f"proxylessnas:{scale}")
    for part in ("space", "network", "task", "cost"):
        assert ours[part] == theirs[part]
