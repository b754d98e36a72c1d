"""Pages of commands, options and benchmarks, written from the programs, the registry and the files of figures."""

import importlib
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api import write
from parts import ROOT, arguments, part, table

import jaxnas
from jaxnas.config.registry import OFFERS, known
from jaxnas.plots import _figure

FLAG = re.compile(r"^  --(\S+): (.*(?:\n    .*)*)", re.MULTILINE)


def commands() -> str:
    """Each program's own words and flags."""
    files = (file.stem for file in (ROOT / "launch").glob("*.py"))
    names = sorted(name for name in files if name not in ("__init__", "__main__", "command"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        helps = dict(zip(names, pool.map(_help, names), strict=True))
    lines = ["# Commands", "", "`jaxnas NAME` and, in a checkout, `python -m launch.NAME` are the same program.", ""]
    for name, text in helps.items():
        doc, _, rest = text.partition("\nflags:\n")
        modules = re.split(r"^(\S+):$", rest, flags=re.MULTILINE)[1:]
        flags = [
            row
            for module, said in zip(modules[::2], modules[1::2], strict=True)
            if module == "launch.command" or module.endswith(f"{name}.py")
            for row in _flags(said)
        ]
        lines += [f"## {name}", "", doc.strip(), "", arguments("flag", flags), ""]
    return "\n".join(lines)


def _help(name: str) -> str:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", f"launch.{name}", "--helpfull"]
    return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def _flags(text: str) -> list[tuple[str, str, str, str]]:
    found = []
    for name, about in FLAG.findall(text):
        lines = [line.strip() for line in about.splitlines()]
        default = next((line[len("(default: ") : -1].strip("'") for line in lines if line.startswith("(default: ")), "")
        kind = next((line[1:-1] for line in lines if re.fullmatch(r"\(an? .*\)", line)), "")
        meaning = " ".join(line for line in lines if not line.startswith(("(default: ", "(a")))
        found.append((f"--{name}", kind, default, meaning))
    return found


def options() -> dict[str, str]:
    """Kind of part -> page."""
    pages = {}
    for kind in OFFERS:
        if known(kind):
            parts = [part(kind, name, f"## {name}") for name in known(kind)]
            pages[kind] = "\n\n".join(
                [f"# Options: {kind.replace('_', ' ')}", f"Parts for `config.{kind}`, by `name`.", *parts]
            )
    (keys,) = jaxnas.options("config")
    pages["config"] = f"# Options: config\n\nThe keys of a search's config.\n\n{arguments('key', keys.options)}\n"
    return pages


def benchmarks(pictures: pathlib.Path) -> str:
    """Every file of figures, with where it is from, and bars of what was measured side by side."""
    lines = [
        "# Benchmarks",
        "",
        "Figures as the program that measured them wrote them (`jaxnas benchmark --what=WHAT`): medians of alternating "
        "rounds. No GPU or TPU was there; files named plan are of programs that were compiled for one, see "
        "[plan](/how_to/plan.md).",
        "",
        "## On your own device",
        "",
        inspect.getdoc(importlib.import_module("jaxnas.benchmarks.device")),
        "",
    ]
    for file in sorted((ROOT / "benchmarks").glob("*.json")):
        record = json.loads(file.read_text())
        commit, device = record["commit"] or {"hash": "none", "clean": True}, record["device"]
        of = f"commit {commit['hash'][:7]}{'' if commit['clean'] else ' with changes'}"
        versions = ", ".join(f"{what} {version}" for what, version in record["versions"].items())
        rows = [(name, _number(value)) for name, value in _flat(record["figures"])]
        lines += [
            f"## {file.stem}",
            "",
            f"`{record['command']}`, {record['date'][:10]}, {of}, {device['count']} {device['kind']} device(s), "
            f"{versions}.",
            "",
            table(("figure", "median or value"), rows),
            "",
        ]
        for name, bars in _groups(record["figures"]):
            drawn = pictures / f"{file.stem}_{name.replace('.', '_')}.svg"
            _draw(drawn, name.replace("_", " ").replace(".", ", "), bars)
            lines += [f"![{name}](/{pictures.name}/{drawn.name})", ""]
    return "\n".join(lines)


def _flat(figures: Any, name: str = ""):
    """`(path, number)` of what a reader compares: of rounds, their median alone."""
    if isinstance(figures, dict):
        if "median" in figures:
            yield name, figures["median"]
            return
        for key, value in figures.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(figures, (int, float)) and not isinstance(figures, bool):
        yield name, figures


def _groups(figures: Any, name: str = ""):
    """`(path, {what: median})` of what was measured side by side."""
    if isinstance(figures, dict):
        bars = {key: value["median"] for key, value in figures.items() if isinstance(value, dict) and "median" in value}
        if len(bars) > 1:
            yield name, bars
        for key, value in figures.items():
            yield from _groups(value, f"{name}.{key}" if name else key)


def _draw(file: pathlib.Path, title: str, bars: dict[str, float]) -> None:
    figure, axes = _figure.new_figure(6, 0.7 + 0.35 * len(bars))
    drawn = axes.barh(range(len(bars)), bars.values(), color=_figure.BLUE, height=0.6)
    axes.bar_label(drawn, [_number(value) for value in bars.values()], padding=4, fontsize=_figure.SMALL)
    axes.set(xlim=(0, 1.15 * max(bars.values())), title=title)
    axes.invert_yaxis()
    _figure.plain_axes(axes)
    axes.set_yticks(range(len(bars)), bars)
    figure.savefig(file)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def generate(app) -> None:
    source = pathlib.Path(app.srcdir)
    (source / "options").mkdir(exist_ok=True)
    write(source / "commands.md", commands())
    (source / "_drawn").mkdir(exist_ok=True)
    write(source / "benchmarks.md", benchmarks(source / "_drawn"))
    pages = options()
    for kind, text in pages.items():
        write(source / "options" / f"{kind}.md", text)
    toc = "\n".join(["config", *(kind for kind in pages if kind != "config")])
    write(
        source / "options" / "index.md",
        "# Options\n\nWhat a config can say of each part; `jaxnas options NAME` prints the same.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{toc}\n```\n",
    )


def setup(app):
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True}
