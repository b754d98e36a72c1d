import numpy as np
import pytest

from jaxnas import tables
from jaxnas.tables.joining import with_costs
from jaxnas.tables.summary import summary


def test_costs_of_another_table_are_joined():
    space = {"name": "categorical", "decisions": {"a": [0, 1, 2]}}
    accuracy = tables.Column(np.array([5.0, 6.0]).reshape(2, 1, 1))
    latency = tables.Column(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), kind="cost", higher_is_better=False)
    other = tables.Table("other", space, np.array([0, 1, 2]), {"ms": latency})
    joined = with_costs(tables.Table("mine", space, np.array([1, -1, 0]), {"accuracy": accuracy}), other, "other.npz")
    np.testing.assert_array_equal(joined.by_genome("ms")[[0, 2], 0, 0], [1, 3])
    with pytest.raises(ValueError, match="has a column 'ms' already"):
        with_costs(joined, other, "other.npz")


def one_column(space, values, kind="metric", **parts):
    column = tables.Column(np.array(values).reshape(-1, 1, 1), kind=kind, higher_is_better=kind == "metric")
    rows = np.arange(len(values))
    return tables.Table("t", space, rows, {"ms" if kind == "cost" else "accuracy": column}, **parts)


AB = {"name": "categorical", "decisions": {"a": [0, 1], "b": [0, 1]}}


@pytest.mark.parametrize(
    "decisions",
    [{"b": [0, 1], "a": [0, 1]}, {"a": [1, 0], "b": [0, 1]}, {"a": [0, 1], "c": [0, 1]}, {"a": [0, 1]}],
)
def test_costs_of_decisions_or_options_in_another_order_are_refused(decisions):
    other = one_column({**AB, "decisions": decisions}, [1.0, 2, 3, 4], "cost")
    with pytest.raises(ValueError, match=r"other\.npz is a table of another space: expected .* in this order, got"):
        with_costs(one_column(AB, [5.0, 6, 7, 8]), other, "other.npz")


def test_costs_are_joined_by_code():
    space = {"name": "nasbench101"}
    other = one_column(space, [1.0, 2, 3], "cost", codes=np.array([10, 20, 40]))
    mine = one_column(space, [5.0, 6, 7, 8], codes=np.array([5, 20, 30, 40]))
    joined = with_costs(mine, other, "other.npz")
    np.testing.assert_array_equal(joined.by_genome("ms").ravel(), [np.nan, 2, np.nan, 3])


def test_costs_of_no_common_architecture_are_refused():
    space = {"name": "nasbench101"}
    other = one_column(space, [1.0, 2], "cost", codes=np.array([10, 20]))
    with pytest.raises(ValueError, match="other.npz has 'ms' of none of the architectures"):
        with_costs(one_column(space, [5.0, 6], codes=np.array([1, 2])), other, "other.npz")


def test_costs_without_codes_are_refused_where_the_table_has_them():
    other = one_column({"name": "nasbench101"}, [1.0, 2], "cost")
    with pytest.raises(ValueError, match="expected 2 genomes of the same codes"):
        with_costs(one_column({"name": "nasbench101"}, [5.0, 6], codes=np.array([1, 2])), other, "other.npz")


def test_costs_that_need_float64_keep_it():
    space = {"name": "categorical", "decisions": {"a": [0, 1]}}
    other = one_column(space, [1234567890.0, 1234567891], "cost")
    np.testing.assert_array_equal(
        with_costs(one_column(space, [1.0, 2]), other, "other.npz").by_genome("ms")[1], [[1234567891]]
    )


def test_summary_counts_what_failed_and_what_is_unknown(tmp_path):
    (tmp_path / "mine.csv").write_text("n,y,loss,ms\n1,nan,-1,3\n2,,2,-1\n3,7,1,4\n")
    table = tables.csv_file.read(tmp_path / "mine.csv", decisions=["n"], costs=["ms"], minimize=["loss"], metrics=YL)
    said = summary(table).splitlines()
    assert "3 of 3 architectures" in said[0]
    assert "2 architectures failed" in said[1]
    assert "1 architectures failed or unknown" in said[2] and "1 architectures unknown" in said[3]


YL = ["y", "loss"]
