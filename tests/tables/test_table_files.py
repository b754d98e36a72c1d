import io
import json
import zipfile

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
        (with_column(seconds=["time"]), "no column .*of seconds"),
        (with_column(seeds=(0, 0)), "seeds: expected different"),
        (with_column(seeds=(0, 0.5)), "seeds: expected different numbers or names"),
        (with_column(budgets=(True, 2)), "expected increasing budgets"),
        (with_column(values=np.zeros((0, 2, 2))), "no row"),
        (with_column(values=np.zeros((3, 2, 2), np.longdouble)), "up to 64 bits"),
        (small(rows=np.array([2, -1, -5, 1])), "genome 2 is in row -5"),
        (small(codes=np.zeros(4)), "codes: expected integers"),
        (small(space={"decisions": {}}), "space: expected a dict with a name"),
        (small(source={"when": object()}), "space or source: not what JSON can say"),
        (small(columns={"rows": small().columns["seconds"]}), "a column cannot be called 'rows'"),
        (small(columns={"a\ud800": small().columns["seconds"]}), "a column's name cannot have"),
        (small(columns={"": small().columns["seconds"]}), "expected 1 to 1000 characters"),
    ],
)
def test_parts_that_do_not_fit_are_never_written(tmp_path, table, message):
    with pytest.raises(TableError, match=message):
        tables.save(table, tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "x.npy", "a/b", "..", "../up", "/", "é\n", "arr_0"])
def test_any_other_name_of_a_column_comes_back(tmp_path, name):
    column = small().columns["accuracy"]._replace(seconds=None)
    tables.save(small(columns={name: column, "plain": column}), tmp_path / "t.npz")
    np.testing.assert_array_equal(tables.load(tmp_path / "t.npz").columns[name].values, column.values)
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="no space left"):
        tables.save(small(), tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_describe_a_column_too(tmp_path):
    tables.save(with_column(budgets=tuple(np.array([10, 30])), seeds=tuple(np.array([4, 5]))), tmp_path / "t.npz")
    column = tables.load(tmp_path / "t.npz").columns["accuracy"]
    assert (column.budgets, column.seeds) == ((10, 30), (4, 5))


def test_float64_stays_so():
    values = np.array([1234567890.0, 1234567891.0, 0]).reshape(3, 1, 1)
    by_genome = small(columns={"flops": Column(values)}).by_genome("flops")
    assert by_genome.dtype == np.float64 and by_genome[3, 0, 0] == 1234567891


def rewritten(path, change=None, about=None):
    """The small table with other arrays, or with an `about` that was changed."""
    tables.save(small(), path)
    with np.load(path) as file:
        arrays = dict(file)
    if about is not None:
        told = json.loads(str(arrays["about"]))
        arrays["about"] = np.array(json.dumps(about(told) or told))
    if change is not None:
        change(arrays)
    np.savez(path, **arrays)


def of_accuracy(**changes):
    return lambda about: about["columns"]["accuracy"].update(changes)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (lambda about: [about], "`about`: expected a dict"),
        (lambda about: about.pop("space") and None, "`about` says no 'space'"),
        (lambda about: about.pop("columns") and None, "`about` says no 'columns'"),
        (lambda about: about.update(space="nasbench201"), "space: expected a dict with a name"),
        (lambda about: about.update(space={"name": 3}), "space: expected a dict with a name"),
        (lambda about: about.update(source=3), "source: expected a dict"),
        (lambda about: about.update(unit=None), "unit: expected text"),
        (lambda about: about.update(columns=["accuracy"]), "columns: expected a dict"),
        (lambda about: about["columns"].update(accuracy=3), "'accuracy': expected a dict"),
        (lambda about: about["columns"].update(more=about["columns"]["seconds"]), "array 'more' is missing"),
        (lambda about: about["columns"].pop("accuracy") and None, "no column is called 'accuracy', as an array"),
        (lambda about: about["columns"]["accuracy"].pop("kind") and None, "'accuracy': 'kind' is missing"),
        (of_accuracy(values=3), "'accuracy': 'values' is unknown"),
        (of_accuracy(colour="red"), "'accuracy': 'colour' is unknown"),
        (of_accuracy(budgets=10), "expected increasing budgets"),
        (of_accuracy(budgets=["10", "30"]), "expected increasing budgets"),
        (of_accuracy(budgets=[10, float("nan")]), "expected increasing budgets"),
        (of_accuracy(seeds=[[0], [1]]), "seeds: expected different numbers or names"),
        (of_accuracy(about=3), "about: expected text"),
        (of_accuracy(kind=["metric"]), "kind: expected one of"),
        (of_accuracy(higher_is_better="yes"), "higher_is_better: expected true or false"),
    ],
)
def test_description_that_is_none_is_refused(tmp_path, about, message):
    rewritten(tmp_path / "t.npz", about=about)
    with pytest.raises(TableError, match=rf"t\.npz.*{message}"):
        tables.load(tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"about": np.zeros(3)}, "`about`: expected a text"),
        ({"about": np.array("[" * 100_000)}, "`about` is not JSON"),
        ({"rows": np.array([0, 1], "m8[s]")}, "rows: expected integers"),
        ({"rows": np.zeros((2, 2), int)}, "rows: expected integers"),
        ({"accuracy": np.zeros((3, 2, 2), complex)}, "expected floating point"),
        ({"accuracy": np.zeros((3, 2, 2), "U3")}, "expected floating point"),
        ({"accuracy": np.zeros((3, 2, 2), [("a", "f4")])}, "neither numbers nor text"),
        ({"accuracy": np.zeros(())}, r"\[rows, 2 seeds, 2 budgets\]"),
        ({"codes": np.array(["a"] * 4)}, "codes: expected integers"),
        ({"folder/inner": np.zeros(3)}, "no column is called 'folder/inner'"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays, message):
    rewritten(tmp_path / "t.npz", lambda whole: whole.update(arrays))
    with pytest.raises(TableError, match=message):
        tables.load(tmp_path / "t.npz")


