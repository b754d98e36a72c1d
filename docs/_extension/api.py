"""API reference: a page for each package, with every public name on exactly one of them."""

import importlib
import inspect
import pathlib
import re
from typing import Any

PACKAGES = (
    "jaxnas",
    "jaxnas.types",
    "jaxnas.spaces",
    "jaxnas.networks",
    "jaxnas.tasks",
    "jaxnas.problems",
    "jaxnas.training",
    "jaxnas.evaluators",
    "jaxnas.strategies",
    "jaxnas.strategies.knapsack",
    "jaxnas.pretrained",
    "jaxnas.proxies",
    "jaxnas.predictors",
    "jaxnas.costs",
    "jaxnas.tables",
    "jaxnas.loop",
    "jaxnas.config",
    "jaxnas.analysis",
    "jaxnas.plots",
    "jaxnas.planning",
    "jaxnas.benchmarks",
    "jaxnas.execution",
    "jaxnas.population",
    "jaxnas.pareto",
    "jaxnas.checkpoint",
)
"""Public modules. What two of them have is documented where it is not merely passed on."""

ARRAY = re.compile(r"~?[\w.]*Array \| ~?[\w.]*ndarray \| ~?[\w.]*bool \| ~?[\w.]*number")
TREE = re.compile(r"Array \| ~?[\w.]*Iterable\[ArrayTree\] \| ~?[\w.]*Mapping\[~?[\w.]*Any, ArrayTree\]")


def public(module: str) -> dict[str, Any]:
    """Name -> what a module offers beside other modules: what is in its `__all__`, or else what it defines."""
    found = importlib.import_module(module)
    every = vars(found)
    mine = lambda name, value: not name.startswith("_") and getattr(value, "__module__", None) == module
    names = getattr(found, "__all__", None) or [name for name, value in every.items() if mine(name, value)]
    return {name: every[name] for name in names if not inspect.ismodule(every[name]) and name != "__version__"}


def homes() -> dict[str, list[str]]:
    """Module -> the names that are documented on its page."""
    documented: dict[int, str] = {}
    pages: dict[str, list[str]] = {module: [] for module in PACKAGES}
    for module in (*PACKAGES[1:], PACKAGES[0]):
        for name, value in public(module).items():
            known = inspect.isroutine(value) or inspect.isclass(value)
            if known and id(value) in documented:
                continue
            documented[id(value)] = module
            pages[module].append(name)
    return pages


def page(module: str, names: list[str]) -> str:
    """Its MyST page; raises `ValueError` for what has no docstring."""
    found = importlib.import_module(module)
    lines = [f"# {module}", "", inspect.getdoc(found) or "", "", f":::{{py:module}} {module}", ":::", ""]
    elsewhere = [name for name in public(module) if name not in names]
    if elsewhere:
        links = ", ".join(f"`{name}`" for name in elsewhere)
        lines += [f"Documented where it is at home: {links}.", ""]
    for name in names:
        value = getattr(found, name)
        if not (inspect.isroutine(value) or inspect.isclass(value)):
            lines += ["```{eval-rst}", f".. autodata:: {module}.{name}", "   :no-value:", "```", ""]
            continue
        if not inspect.getdoc(value) or inspect.getdoc(value) == inspect.getdoc(type(value)):
            raise ValueError(f"{module}.{name} is public and has no docstring.")
        kind = "autoclass" if inspect.isclass(value) else "autofunction"
        members = ["   :members:"] if inspect.isclass(value) else []
        lines += ["```{eval-rst}", f".. {kind}:: {module}.{name}", *members, "```", ""]
    return "\n".join(lines)


def generate(app) -> None:
    folder = pathlib.Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = homes()
    for module, names in pages.items():
        write(folder / f"{module}.md", page(module, names))
    count = sum(map(len, pages.values()))
    about = f"{count} public names in {len(pages)} modules. What no `__all__` lists is private."
    listed = "\n".join(["```{toctree}", ":maxdepth: 1", "", *PACKAGES, "```"])
    write(folder / "index.md", f"# API reference\n\n{about}\n\n{listed}\n")


def write(file: pathlib.Path, text: str) -> None:
    """Leaves a file that says the same as it was, so that Sphinx need not read it again."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def escape(app, what, name, value, options, lines: list[str]) -> None:
    """A bar outside code is a bar, not the substitution that it begins in reStructuredText."""
    parts = "\n".join(lines).split("`")
    lines[:] = "`".join(p if i % 2 else p.replace("|", "\\|") for i, p in enumerate(parts)).splitlines()


def shorten(app, what, name, value, options, signature: str | None, result: str | None):
    """Arrays are arrays, however many types chex counts among them."""
    short = lambda text: text and TREE.sub("ArrayTree", ARRAY.sub("Array", text))
    return short(signature), short(result)


def skip(app, what, name, value, skipped, options) -> bool | None:
    """Fields of records: the section "Attributes" of their class has them."""
    is_field = type(value).__name__ in ("_tuplegetter", "member_descriptor") or value is None
    return True if is_field else None


def setup(app):
    app.connect("builder-inited", generate)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon, which writes substitutions
    return {"parallel_read_safe": True}
