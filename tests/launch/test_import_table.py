import numpy as np
import pytest

from jaxnas import tables
from launch.import_table import summary, with_costs
from tests.support.programs import run

PROGRAM = "launch.import_table"
CSV = "depth,pool,accuracy,ms\n2,max,81,3\n4,avg,85,5\n4,max,88,7\n"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    (folder / "mine.csv").write_text(CSV)
    arguments = ("--from=csv", f"--path={folder / 'mine.csv'}", f"--output={folder / 'mine.npz'}", "--costs=ms")
    return folder, arguments, *run(PROGRAM, *arguments, "--metrics=accuracy")


def test_says_what_it_found(imported):
    folder, _, code, said = imported
    assert code == 0, said
    assert "3 of 4 architectures" in said and "1 combinations were never measured" in said
    assert "accuracy (metric): 81 to 88" in said and "ms (cost): 3 to 7" in said
    assert tables.load(folder / "mine.npz").by_genome("accuracy").shape == (4, 1, 1)


def test_never_overwrites_unasked(imported):
    folder, arguments, *_ = imported
    before = (folder / "mine.npz").read_bytes()
    code, said = run(PROGRAM, *arguments, "--metrics=accuracy")
    assert code != 0 and "exists; nothing was changed. Give --overwrite" in said
    assert (folder / "mine.npz").read_bytes() == before


def test_options_of_another_format_are_refused(imported):
    folder, *_ = imported
    arguments = ("--from=arrays", f"--path={folder / 'mine.csv'}", f"--output={folder / 'x.npz'}", "--decisions=a")
    code, said = run(PROGRAM, *arguments)
    assert code != 0 and "decisions: only for --from=csv, not arrays" in said and "Traceback" not in said


def test_costs_of_another_table_are_joined(tmp_path):
    space = {"name": "categorical", "decisions": {"a": [0, 1, 2]}}
    accuracy = tables.Column(np.array([5.0, 6.0]).reshape(2, 1, 1))
    latency = tables.Column(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), kind="cost", higher_is_better=False)
    other = tables.Table("other", space, np.array([0, 1, 2]), {"ms": latency})
    tables.save(other, tmp_path / "other.npz")
    joined = with_costs(
        tables.Table("mine", space, np.array([1, -1, 0]), {"accuracy": accuracy}), str(tmp_path / "other.npz")
    )
    np.testing.assert_array_equal(joined.by_genome("ms")[[0, 2], 0, 0], [1, 3])
    with pytest.raises(ValueError, match="has a column 'ms' already"):
        with_costs(joined, str(tmp_path / "other.npz"))


def one_column(space, values, kind="metric", **parts):
    column = tables.Column(np.array(values).reshape(-1, 1, 1), kind=kind, higher_is_better=kind == "metric")
    rows = np.arange(len(values))
    return tables.Table("t", space, rows, {"ms" if kind == "cost" else "accuracy": column}, **parts)


def saved(path, table):
    tables.save(table, path)
    return str(path)


AB = {"name": "categorical", "decisions": {"a": [0, 1], "b": [0, 1]}}


@pytest.mark.parametrize(
    "decisions",
    [{"b": [0, 1], "a": [0, 1]}, {"a": [1, 0], "b": [0, 1]}, {"a": [0, 1], "c": [0, 1]}, {"a": [0, 1]}],
)
def test_costs_of_decisions_or_options_in_another_order_are_refused(tmp_path, decisions):
    other = one_column({**AB, "decisions": decisions}, [1.0, 2, 3, 4], "cost")
    with pytest.raises(ValueError, match=r"other\.npz is a table of another space: expected .* in this order, got"):
        with_costs(one_column(AB, [5.0, 6, 7, 8]), saved(tmp_path / "other.npz", other))


def test_costs_are_joined_by_code(tmp_path):
    space = {"name": "nasbench101"}
    other = one_column(space, [1.0, 2, 3], "cost", codes=np.array([10, 20, 40]))
    mine = one_column(space, [5.0, 6, 7, 8], codes=np.array([5, 20, 30, 40]))
    joined = with_costs(mine, saved(tmp_path / "other.npz", other))
    np.testing.assert_array_equal(joined.by_genome("ms").ravel(), [np.nan, 2, np.nan, 3])


def test_costs_of_no_common_architecture_are_refused(tmp_path):
    space = {"name": "nasbench101"}
    other = one_column(space, [1.0, 2], "cost", codes=np.array([10, 20]))
    with pytest.raises(ValueError, match="other.npz has 'ms' of none of the architectures"):
        with_costs(one_column(space, [5.0, 6], codes=np.array([1, 2])), saved(tmp_path / "other.npz", other))


def test_costs_without_codes_are_refused_where_the_table_has_them(tmp_path):
    other = saved(tmp_path / "other.npz", one_column({"name": "nasbench101"}, [1.0, 2], "cost"))
    with pytest.raises(ValueError, match="expected 2 genomes of the same codes"):
        with_costs(one_column({"name": "nasbench101"}, [5.0, 6], codes=np.array([1, 2])), other)


def test_costs_that_need_float64_keep_it(tmp_path):
    space = {"name": "categorical", "decisions": {"a": [0, 1]}}
    other = saved(tmp_path / "other.npz", one_column(space, [1234567890.0, 1234567891], "cost"))
    np.testing.assert_array_equal(with_costs(one_column(space, [1.0, 2]), other).by_genome("ms")[1], [[1234567891]])


def test_summary_counts_what_failed_and_what_is_unknown(tmp_path):
    (tmp_path / "mine.csv").write_text("n,y,loss,ms\n1,nan,-1,3\n2,,2,-1\n3,7,1,4\n")
    table = tables.csv_file.read(tmp_path / "mine.csv", decisions=["n"], costs=["ms"], minimize=["loss"], metrics=YL)
    said = summary(table).splitlines()
    assert "3 of 3 architectures" in said[0]
    assert "2 architectures failed" in said[1]
    assert "1 architectures failed or unknown" in said[2] and "1 architectures unknown" in said[3]


YL = ["y", "loss"]


def test_no_file_is_left_where_a_column_cannot_be_named(tmp_path):
    (tmp_path / "mine.csv").write_text("n,rows\n1,2\n2,3\n")
    arguments = ("--from=csv", f"--path={tmp_path / 'mine.csv'}", f"--output={tmp_path / 'out' / 'mine.npz'}")
    code, said = run(PROGRAM, *arguments, "--metrics=rows")
    assert code != 0 and "mine.csv: line 1: a column cannot be called 'rows'" in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
