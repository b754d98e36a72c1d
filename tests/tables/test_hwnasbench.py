import pickle

import numpy as np
import pytest

from jaxnas.spaces import nasbench201
from jaxnas.tables import TableError, hwnasbench

SPACE = nasbench201()


@pytest.fixture
def written(tmp_path):
    def write(rows, latency):
        config = [{"arch_str": SPACE.to_string(np.asarray(SPACE.from_index(row))), "C": 16} for row in rows]
        data = {"nasbench201": {"cifar10": {"config": config, "edgegpu_latency": latency}}, "fbnet": {}}
        (tmp_path / "hw.pickle").write_bytes(pickle.dumps(data))
        return tmp_path / "hw.pickle"

    return write


def test_costs_are_joined_by_architecture(written):
    table = hwnasbench.read(written([284, 0, 11], [2.5, 5.8, -1]))
    column = table.columns["hw_edgegpu_latency_cifar10"]
    assert column.kind == "cost" and not column.higher_is_better
    values = table.by_genome("hw_edgegpu_latency_cifar10")[:, 0, 0]
    np.testing.assert_allclose(values[[0, 284]], [5.8, 2.5], rtol=1e-6)
    assert np.isnan(values[11]) and np.isnan(values[1])


def test_lists_of_other_lengths_are_refused(written):
    with pytest.raises(TableError, match="cifar10, edgegpu_latency: expected 3 numbers, got 2"):
        hwnasbench.read(written([0, 11, 284], [1.0, 2.0]))


def test_repeated_architecture_is_named(written):
    with pytest.raises(TableError, match="architecture 11 is there twice"):
        hwnasbench.read(written([11, 0, 11], [1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ([1.0, "2"], "row 1: expected a number, got str"),
        ([1.0, [2.0]], "row 1: expected a number, got list"),
        ([1.0, True], "row 1: expected a number, got bool"),
        ([1.0, -2], "row 1: expected a cost, or -1 for unsupported, got -2"),
        ([10**400, 1], "row 0: expected a cost"),
        ("ab", "expected a list of numbers, got str"),
    ],
)
def test_what_is_no_cost_is_named(written, latency, message):
    with pytest.raises(TableError, match=rf"hw\.pickle, cifar10, edgegpu_latency: {message}"):
        hwnasbench.read(written([0, 11], latency))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({3: {"config": []}}, "3: expected a dict of named lists"),
        ({"cifar10": []}, "'cifar10': expected a dict of named lists, got list"),
        ({"cifar10": {"config": []}}, "no list `config`"),
        ({"cifar10": {"config": [{"arch_str": 3}]}}, "row 0 has no `arch_str`"),
        ({"cifar10": {"config": [{"arch_str": "|x~0|"}]}}, "row 0: space 'nasbench201': expected a string like"),
        ({}, "no column"),
    ],
)
def test_lists_of_another_kind_are_named(tmp_path, lists, message):
    (tmp_path / "hw.pickle").write_bytes(pickle.dumps({"nasbench201": lists}))
    with pytest.raises(TableError, match=rf"hw\.pickle.*{message}"):
        hwnasbench.read(tmp_path / "hw.pickle")


def test_other_pickle_is_refused(tmp_path):
    (tmp_path / "hw.pickle").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(TableError, match="expected a dict with 'nasbench201'"):
        hwnasbench.read(tmp_path / "hw.pickle")
