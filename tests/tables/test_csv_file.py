import numpy as np
import pytest

from jaxnas import tables
from jaxnas.tables import TableError, csv_file

TEXT = """depth,width,pool,accuracy,latency_ms
2,0.5,max,81.2,3.1
2,1.0,avg,84.0,4.4
4,0.5,avg,85.5,5.0
4,1.0,max,88.1,7.9
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "results.csv").write_text(text)
        return tmp_path / "results.csv"

    return write


def test_three_decisions_mixed_options_missing_combinations(written):
    table = csv_file.read(written(TEXT), decisions=["depth", "width", "pool"], costs=["latency_ms"])
    assert table.space["decisions"] == {"depth": [2, 4], "width": [0.5, 1.0], "pool": ["max", "avg"]}
    by_genome = table.by_genome("accuracy")[:, 0, 0]
    np.testing.assert_allclose(by_genome, [81.2, np.nan, np.nan, 84.0, np.nan, 85.5, 88.1, np.nan], rtol=1e-6)
    assert table.columns["latency_ms"].kind == "cost" and not table.columns["latency_ms"].higher_is_better


def test_what_is_no_metric_is_a_decision(written):
    table = csv_file.read(written(TEXT), metrics=["accuracy", "latency_ms"], minimize=["latency_ms"])
    assert list(table.space["decisions"]) == ["depth", "width", "pool"]
    assert not table.columns["latency_ms"].higher_is_better and table.columns["accuracy"].higher_is_better


def test_truth_values_are_options(written):
    table = csv_file.read(written("fused,n,y\ntrue,1,2\nFalse,2,3\n"), metrics=["y"])
    assert table.space["decisions"] == {"fused": [False, True], "n": [1, 2]}


def test_lines_repeated_by_seed_and_budget(written):
    text = "n,seed,budget,y\n1,0,10,1\n1,1,10,2\n2,0,10,3\n2,0,30,4\n"
    column = csv_file.read(written(text), metrics=["y"], decisions=["n"]).columns["y"]
    assert column.seeds == (0, 1) and column.budgets == (10, 30)
    np.testing.assert_array_equal(column.values, [[[1, np.nan], [2, np.nan]], [[3, 4], [np.nan, np.nan]]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TEXT + "2,0.5,max,80.0,3.0\n",
            "line 6 is the same architecture as line 2. Repeated measurements need",
        ),
        (TEXT + "4,1.0,avg,1_0,3.0\n", "line 6, column 'accuracy': expected a number, got '1_0'"),
        (TEXT + "4,1.0,avg,1e999,3.0\n", "line 6, column 'accuracy': expected a number, got '1e999'"),
        (TEXT + "4,1.0,avg,\u0661,3.0\n", "line 6, column 'accuracy': expected a number, got '\u0661'"),
        (TEXT + "4,1.0,avg,high,3.0\n", "line 6, column 'accuracy': expected a number, got 'high'"),
        (TEXT + "4,1.0,avg,80.0\n", "line 6 has 4 cells, the header 5"),
        (TEXT + "4,,avg,80.0,3.0\n", "line 6, column 'width' is empty"),
        (TEXT + '4,1.0,"avg,80.0,3.0\n', "not a CSV"),
        ("depth,width,pool,accuracy,latency_ms\n", "expected a header and a line for each architecture, got 1"),
        (TEXT.replace("width", "depth"), "different names in the header"),
        ("depth,width,pool,accuracy,latency_ms\n1,2,max,3,4\n1,3,max,4,5\n", "column 'depth': every line says 1"),
    ],
)
def test_damaged_lines_are_named(written, text, message):
    with pytest.raises(TableError, match=rf"results\.csv.*{message}"):
        csv_file.read(written(text), metrics=["accuracy", "latency_ms"])


def options_of(*cells):
    lines = "".join(f"{cell},{k}\n" for k, cell in enumerate(cells))
    return lambda written: csv_file.read(written("n,y\n" + lines), metrics=["y"]).space["decisions"]["n"]


@pytest.mark.parametrize(
    "cells",
    [
        ["3_3", "5_1"],
        ["007", "008"],
        ["1_0.5", "2"],
        ["+5", "6"],
        ["1e3", "2"],
        ["0x10", "0x20"],
        ["0.50", "0.75"],
        ["\u0661", "\u0662"],
        ["1", "1.0", "2.5"],
        ["9007199254740993", "0.5"],
        ["true", "1"],
        ["tRuE", "false"],
        ["nan", "1"],
    ],
)
def test_labels_that_only_look_like_numbers_stay_text(written, cells):
    assert options_of(*cells)(written) == cells


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["10", "-2"], [-2, 10]),
        (["2.5", "1"], [1.0, 2.5]),
        (["0.5", "1.0"], [0.5, 1.0]),
        (["1e-05", "0.1"], [1e-05, 0.1]),
        (["TRUE", "false"], [False, True]),
    ],
)
def test_labels_that_print_as_numbers_are_numbers(written, cells, options):
    assert options_of(*cells)(written) == options


def test_numbers_that_tie_in_float32_stay_apart(written, tmp_path):
    text = "n,big,small,shares\n1,1234567890,81.2,0.8123456789\n2,1234567891,84,0.5\n"
    table = csv_file.read(written(text), decisions=["n"], metrics=["big", "small", "shares"])
    tables.save(table, tmp_path / "t.npz")
    table = tables.load(tmp_path / "t.npz")
    assert table.by_genome("big").dtype == np.float64 and table.by_genome("small").dtype == np.float32
    np.testing.assert_array_equal(table.by_genome("big").ravel(), [1234567890, 1234567891])
    np.testing.assert_array_equal(table.by_genome("shares").ravel(), [0.8123456789, 0.5])


def test_failed_trainings_are_measured_and_nan(written):
    text = "n,y\n1,\n2,nan\n3,-Inf\n4,infinity\n5,7\n"
    table = csv_file.read(written(text), metrics=["y"])
    np.testing.assert_array_equal(table.rows, range(5))
    np.testing.assert_array_equal(table.by_genome("y").ravel(), [np.nan, np.nan, np.nan, np.nan, 7])


def test_minus_one_is_an_unknown_cost(written):
    text = "n,ms,loss,gain,logit\n1,-1,-1,-1,-1\n2,3,0.5,2,-2\n"
    table = csv_file.read(written(text), decisions=["n"], costs=["ms"], minimize=["loss", "logit"], metrics=METRICS)
    found = {name: table.by_genome(name).ravel().tolist() for name in table.columns}
    assert np.isnan([found["ms"][0], found["loss"][0]]).all()
    assert (found["gain"], found["logit"]) == ([-1, 2], [-1, -2])  # more is better; others are negative too


METRICS = ["loss", "gain", "logit"]


def test_other_negative_costs_are_named(written):
    with pytest.raises(TableError, match="line 3, column 'ms': expected a cost, or -1 for unknown, got -2"):
        csv_file.read(written("n,y,ms\n1,1,3\n2,1,-2\n"), metrics=["y"], costs=["ms"])


@pytest.mark.parametrize("given", [{"metrics": ["y"]}, {"costs": ["y"]}])
def test_column_without_any_number_is_named(written, given):
    with pytest.raises(TableError, match="column 'y': no line has a number"):
        csv_file.read(written(f"n,y\n1,nan\n2,{'-1' if 'costs' in given else ''}\n"), **given)


@pytest.mark.parametrize(("column", "cell"), [("seed", "1_0"), ("budget", "1_0"), ("seed", ""), ("budget", "-3")])
def test_seed_and_budget_are_plain_whole_numbers(written, column, cell):
    with pytest.raises(TableError, match=f"line 3, column '{column}': expected a whole number.*, got '{cell}'"):
        csv_file.read(written(f"n,{column},y\n1,2,1\n2,{cell},2\n"), metrics=["y"], decisions=["n"])


@pytest.mark.parametrize("name", ["about", "rows", "codes", "a\0b", "x" * 2000])
def test_metric_that_the_file_cannot_name_is_refused_by_line(written, name):
    with pytest.raises(TableError, match=r"results\.csv: line 1: .*(name|called)"):
        csv_file.read(written(f"n,{name}\n1,2\n2,3\n"), decisions=["n"])


def test_a_decision_may_be_called_as_the_file_s_own_arrays(written):
    assert list(csv_file.read(written("rows,y\n1,2\n2,3\n"), metrics=["y"]).space["decisions"]) == ["rows"]


def test_names_given_twice_count_once(written):
    table = csv_file.read(written(TEXT), decisions=["depth", "width", "depth"], metrics=["accuracy", "accuracy"])
    assert list(table.space["decisions"]) == ["depth", "width"] and list(table.columns) == ["accuracy"]


def test_minimize_must_name_a_metric(written):
    with pytest.raises(ValueError, match="minimize: unknown 'depth'"):
        csv_file.read(written(TEXT), metrics=["accuracy"], minimize=["depth"])


def test_more_combinations_than_fit_are_counted(written):
    names = [f"d{k}" for k in range(30)]
    lines = [",".join([*names, "y"]), ",".join(["0"] * 31), ",".join(["1"] * 31)]
    with pytest.raises(TableError, match="1073741824 combinations are more than a table can hold"):
        csv_file.read(written("\n".join(lines)), metrics=["y"])


def test_unknown_column_names_the_nearest(written):
    with pytest.raises(ValueError, match=r"decisions: unknown 'dept'. Did you mean 'depth'"):
        csv_file.read(written(TEXT), decisions=["dept"])


def test_columns_must_be_told_apart(written):
    with pytest.raises(ValueError, match="say which columns"):
        csv_file.read(written(TEXT))
    with pytest.raises(ValueError, match="depth cannot be both"):
        csv_file.read(written(TEXT), decisions=["depth"], metrics=["depth"])
