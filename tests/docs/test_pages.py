"""The pages' Python, each page run from top to bottom as one reader would."""

import pathlib
import re

import pytest

from jaxnas.config import registry

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGES = [DOCS / name for name in ("getting_started.md", "concepts.md", "limits.md", "measured.md")]
PAGES += sorted((DOCS / "how_to").glob("*.md"))
QUICK = ("concepts", "strategy", "compare", "resume")
"""Pages of the default tier; the others take longer to compile."""


def blocks(page: pathlib.Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def case(page: pathlib.Path):
    return pytest.param(page, id=page.stem, marks=[] if page.stem in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("page", [case(page) for page in PAGES if blocks(page)])
def test_python_of_the_page_runs(page, one_device, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # pages write files beside them
    monkeypatch.setattr(registry, "_ENTRIES", {kind: dict(each) for kind, each in registry._ENTRIES.items()})
    names: dict = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_has_one_title(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^# .+", prose, re.MULTILINE) == [prose.splitlines()[0]]
