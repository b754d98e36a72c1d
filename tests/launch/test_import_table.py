import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jaxnas import tables
from launch.import_table import with_costs

ROOT = pathlib.Path(__file__).parents[2]
CSV = "depth,pool,accuracy,ms\n2,max,81,3\n4,avg,85,5\n4,max,88,7\n"


def launched(*arguments):
    command = [sys.executable, "-m", "launch.import_table", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    (folder / "mine.csv").write_text(CSV)
    arguments = ("--from=csv", f"--path={folder / 'mine.csv'}", f"--output={folder / 'mine.npz'}", "--costs=ms")
    return folder, arguments, *launched(*arguments, "--metrics=accuracy")


def test_says_what_it_found(imported):
    folder, _, code, said = imported
    assert code == 0, said
    assert "3 of 4 architectures" in said and "1 combinations were never measured" in said
    assert "accuracy (metric): 81 to 88" in said and "ms (cost): 3 to 7" in said
    assert tables.load(folder / "mine.npz").by_genome("accuracy").shape == (4, 1, 1)


def test_never_overwrites_unasked(imported):
    folder, arguments, *_ = imported
    before = (folder / "mine.npz").read_bytes()
    code, said = launched(*arguments, "--metrics=accuracy")
    assert code != 0 and "exists; nothing was changed. Give --overwrite" in said
    assert (folder / "mine.npz").read_bytes() == before


def test_options_of_another_format_are_refused(imported):
    folder, *_ = imported
    arguments = ("--from=arrays", f"--path={folder / 'mine.csv'}", f"--output={folder / 'x.npz'}", "--decisions=a")
    code, said = launched(*arguments)
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
