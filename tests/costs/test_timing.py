import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.costs import Timing, _visits, interleaved, noise_floor, repeated


class Machine:
    """Of fake clocks: two cores on which functions take a second of each, give or take, beside what others take.

    `loud` says for a number of visits so far how many times as long cores need, `stolen` which part of threads' time
    they wait for a core, and `scatter` how wide the logarithm of a function's time is.
    """

    def __init__(self, monkeypatch, loud=lambda i: 1.0, stolen=lambda i: 0.0, scatter=lambda name: 0.0):
        self.wall = self.cpu = self.waited = 0.0
        self.calls, self.rng = [], np.random.default_rng(0)
        self.loud, self.stolen, self.scatter = loud, stolen, scatter
        clocks = _visits.Clocks(lambda: self.wall, lambda: self.cpu, lambda: self.waited)
        monkeypatch.setattr(_visits, "CLOCKS", clocks)

    def functions(self, n):
        return {str(i): lambda name=str(i): self.run(name) for i in range(n)}

    def run(self, name):
        i = len(self.calls)
        cpu = 2 * self.loud(i) * np.exp(self.scatter(name) * self.rng.standard_normal())
        waited = cpu * self.stolen(i) / (1 - self.stolen(i))
        self.calls.append(name)
        self.wall, self.cpu, self.waited = self.wall + (cpu + waited) / 2, self.cpu + cpu, self.waited + waited


def test_rounds_are_interleaved_and_their_first_call_is_not_counted():
    order = []
    timings = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, rounds=4, calls_per_round=2)
    rounds = [order[i : i + 9] for i in range(0, 36, 9)]
    assert len(order) == 36 and all(sorted(r) == sorted("aaabbbccc") for r in rounds)
    assert all(r[i] == r[i + 1] == r[i + 2] for r in rounds for i in (0, 3, 6)) and len(set(map(tuple, rounds))) > 1
    assert list(timings) == list("abc") and timings["a"].seconds.shape == (2, 2)


def test_a_call_counts_until_its_results_are_there(monkeypatch):
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", lambda outputs: (waited.append(outputs), time.sleep(0.01)))
    assert interleaved({"a": lambda: "outputs"}, rounds=2, calls_per_round=1)["a"].least >= 0.01
    assert waited == ["outputs"] * 4


