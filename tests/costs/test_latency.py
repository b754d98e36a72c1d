"""Latency tables: calibration in closed form, what they refuse, and predictions by pure functions."""

import json
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import costs, spaces
from jaxnas.costs import HeldOut, calibration, measure
from jaxnas.costs.tables import named_options
from jaxnas.networks import Choice, Identity, ReLUConvBN, exists

SPACE = spaces.categorical({"kernel": [1, 3], "depth": [1, 2, 3], "second": [1, 3]})
X = jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.float32)
ALL = np.asarray(SPACE.from_index(np.arange(12)))


class Net(nn.Module):
    features: int = 4

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        kernels = {"1": partial(ReLUConvBN, self.features, 1), "3": partial(ReLUConvBN, self.features, 3)}
        x = Choice(kernels, name="first")(decisions["kernel"], x, train)
        for i in range(3):
            layer = {"skip": Identity, "layer": partial(ReLUConvBN, self.features, 3)}
            x = Choice(layer, name=f"layer_{i}")(exists(decisions["depth"], (1, 2, 3), i), x, train)
        return nn.Dense(2)(Choice(kernels, name="second")(decisions["second"], x, train).mean((1, 2)))


@pytest.fixture(scope="module")
def profile():
    return costs.profile(SPACE, Net(), X, held_out=3, calibration=6, rounds=2)


@pytest.fixture
def path(profile, tmp_path):
    profile.table.save(tmp_path / "table.json")
    return tmp_path / "table.json"


def known_operations():
    """Counts of 40 networks and the times of their four operations, of two classes, in and out of a network."""
    counts = np.random.default_rng(0).integers(0, 6, (40, 4))
    alone = np.array([1.0, 2.0, 0.5, 4.0])
    return counts, alone, alone * [1.3, 1.2, 0.6, 0.5], ["conv", "conv", "pool", "pool"]


def test_calibration_finds_what_operations_add():
    counts, alone, within, classes = known_operations()
    fit = calibration.calibrate(counts[:16], alone, classes, counts[:16] @ within + 2.0)
    np.testing.assert_allclose(counts[16:] @ fit.ms + fit.constant, counts[16:] @ within + 2.0, rtol=0.02)


def test_an_operation_that_no_network_has_seen_takes_the_factor_of_its_class():
    counts, alone, within, classes = known_operations()
    counts[:, 3] = 0
    fit = calibration.calibrate(counts[:16], alone, classes, counts[:16] @ (alone * [1, 1, 0.5, 0.5]))
    assert fit.ms[3] / alone[3] < 0.75 and abs(fit.ms[0] / alone[0] - 1) < 0.1


def test_calibration_refuses_what_is_no_latency():
    counts, alone, within, classes = known_operations()
    for ms in (np.zeros(40), np.full(40, np.nan), np.zeros(0)):
        with pytest.raises(ValueError, match="ms: expected positive latencies"):
            calibration.calibrate(counts[: len(ms)], alone, classes, ms)


def test_networks_that_tell_most_show_every_operation():
    counts = np.zeros((50, 4))
    counts[:, 0] = np.arange(50) % 5 + 1  # most have but the first
    counts[[7, 21, 33], [1, 2, 3]] = 3
    chosen = calibration.select_calibration_set(counts, np.ones(4), list("abcd"), 5)
    assert {7, 21, 33} <= set(chosen.tolist()) and len(set(chosen.tolist())) == 5
    with pytest.raises(ValueError, match="n: expected at most 50"):
        calibration.select_calibration_set(counts, np.ones(4), list("abcd"), 51)


def test_summary_in_closed_form():
    measured = np.array([1.0, 2.0, 4.0, 8.0])
    off = np.array([1.0, 1.04, 1.08, 1.2])
    held_out = HeldOut(ALL[:4], measured, measured * off, measured[::-1], 1e6 * measured, 0.03)
    summary = held_out.summary()
    assert summary["spearman"] == pytest.approx(1) and summary["mape"] == pytest.approx(0.08)
    assert (summary["within_5"], summary["within_10"], summary["n"]) == (0.5, 0.75, 4)
    assert summary["uncalibrated_spearman"] == pytest.approx(-1) and summary["flops_mape"] == pytest.approx(0)
    assert summary["noise_floor_mape"] == 0.03


