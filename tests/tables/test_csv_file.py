import numpy as np
import pytest

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
        (TEXT + "4,1.0,avg,nan,3.0\n", "line 6, column 'accuracy': expected a number, got 'nan'"),
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


def test_unknown_column_names_the_nearest(written):
    with pytest.raises(ValueError, match=r"decisions: unknown 'dept'. Did you mean 'depth'"):
        csv_file.read(written(TEXT), decisions=["dept"])


def test_columns_must_be_told_apart(written):
    with pytest.raises(ValueError, match="say which columns"):
        csv_file.read(written(TEXT))
    with pytest.raises(ValueError, match="depth cannot be both"):
        csv_file.read(written(TEXT), decisions=["depth"], metrics=["depth"])
