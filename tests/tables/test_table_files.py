import json

import numpy as np
import pytest

from jaxnas import tables
from jaxnas.tables import Column, Table, TableError

SPACE = {"name": "categorical", "decisions": {"a": [1, 2], "b": [0, 1]}}


def small(**changes):
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    columns = {
        "accuracy": Column(values, "percent", budgets=(10, 30), seeds=(0, 1), seconds="seconds"),
        "seconds": Column(values[:, :1], kind="seconds", budgets=(10, 30), seeds=("mean",)),
    }
    return Table("small", SPACE, np.array([2, -1, 0, 1]), columns, "steps", {"paper": "none"})._replace(**changes)


def test_comes_back_as_it_was_saved(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    table = tables.load(tmp_path / "t.npz")
    assert (table.name, table.space, table.unit, table.source) == ("small", SPACE, "steps", {"paper": "none"})
    for name, column in small().columns.items():
        np.testing.assert_array_equal(table.columns[name].values, column.values)
        assert table.columns[name]._replace(values=None) == column._replace(values=None)


def test_arrays_stay_on_disk_until_they_are_used(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    values = tables.load(tmp_path / "t.npz").columns["accuracy"].values
    assert isinstance(values, np.memmap) and not values.flags.writeable


def test_numpy_alone_reads_the_file(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        assert json.loads(str(file["about"]))["columns"]["accuracy"]["budgets"] == [10, 30]
        np.testing.assert_array_equal(file["rows"], [2, -1, 0, 1])


def test_genomes_share_rows_and_unmeasured_ones_are_nan():
    by_genome = small().by_genome("accuracy")
    np.testing.assert_array_equal(by_genome[[0, 2, 3], 0, 0], [8, 0, 4])
    assert np.isnan(by_genome[1]).all()


def test_unknown_column_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        small().column("acuracy")


def with_column(**changes):
    columns = small().columns
    return small(columns={**columns, "accuracy": columns["accuracy"]._replace(**changes)})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (small(rows=np.array([0, 1, 2, 3])), "genome 3 is in row 3, but there are 3 rows"),
        (small(rows=np.array([0.0, 1.0])), "rows: expected integers"),
        (small(columns={}), "no column"),
        (with_column(seeds=(0,)), r"column 'accuracy': expected \[rows, 1 seeds, 2 budgets\], got \(3, 2, 2\)"),
        (with_column(budgets=(30, 10)), "expected increasing budgets"),
        (with_column(kind="metrc"), "kind: expected one of metric, seconds, cost"),
        (with_column(values=np.zeros((3, 2, 2), int)), "expected floating point"),
        (with_column(seconds="time"), "no column 'time' of seconds"),
    ],
)
def test_parts_that_do_not_fit_are_never_written(tmp_path, table, message):
    with pytest.raises(TableError, match=message):
        tables.save(table, tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TableError, match=r"absent\.npz: no such file"):
        tables.load(tmp_path / "absent.npz")


def test_truncated_file_is_named(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    whole = (tmp_path / "t.npz").read_bytes()
    (tmp_path / "t.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TableError, match=r"t\.npz: not a whole \.npz file"):
        tables.load(tmp_path / "t.npz")


def test_file_of_another_kind_is_named(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.zeros(3))
    with pytest.raises(TableError, match="not a table of jaxnas"):
        tables.load(tmp_path / "t.npz")


def test_file_of_another_format_is_named(tmp_path):
    np.savez(tmp_path / "t.npz", about=json.dumps({"format": "jaxnas table 9"}))
    with pytest.raises(TableError, match="expected format 'jaxnas table 1', got 'jaxnas table 9'"):
        tables.load(tmp_path / "t.npz")


def test_arrays_of_objects_are_refused_unread(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "t.npz", x=np.array([Hostile()], dtype=object))
    with pytest.raises(TableError, match=r"'x\.npy': holds Python objects, which are never read"):
        tables.load(tmp_path / "t.npz")
    assert not (tmp_path / "ran").exists()


def test_unknown_embedded_table_lists_the_known():
    with pytest.raises(ValueError, match="nasbench201_digits"):
        tables.embedded("nasbench201")
