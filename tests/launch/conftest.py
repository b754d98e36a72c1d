import numpy as np
import pytest

from jaxnas import tables


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The path of a table of NAS-Bench-201's space, filled with noise."""
    path = tmp_path_factory.mktemp("table") / "table.npz"
    accuracy = np.random.default_rng(0).normal(size=(15625, 1, 1))
    rows = np.arange(15625)
    tables.save(tables.Table("random", {"name": "nasbench201"}, rows, {"accuracy": tables.Column(accuracy)}), path)
    return path