def test_array_that_is_there_twice_is_refused(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    with zipfile.ZipFile(tmp_path / "t.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("rows.npy", archive.read("rows.npy"))
    with pytest.raises(TableError, match="two arrays are called 'rows'"):
        tables.load(tmp_path / "t.npz")


def test_entry_that_is_no_array_is_named(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    with zipfile.ZipFile(tmp_path / "t.npz", "a") as archive:
        archive.writestr("folder/", b"")
    with pytest.raises(TableError, match="array 'folder/': damaged"):
        tables.load(tmp_path / "t.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(10**12, 2, 2), (3, 2, 3), (-3, -2, 2), (0, 10**18)])
def test_shape_that_the_bytes_do_not_have_is_refused(tmp_path, shape, compression):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "t.npz", "w", compression) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(48))
    with pytest.raises(TableError, match="array 'x.npy': says it is float32"):
        tables.load(tmp_path / "t.npz")


def test_flipped_bit_in_an_array_is_noticed(tmp_path):
    tables.save(small(), tmp_path / "t.npz")
    whole = bytearray((tmp_path / "t.npz").read_bytes())
    whole[whole.index(small().columns["accuracy"].values.tobytes()) + 9] ^= 1
    (tmp_path / "t.npz").write_bytes(whole)
    with pytest.raises(TableError, match=r"array 'accuracy\.npy': damaged \(Bad CRC"):
        tables.load(tmp_path / "t.npz")


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


def test_the_embedded_table_has_learning_curves_of_other_trainings():
    table = tables.load(tables.embedded("nasbench201_digits"))
    curve, alone = table.columns["validation_loss_curve"], table.columns["validation_loss"]
    assert curve.budgets == (5, 10, 20, 30, 45, 60, 75, 90) and curve.values.shape == (6466, 3, 8)
    mean = curve.values.mean((0, 1))
    assert (np.diff(mean) < 0).all()  # a cosine over 90 steps: at 30 it has learned less than a training of 30 in all
    assert mean[3] > alone.values[:, :, 1].mean()
    np.testing.assert_allclose(mean[-1], alone.values[:, :, -1].mean(), rtol=0.01)
    assert table.source["curves"]["trainings"] == 3 * 6466
