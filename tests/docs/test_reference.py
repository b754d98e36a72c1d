"""README and reference name everything that is there, and link to what exists."""

import importlib
import pathlib
import pkgutil
import re
import sys

import pytest

import jaxnas
from jaxnas.config.registry import OFFERS, known
from jaxnas.proxies import PROXIES

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def api():
    sys.path.insert(0, str(ROOT / "docs" / "_extension"))
    try:
        yield importlib.import_module("api")
    finally:
        sys.path.pop(0)


def test_the_readme_is_short():
    assert len(README.encode()) <= 10_000


@pytest.mark.parametrize("kind", OFFERS)
def test_the_readme_names_every_part(kind):
    cost = {"latency": "latency measured"}
    missing = [name for name in known(kind) if f"`{name}`" not in README and cost.get(name, "?") not in README]
    assert missing == []


def test_the_readme_names_every_proxy_and_config():
    configs = {file.stem for file in (ROOT / "configs").glob("[!_]*.py")}
    assert [name for name in (*PROXIES, *configs - {"tabulate_digits"}) if f"`{name}`" not in README] == []


def test_links_of_the_readme_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_reference_has_every_public_package(api):
    packages = {f"jaxnas.{module.name}" for module in pkgutil.iter_modules(jaxnas.__path__) if module.ispkg}
    assert packages - {"jaxnas.configs", "jaxnas.launch"} <= set(api.PACKAGES)


def test_every_public_name_is_in_the_reference_once_and_documented(api):
    documented = [name for names in api.homes().values() for name in names]
    for module in api.PACKAGES:
        assert set(api.public(module)) <= set(documented)
    assert len(documented) > 240
    for module, names in api.homes().items():
        api.page(module, names)  # raises for what has no docstring
