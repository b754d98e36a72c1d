import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.costs import Timing, interleaved, noise_floor, repeated


def test_rounds_are_interleaved_and_their_first_call_is_not_counted():
    order = []
    timings = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, rounds=4, calls_per_round=2)
    rounds = [order[i : i + 9] for i in range(0, 36, 9)]
    assert len(order) == 36 and all(sorted(r) == sorted("aaabbbccc") for r in rounds)
    assert all(r[i] == r[i + 1] == r[i + 2] for r in rounds for i in (0, 3, 6)) and len(set(map(tuple, rounds))) > 1
    assert list(timings) == list("abc") and timings["a"].seconds.shape == (4, 2)


def test_a_call_counts_until_its_results_are_there(monkeypatch):
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", lambda outputs: (waited.append(outputs), time.sleep(0.01)))
    assert interleaved({"a": lambda: "outputs"}, rounds=2, calls_per_round=1)["a"].least >= 0.01
    assert waited == ["outputs"] * 4


def test_figures_of_a_timing():
    timing = Timing(np.array([[1.0, 1.0, 9.0], [3.0, 3.0, 2.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]))
    assert timing.median == 2.5 and timing.least == 1.0 and timing.noise == 1.0
    assert noise_floor({"a": timing, "b": Timing(np.ones((2, 1)))}) == 0.5


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
    with pytest.raises(ValueError, match="times"):
        repeated(jnp.sin, 0)
