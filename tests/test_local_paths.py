"""`~` is the home directory wherever a file is read, and an address is refused before anything is."""

import pytest

from jaxnas import tables
from jaxnas.check import InputError
from jaxnas.costs.kernels import read_trace
from jaxnas.costs.tables import load_cost_table
from jaxnas.tables import arrays, csv_file, hwnasbench, nasbench101, nats, pickles
from jaxnas.tasks import folder, npz

READERS = {
    "npz": npz,
    "folder": folder,
    "table": tables.load,
    "is_table": tables.is_table,
    "arrays": arrays.read,
    "csv_file": lambda path: csv_file.read(path, decisions=("a",), metrics=("b",)),
    "hwnasbench": hwnasbench.read,
    "nasbench101": nasbench101.read,
    "nats": nats.read,
    "pickles": pickles.read,
    "cost_table": load_cost_table,
    "trace": read_trace,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_tilde_is_the_home_directory(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises((InputError, tables.TableError), match=f"{tmp_path}/absent"):
        read("~/absent")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_address_is_refused(read):
    with pytest.raises(InputError, match="expected a path on a file system, got 'gs://bucket/file'"):
        read("gs://bucket/file")
