"""Which point of a front is recommended, and what is said of it."""

import pytest

from jaxnas.analysis.recommendation import in_words, recommended
from jaxnas.check import InputError
from jaxnas.config.limits import check_limits, limits_of

FRONT = [{"fitness": fitness, "cost": {"ms": ms, "mj": 9 - ms}} for fitness, ms in ((0.7, 1.0), (0.8, 2.0), (0.9, 4.0))]


@pytest.mark.parametrize(
    ("limits", "fitness"),
    [({"ms": 2.5}, 0.8), ({"ms": 4.0}, 0.9), ({"ms": 0.5}, 0.7), ({"ms": 4.0, "mj": 5.0}, 0.9)],
)
def test_the_most_accurate_within_the_limits_or_else_the_nearest_to_them(limits, fitness):
    assert recommended(FRONT, limits)["fitness"] == fitness


def test_a_limit_may_be_a_share_of_the_references_cost():
    assert limits_of("recommend", {"ms": "50%", "mj": 3}, {"ms": 8.0}) == {"ms": 4.0, "mj": 3.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"msec": 1}, "config.recommend: unknown 'msec'. Did you mean 'ms'"),
        ({"mj": "50%"}, "config.recommend.mj: '50%' is a share of config.reference, which has none"),
        ({"ms": "half"}, "config.recommend.ms: expected a number or a share like '50%', got 'half'"),
        ({"ms": "half%"}, "config.recommend.ms: expected a number or a share like '50%'"),
        ({"ms": 0}, "config.recommend.ms: expected a positive number or share, got 0"),
    ],
)
def test_what_is_no_limit_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        check_limits("config.recommend", given, ("ms", "mj"), None)


@pytest.mark.parametrize(("costs", "known"), [({"ms": 0.0}, "0"), ({}, "not known")])
def test_a_share_of_nothing_is_refused(costs, known):
    with pytest.raises(InputError, match=f"limits.ms: that of config.reference is {known}; give a number, not '50%'"):
        limits_of("limits", {"ms": "50%"}, costs)


def test_accuracies_within_the_noise_of_the_seeds_are_said_to_be_the_same():
    own, reference = {"accuracy": [0.98, 0.99], "cost": 2.0}, {"accuracy": [0.985, 0.985], "cost": 4.0}
    said = in_words(own, reference, "latency", unit="ms", name="ResNet")
    assert said.startswith(
        "as accurate as the ResNet within the noise of 2 seeds (98.50 against 98.50 %) at 50% of its"
    )
    assert "2 against 4 ms" in said
    better = in_words({**own, "accuracy": [0.999, 0.999]}, reference, "latency", unit="ms", name="ResNet")
    assert better.startswith("more accurate than the ResNet")