def test_profile_validates_on_networks_that_calibrate_nothing(profile):
    assert profile.held_out.genomes.shape == (3, 3) and (profile.held_out.measured > 0).all()
    assert profile.table.calibration["networks"] == 6
    assert (profile.held_out.flops > 0).all() and profile.held_out.summary()["n"] == 3


def test_more_networks_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"held_out: space 'categorical' has 12 networks for 10 \+ 6"):
        costs.profile(SPACE, Net(), X, held_out=10, calibration=6)


def test_predictions_are_sums_over_what_runs(profile, path):
    table = costs.load_cost_table(path)
    model = costs.cost_model(SPACE, Net(), table)
    counts = costs.all_operations(SPACE, Net(), X).counts(ALL)
    calibrated = np.array([table.operations[k].calibrated_ms for k in costs.all_operations(SPACE, Net(), X).distinct])
    constant = next(float(t.values) for t in table.terms if t.decisions == ())
    predicted = jax.jit(jax.vmap(model.cost))(ALL)
    assert predicted.shape == (12,)
    spread = np.asarray(predicted) - counts @ calibrated
    np.testing.assert_allclose(spread, np.full(12, spread[0]), atol=1e-5)
    assert constant <= float(predicted.min())


def test_expected_cost_is_the_mean_over_architectures(profile):
    model = costs.cost_model(SPACE, Net(), profile.table)
    p = jax.nn.softmax(jnp.where(SPACE.mask, jax.random.normal(jax.random.key(1), SPACE.mask.shape), -jnp.inf), -1)
    chance = jnp.prod(p[jnp.arange(3), ALL], -1)
    each = jax.vmap(model.cost)(ALL)
    np.testing.assert_allclose(model.expected_cost(p), chance @ each, rtol=1e-5)
    one_hot = jax.nn.one_hot(ALL, SPACE.mask.shape[1])
    np.testing.assert_allclose(jax.vmap(model.expected_cost)(one_hot), each, rtol=1e-5)


def test_expected_cost_has_the_gradient_of_finite_differences(profile):
    model = costs.cost_model(SPACE, Net(), profile.table)
    p = jnp.asarray(SPACE.mask / SPACE.mask.sum(1, keepdims=True))
    gradient = jax.grad(model.expected_cost)(p)
    for d, c in ((0, 1), (1, 2), (2, 0)):
        step = jnp.zeros_like(p).at[d, c].set(0.5)  # linear in each decision
        slope = model.expected_cost(p + step) - model.expected_cost(p - step)
        np.testing.assert_allclose(gradient[d, c], slope, rtol=1e-3, atol=1e-6)


def test_the_cheapest_is_found(profile):
    model = costs.cost_model(SPACE, Net(), profile.table)
    genome, ms = costs.cheapest(SPACE, model.cost, samples=3)
    assert ms == pytest.approx(float(jax.vmap(model.cost)(ALL).min()))
    assert float(model.cost(genome)) == pytest.approx(ms)


@pytest.mark.parametrize(("field", "value"), [("device", "NVIDIA H100"), ("jax", "0.8.0"), ("xla_flags", ["--xla_x"])])
def test_a_table_of_another_environment_is_refused(path, field, value):
    content = json.loads(path.read_text())
    content["environment"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"made elsewhere: {field} .*jaxnas profile`, or say allow_device"):
        costs.load_cost_table(path)
    assert costs.load_cost_table(path, allow_device_mismatch=True).environment[field] == value


def test_a_table_of_another_batch_is_refused(path):
    with pytest.raises(ValueError, match=r"shape \[4, 8, 8, 3\], here \[1, 8, 8, 3\]"):
        costs.load_cost_table(path, batch=jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "jaxnas cost table 1"}'])
def test_what_is_no_table_is_refused_by_its_path(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ValueError, match=r"cost table: .*t\.json .*jaxnas profile` makes one"):
        costs.load_cost_table(tmp_path / "t.json")
    with pytest.raises(ValueError, match="none.json cannot be read"):
        costs.load_cost_table(tmp_path / "none.json")


