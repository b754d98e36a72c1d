import bz2
import collections
import pickle
import subprocess

import numpy as np
import pytest

from jaxnas.tables import TableError, pickles


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def test_plain_data_is_read(tmp_path):
    data = {"a": [1, 2.5, None, "x", (True,)], ("k", 3): collections.OrderedDict(b={4})}
    (tmp_path / "p.pickle").write_bytes(pickle.dumps(data))
    assert pickles.read(tmp_path / "p.pickle") == data


@pytest.mark.parametrize("number", [np.float64(1.5), np.float32(-2.25), np.int64(7), np.int16(-3), np.bool_(True)])
def test_numpy_numbers_are_read_as_numbers(tmp_path, number):
    (tmp_path / "p.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps([number])))
    assert pickles.read(tmp_path / "p.pickle.pbz2") == [number.item()]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda path: (open, (str(path), "w")), "open"),
        (lambda path: (eval, (f"open({str(path)!r}, 'w')",)), "builtins.eval"),
        (lambda path: (subprocess.check_output, (["touch", str(path)],)), "subprocess.check_output"),
        (lambda path: (np.save, (str(path), np.zeros(1))), "numpy.save"),
        (lambda path: (getattr, ("", "format")), "getattr"),
    ],
)
def test_hostile_file_is_refused_by_name_and_nothing_runs(tmp_path, call, name):
    ran = tmp_path / "ran"
    (tmp_path / "p.pickle").write_bytes(pickle.dumps({"accuracy": Hostile(*call(ran))}))
    with pytest.raises(TableError, match=rf"p\.pickle: refused .*{name}, which is not data"):
        pickles.read(tmp_path / "p.pickle")
    assert not list(tmp_path.glob("ran*"))


def test_numpy_objects_are_refused(tmp_path):
    (tmp_path / "p.pickle").write_bytes(pickle.dumps(np.array([1, "x", None], dtype=object)))
    with pytest.raises(TableError, match="refused"):
        pickles.read(tmp_path / "p.pickle")


@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.9])
def test_truncated_file_is_named(tmp_path, keep):
    whole = bz2.compress(pickle.dumps({"a": list(range(1000))}))
    length = keep if isinstance(keep, int) else int(len(whole) * keep)
    (tmp_path / "p.pickle.pbz2").write_bytes(whole[:length])
    with pytest.raises(TableError, match=r"p\.pickle\.pbz2: refused or damaged"):
        pickles.read(tmp_path / "p.pickle.pbz2")


@pytest.mark.parametrize("note", [b"r\xff\xff\xff\x7f", b"p2147483647\n"])
def test_damage_that_would_fill_memory_is_refused(tmp_path, note):
    (tmp_path / "p.pickle").write_bytes(b"\x80\x03]" + note + b".")
    with pytest.raises(TableError, match=r"p\.pickle: refused or damaged.*PUT 2147483647"):
        pickles.read(tmp_path / "p.pickle")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TableError, match=r"absent\.pickle: no such file"):
        pickles.read(tmp_path / "absent.pickle")