def test_figures_of_a_timing():
    timing = Timing(np.array([[1.0, 1.0, 9.0], [3.0, 3.0, 2.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]))
    assert timing.median == 2.5 and timing.least == 1.0 and timing.noise == 1.0
    assert noise_floor({"a": timing, "b": Timing(np.ones((2, 1)))}) == 0.5


def test_stolen_time_is_not_counted(monkeypatch):
    machine = Machine(monkeypatch, stolen=lambda i: 0.6 * np.random.default_rng(i).random())
    timings = interleaved(machine.functions(10), rounds=4, calls_per_round=2)
    assert machine.wall > 1.2 * len(machine.calls)
    for timing in timings.values():
        np.testing.assert_allclose(timing.seconds, 1.0)
        assert 0.1 < timing.stolen < 0.6 and timing.left_out == 2


def test_without_a_clock_of_waiting_stolen_time_is_that_of_the_usual_round(monkeypatch):
    machine = Machine(monkeypatch, stolen=lambda i: 0.5 if i in range(24, 36) else 0.0)
    monkeypatch.setattr(_visits, "CLOCKS", _visits.CLOCKS._replace(waited=lambda: 0.0))
    timings = interleaved(machine.functions(4), rounds=10, calls_per_round=2)  # 12 calls a round, one of them stolen
    np.testing.assert_allclose([timing.median for timing in timings.values()], 1.0)


def test_wall_time_counts_on_accelerators(monkeypatch):
    machine = Machine(monkeypatch, stolen=lambda i: 0.5)
    monkeypatch.setattr(_visits, "platform_of", lambda devices: "gpu")
    timing = interleaved(machine.functions(1), rounds=2)["0"]
    assert timing.median == 2.0 and timing.stolen == 0.0


def test_functions_that_keep_few_cores_busy_are_told_from_those_that_keep_many():
    rng = np.random.default_rng(0)
    cores = np.where(np.arange(20) < 10, 1.0, 2.0)
    found = _visits._cores([n + 0.1 * rng.standard_normal(5) for n in cores])
    assert abs(found - cores).max() < 0.25
    demands = [2.0 + 0.1 * rng.standard_normal(5) for _ in range(20)]
    assert np.std(_visits._cores(demands)) < 0.7 * np.std(np.median(demands, axis=1))


def test_the_calmer_half_of_even_and_of_odd_rounds_is_kept(monkeypatch):
    level = [1.0, 3.0, 5.0, 2.0, 4.0, 7.0, 9.0]
    machine = Machine(monkeypatch, loud=lambda i: level[i // 30])  # 30 calls a round
    for timing in interleaved(machine.functions(10), rounds=7, calls_per_round=2).values():
        np.testing.assert_allclose(timing.seconds[:, 0], [1.0, 3.0, 4.0, 2.0])
        assert timing.left_out == 3


def test_rounds_are_added_to_functions_that_scatter_and_to_no_others(monkeypatch):
    machine = Machine(monkeypatch, scatter=lambda name: 0.4 if name in "345" else 0.001)
    timings = interleaved(machine.functions(10), rounds=6, limit=1e6)
    rounds = np.array([len(timing.seconds) + timing.left_out for timing in timings.values()])
    assert noise_floor(timings) <= 0.03
    assert (rounds[[0, 1, 2, 6, 7, 8, 9]] == 6).all() and (rounds[3:6] > 6).all() and (rounds % 6 == 0).all()


def test_a_loud_interval_is_measured_again(monkeypatch):
    loud = Machine(monkeypatch, loud=lambda i: 1 + np.random.default_rng(i // 40).random() * (i < 240))
    timings = interleaved(loud.functions(10), rounds=6, limit=1e6).values()
    assert min(timing.left_out for timing in timings) > 2 and all(abs(timing.median - 1) < 0.03 for timing in timings)
    quiet = Machine(monkeypatch)
    assert interleaved(quiet.functions(10), rounds=6, limit=1e6)["0"].left_out == 2


def test_the_limit_ends_what_does_not_get_better(monkeypatch):
    machine = Machine(monkeypatch, scatter=lambda name: 1.0)
    timings = interleaved(machine.functions(4), rounds=3, calls_per_round=1, limit=200.0)
    assert noise_floor(timings) > 0.03 and 120 < machine.wall < 200
    assert interleaved(machine.functions(4), rounds=3, limit=0.001)["0"].left_out == 1


def test_the_floor_is_as_far_as_two_measurements_are_apart(monkeypatch):
    def measured(seed, rounds, limit=0.0):
        machine = Machine(monkeypatch, scatter=lambda name: 0.5)
        machine.rng = np.random.default_rng(seed)
        return interleaved(machine.functions(60), rounds=rounds, calls_per_round=1, limit=limit)

    def apart(rounds):
        one, other = (np.array([t.median for t in measured(seed, 2 * rounds).values()]) for seed in (1, 2))
        return np.mean(2 * abs(one - other) / (one + other)) * np.sqrt(2)  # a half has half of the rounds

    few = measured(0, 6)
    many = measured(0, 6, limit=6000.0)
    rounds = int(np.mean([len(timing.seconds) + timing.left_out for timing in many.values()]))
    assert rounds > 20 and noise_floor(many) < noise_floor(few)
    assert noise_floor(few) == pytest.approx(apart(3), rel=0.25)
    assert noise_floor(many) == pytest.approx(apart(rounds // 2), rel=0.25)


def test_repeated_runs_as_often_as_it_says_and_gives_what_one_gives():
    x, w = jnp.arange(12.0).reshape(3, 4), jnp.ones((4, 5))
    for times in (1, 3):
        program = jax.jit(repeated(lambda x, w: (x @ w, x.sum()), times)).lower(x, w).compile()
        assert len(re.findall(r" (?:dot\(|custom-call\(.*dot_general)", program.as_text())) == times
        product, total = program(x, w)
        np.testing.assert_array_equal(product, x @ w)
        assert total == x.sum()


def test_refusals():
    with pytest.raises(ValueError, match="calls: expected at least one function"):
        interleaved({})
    with pytest.raises(ValueError, match="rounds: expected .* 2"):
        interleaved({"a": lambda: 0}, rounds=1)
    with pytest.raises(ValueError, match="calls_per_round"):
        interleaved({"a": lambda: 0}, calls_per_round=0)
    with pytest.raises(ValueError, match="limit: expected a number"):
        interleaved({"a": lambda: 0}, limit=-1.0)
    with pytest.raises(ValueError, match="times"):
        repeated(jnp.sin, 0)