def test_an_operation_that_the_table_lacks_is_refused_with_the_nearest(profile):
    with pytest.raises(ValueError, match=r"'ReLUConvBN\(features=8.*does not have \(the nearest is 'ReLUConvBN\(feat"):
        costs.cost_model(SPACE, Net(8), profile.table)


def test_a_table_of_another_space_is_refused(profile):
    other = spaces.categorical({"kernel": [1, 3], "depth": [1, 2], "second": [1, 3]})
    with pytest.raises(ValueError, match="of a space that decides kernel, depth, second"):
        costs.cost_model(other, Net(), profile.table)


def bytes_accessed(program):
    return 1e-9 * program.cost_analysis()["bytes accessed"]


def test_an_estimate_passes_for_no_measurement(tmp_path, path):
    meter = costs.estimates(bytes_accessed, by="bytes at 1 GB/s")
    found = costs.profile(SPACE, Net(), X, held_out=3, calibration=6, meter=meter)
    assert found.held_out.noise_floor == 0 and found.held_out.summary()["spearman"] > 0.4
    assert found.table.environment["estimated_by"] == "bytes at 1 GB/s"
    found.table.save(tmp_path / "estimated.json")
    for allowed in (False, True):
        with pytest.raises(ValueError, match=r"expected one of latency_ms, .* is of estimated_latency_ms"):
            costs.load_cost_table(tmp_path / "estimated.json", allow_device_mismatch=allowed)
        with pytest.raises(ValueError, match=r"expected one of estimated_latency_ms, .* is of latency_ms"):
            costs.load_cost_table(path, cost="estimated_latency_ms", allow_device_mismatch=allowed)


def test_an_estimate_is_of_a_device_that_is_not_here(tmp_path):
    environment = {**measure.environment(X), "platform": "tpu", "device": "TPU v5 lite", "estimated_by": "cycles"}
    space = named_options(SPACE)
    costs.CostTable("estimated_latency_ms", environment, space, {}, [], {}).save(tmp_path / "t.json")
    table = costs.load_cost_table(tmp_path / "t.json", cost="estimated_latency_ms")
    assert table.environment["device"] == "TPU v5 lite"
    with pytest.raises(ValueError, match=r"made elsewhere: shape \[4, 8, 8, 3\], here \[1, 8, 8, 3\]"):
        costs.load_cost_table(tmp_path / "t.json", cost=table.cost, batch=jax.ShapeDtypeStruct((1, 8, 8, 3), "float32"))


def test_peak_memory_is_that_of_the_compiled_networks():
    table = costs.table_from_networks(SPACE, Net(), X, cost="peak_mb", networks=12)
    model = costs.cost_model(SPACE, Net(), table)
    predicted = np.asarray(jax.vmap(model.cost)(ALL))
    compiled = [network.costs["peak_bytes"] / 1e6 for network in costs.compile_networks(SPACE, Net(), ALL, X)]
    assert np.mean(abs(predicted / compiled - 1)) < 0.1 and table.cost == "peak_mb"
    with pytest.raises(ValueError, match="cost: unknown 'peak_gb'. Did you mean 'peak_mb'"):
        costs.table_from_networks(SPACE, Net(), X, cost="peak_gb")


def test_costs_together():
    one = costs.Cost(
        ("a",), lambda g: 2.0 * g[0], lambda p: p.sum(), measure=lambda gs: [{"architecture": "x", "a": 1}]
    )
    two = costs.Cost(("b", "c"), lambda g: jnp.stack([g[1], g[2]]), lambda p: p[0, :2], prepare=lambda: None)
    both = costs.together([one, two])
    np.testing.assert_array_equal(both.cost(jnp.asarray([1.0, 2.0, 3.0])), [2, 2, 3])
    np.testing.assert_array_equal(both.expected_cost(jnp.ones((2, 2))), [4, 1, 1])
    assert both.names == ("a", "b", "c") and both.measure([0]) == [{"architecture": "x", "a": 1}] and both.save is None
    with pytest.raises(ValueError, match="config.cost: expected different costs, got a twice"):
        costs.together([one, one])
