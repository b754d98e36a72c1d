"""Configs by name and by file, and what can be changed in them."""

import pytest

from jaxnas import get_config
from jaxnas.check import InputError

MINE = """
def get_config(scale="large"):
    return {
        "seed": 0, "flag": False, "rate": 0.1, "text": "a", "sizes": (1, 2), "part": {"name": "x", "width": 3},
        "texts": ("a", "b"),
        "rounds": 8 if scale == "large" else 2,
    }
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return str(path)


def test_shipped_by_name():
    small, paper = get_config("darts:small"), get_config("darts")
    assert type(small) is dict and type(small["evaluator"]) is dict
    assert small["rounds"] < paper["rounds"] and small["space"] == paper["space"] == {"name": "darts"}


def test_a_file_by_its_path(mine):
    assert get_config(mine)["rounds"] == 8 and get_config(f"{mine}:small")["rounds"] == 2


def test_a_file_is_read_again_where_it_has_changed(mine, tmp_path):
    get_config(mine)
    (tmp_path / "mine.py").write_text(MINE.replace("8", "9999"))
    assert get_config(mine)["rounds"] == 9999


def test_files_of_a_package_may_import_each_other(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "base.py").write_text('BASE = {"seed": 3}\n')
    (tmp_path / "derived.py").write_text("from . import base\n\ndef get_config():\n    return dict(base.BASE)\n")
    assert get_config(str(tmp_path / "derived.py")) == {"seed": 3}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "7", 7),
        ("rate", "1e-3", 0.001),
        ("rate", "1", 1.0),
        ("flag", "true", True),
        ("flag", "False", False),
        ("sizes", "(3, 4, 5)", (3, 4, 5)),
        ("texts", "*/bias", ("*/bias",)),
        ("text", "12", "12"),
        ("part.width", "5", 5),
        ("part", "{'name': 'y'}", {"name": "y"}),
        ("part.inner.deep", "0.5", 0.5),
        ("retrain.steps", "100", 100),
        ("reference", "a=1", "a=1"),
    ],
)
def test_texts_become_what_is_there(mine, key, text, value):
    config = get_config(mine, {key: text})
    for name in key.split("."):
        config = config[name]
    assert config == value and type(config) is type(value)


def test_values_of_python_are_taken_as_they_are(mine):
    config = get_config(mine, {"part.momentum": 0.95, "rate": 1, "sizes": [1]})
    assert config["part"] == {"name": "x", "width": 3, "momentum": 0.95} and type(config["rate"]) is float


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sed", 1, "config: unknown 'sed'. Did you mean 'seed'"),
        ("seed.x", 1, "config.seed: is 0, no dict; 'seed.x' cannot be set"),
        ("seed", "many", "config.seed: expected an int like 0, got 'many'"),
        ("flag", "3", "config.flag: expected a bool like False, got '3'"),
        ("part", "3", "config.part: expected a dict like {'name': 'x', 'width': 3}, got '3'"),
    ],
)
def test_what_cannot_be_set_is_said(mine, key, value, message):
    with pytest.raises(InputError, match=message):
        get_config(mine, {key: value})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dart", "no file dart, and no config of that name. Did you mean 'darts'.* Known: amoebanet, "),
        ("configs/dats.py", "no file configs/dats.py, .* Did you mean "),
        ("darts:smal", r"config, darts:smal: scale \(after the colon\): unknown 'smal'. Did you mean 'small'"),
        ("", "config: expected a name or a path, got ''"),
    ],
)
def test_an_unknown_config_is_answered_with_the_nearest(name, message):
    with pytest.raises(InputError, match=message):
        get_config(name)


def test_a_file_without_a_config_is_named(tmp_path):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(InputError, match="empty.py has no function get_config"):
        get_config(str(tmp_path / "empty.py"))
