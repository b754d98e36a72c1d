"""The README's Python, run from top to bottom as one reader would."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.usefixtures("one_device")


def test_python_of_the_readme_runs(capsys):
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(names["result"].architecture) and said[1].startswith("first=")
