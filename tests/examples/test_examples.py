"""The examples, each run from top to bottom as one reader would."""

import os
import pathlib
import re
import runpy
import tempfile

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "attention_in_hybrids": r"recall of 6 pairs after .*\n(  state .* DDD \d+%.*\n){2}picture: ",
    "elastic_supernets": r"loss alone from (.*\n)+sandwich, distilled .*rank correlation .*\npicture: ",
    "keep_attention": r"accuracy by the number of layers.*\n  all placements .*\n(.*\n){6}picture: ",
    "five_minutes": r"found \|.*\nvalidation accuracy \d+\.\d+% after 32 networks",
    "own_space_and_network": r"found kernel=.*\n(.*\n)*largest: .*\n  test accuracy",
    "own_task": r"validation error \d\.\d+ Hz(.*\n)*test error of the network found \d\.",
    "own_strategy": r"best cell: 98\.89%.*\n(  .* ± .*%\n){3}",
    "search_as_a_function": r"1,000 searches of 150 evaluations(.*\n)*.*same to the bit: True",
    "supernet_darts": r"found \|(.*\n)*trained alone the cell reaches \d+\.\d+%",
    "zero_cost": r"(  \w+ +[+-]0\.\d\d \(.*\n){3}",
    "latency_aware": r"front after 300 evaluations:\n(  .* ms .*\n)+(.*\n)*within .* ms: ",
    "compare_strategies": r"after 100:\n(  .*mean rank.*\n){4}(.*\n)*mine, accuracy",
    "continue_and_resume": r"interrupted; 16 (.*\n)*as if .*: True\n(.*\n)*continued: 64",
}
"""What each prints in the end: its answer, as a pattern."""
SHORT = ("own_strategy", "search_as_a_function")
"""Of the default tier, ten seconds each: searches on a table. The others train networks, whose programs take long to
compile, or compile many."""


def case(path: pathlib.Path):
    return pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.slow])


@pytest.mark.parametrize("path", [case(path) for path in EXAMPLES])
def test_example_says_what_it_found(path, one_device, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", str(jax.device_count()))  # `configure` would set them, too late
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])
    constants = jax.config.jax_use_simplified_jaxpr_constants
    try:
        runpy.run_path(str(path))
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", constants)
    said = capsys.readouterr().out
    assert re.search(SAYS[path.stem], said), said
    for picture in re.findall(r"^pictures?: (.*)$", said, re.MULTILINE):
        folder, *names = re.split(r"/(?=[^/]*$)|, ", picture)
        assert all((pathlib.Path(folder) / name).stat().st_size > 5000 for name in names)


def test_every_example_is_run_and_listed():
    page = (ROOT / "docs" / "examples.md").read_text()
    assert [path.stem for path in EXAMPLES] == sorted(SAYS)
    assert sorted(set(re.findall(r"examples/(\w+)\.py", page))) == sorted(SAYS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_opens_as_a_notebook(path):
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed")
    notebook = jupytext.reads(path.read_text(), fmt="py:percent")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == kinds[-1] == "markdown" and kinds.count("code") >= 4
    assert notebook.cells[0].source.startswith("# ") and "**Next:**" in notebook.cells[-1].source
    assert '"nbformat"' in jupytext.writes(notebook, fmt="ipynb")
