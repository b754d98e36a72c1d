"""Configs with any value anywhere are built, or refused in words before anything runs."""

import contextlib
import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxnas import build, get_config, spaces
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.keys import LATER, PARTS, SEARCH, check_keys

NAMES = ("quickstart", "darts:small", "spos:small", "nasbench201", "hwnasbench:small", "neat", "neat:digits")
CONFIGS = {name: get_config(name) for name in NAMES}
VALUES = st.one_of(
    *(
        st.none(),
        st.booleans(),
        st.integers(-3, 70),
        st.sampled_from([2**40, -(2**70)]),
        st.floats(),
        st.text(max_size=5),
    ),
    *(st.lists(st.integers(0, 3), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2)),
    st.sampled_from(
        ["xor", "digits", "table", "direct", "darts", "neat", "nsga2", "mobilenet", "os:getcwd", "a:b", "mean"]
    ),
)


def places(config, path=()):
    """The paths of all dicts and of what is in them."""
    yield path
    if isinstance(config, dict):
        for key, value in config.items():
            yield from places(value, (*path, key))


CHEAP = ("nasbench201", "hwnasbench:small", "neat")
"""Whose parts are built in milliseconds: on tables and without a network to trace."""


@st.composite
def configs(draw, names=tuple(CONFIGS)):
    config = copy.deepcopy(CONFIGS[draw(st.sampled_from(names))])
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([p for p in places(config) if p]))
        inside = config
        for key in path[:-1]:
            inside = inside[key] if isinstance(inside, dict) else {}
        if not isinstance(inside, dict):
            continue
        match draw(st.sampled_from(["change", "delete", "add"])):
            case "change":
                inside[path[-1]] = draw(VALUES)
            case "delete":
                inside.pop(path[-1], None)
            case "add":
                inside[draw(st.text("abcdefgh_", min_size=1, max_size=6))] = draw(VALUES)
    return config


def built_or_refused(config):
    try:
        check_keys(config, SEARCH, (*PARTS, *LATER))
        build(config)
    except InputError as error:
        assert str(error)


options = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, **options)
@given(configs(CHEAP))
def test_some_configs_are_built_or_refused_in_words(config):
    built_or_refused(config)


WRONG = (None, True, -1, float("nan"), "a", [], [None], {})
NAMED = [(kind, name) for kind in ("space", "network", "strategy") for name in sorted(registry.known(kind))]


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_every_option_of_every_part_is_taken_or_refused_in_words(kind, name):
    here = {"space": spaces.nasbench201(), "costs": ("latency",), "classes": 10}
    for option in registry.arguments_of(registry.entry(kind, name)):
        for wrong in WRONG:
            with contextlib.suppress(InputError):
                registry.make(kind, {"name": name, option: wrong}, here)


@pytest.mark.slow
@settings(max_examples=1000, **options)
@given(configs())
def test_a_thousand_configs_are_built_or_refused_in_words(config):
    built_or_refused(config)
