import pytest

from jaxnas import tables
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


def test_no_file_is_left_where_a_column_cannot_be_named(tmp_path):
    (tmp_path / "mine.csv").write_text("n,rows\n1,2\n2,3\n")
    arguments = ("--from=csv", f"--path={tmp_path / 'mine.csv'}", f"--output={tmp_path / 'out' / 'mine.npz'}")
    code, said = run(PROGRAM, *arguments, "--metrics=rows")
    assert code != 0 and "mine.csv: line 1: a column cannot be called 'rows'" in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
