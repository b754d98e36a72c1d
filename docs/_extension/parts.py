"""Directives `part`, `config` and `plans`: what pages say of a factory, a config and plans, made of the code itself and
of the files that programs wrote."""

import ast
import inspect
import json
import pathlib
import re
from collections.abc import Sequence

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import jaxnas
from jaxnas.config import registry

ROOT = pathlib.Path(__file__).parents[2]
SECTION = re.compile(r"^(?:Args|Attributes|Returns|Raises|Yields):$", re.MULTILINE)


class Generated(SphinxDirective):
    """A directive that stands for Markdown."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = False

    def run(self) -> list[nodes.Node]:
        text = StringList(self.markdown(self.arguments[0]).splitlines(), source=self.arguments[0])
        found = nodes.container()
        self.state.nested_parse(text, self.content_offset, found)
        return found.children

    def markdown(self, argument: str) -> str:
        raise NotImplementedError


class Part(Generated):
    """`{part} strategy darts`: what its docstring says before its arguments, and the table of these."""

    def markdown(self, argument: str) -> str:
        return part(*argument.split())


class Config(Generated):
    """`{config} darts:small`: its docstring, and what a recorded run of it said."""

    def markdown(self, argument: str) -> str:
        self.env.note_dependency(str(result_file(argument)))
        return config(argument)


class Plans(Generated):
    """`{plans} benchmarks/plans`: a row of each file of `jaxnas benchmark --what=plan`."""

    def markdown(self, argument: str) -> str:
        files = sorted((ROOT / argument).glob("*.json"))
        for file in files:
            self.env.note_dependency(str(file))
        return plans(files)


def plans(files: Sequence[pathlib.Path]) -> str:
    rows = []
    for record in (json.loads(file.read_text()) for file in files):
        for name, found in record["figures"].items():
            devices = f" ({found['devices']} of them)" if found.get("devices", 1) > 1 else ""
            programs = [each for each in found.values() if isinstance(each, dict) and "compile_seconds" in each]
            seconds = [sum(each[f"{what}_seconds"] for each in programs) for what in ("trace", "compile")]
            fits, hours = found["fits"], found.get("hours_estimated")
            row = (
                *(name, record["options"]["target"] + devices, f"{found['bytes'] / 1e9:.2g}"),
                " + ".join(f"{s:.0f} s" for s in seconds),
                "does not fit" if not fits else f"{hours:.2g} h" if hours else "–",
                found.get("bound", {}).get("by", "–"),
            )
            rows.append(row)
    head = ("config", "target", "GB a device", "tracing + compiling", "the search, estimated", "bound by")
    return table(head, sorted(rows))


def part(kind: str, name: str, heading: str = "") -> str:
    factory = registry.entry(kind, name).factory
    prose = SECTION.split(inspect.getdoc(factory) or "")[0].strip()
    (found,) = jaxnas.options(name, kind)
    return "\n".join([heading, "", prose, "", arguments("argument", found.options)])


def arguments(what: str, rows) -> str:
    """Rows of name, type, default and meaning in two columns, which a phone has room for."""
    said = lambda kind, default: ", ".join([f"`{kind}`"] * bool(kind) + [f"`{default}` by default"] * bool(default))
    about = lambda kind, default, meaning: ": ".join(text for text in (said(kind, default), meaning) if text)
    return table((what, "meaning"), [(name, about(*rest)) for name, *rest in rows])


def table(head: tuple[str, ...], rows) -> str:
    """A Markdown table, all columns but the last as code."""
    if not rows:
        return "No options."
    code = lambda text: f"`{text}`" if text else ""
    clean = lambda text: text.replace("|", "\\|").replace("\n", " ")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join([*(code(clean(cell)) for cell in row[:-1]), clean(row[-1])]) + " |")
    return "\n".join(lines)


def config(named: str) -> str:
    name = named.split(":")[0]
    doc = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text()), clean=False) or ""
    return "\n".join([doc, "", result(named)])


def result_file(named: str) -> pathlib.Path:
    return ROOT / "docs" / "results" / f"{re.sub('[:,]', '_', named)}.json"


def result(named: str) -> str:
    """A recorded run as Markdown."""
    file = result_file(named)
    if not file.exists():
        return f"No run of `{named}` is recorded."
    found = json.loads(file.read_text())
    device = found["result"]["device"]
    versions = ", ".join(f"{what} {version}" for what, version in found["result"]["versions"].items())
    said = (
        f"`{found['command']}`, {found['date'][:10]}, with nothing compiled before: {found['seconds']:.0f} s in all "
        f"on {device['count']} {device['kind']} device(s) ({versions}; commit {found['commit']['hash'][:7]}). One seed "
        "with other work beside it: it shows what a run says and costs, not what the method is worth."
    )
    lines = [said, "", "```text", *found["output"], "```", ""]
    for picture in found["pictures"]:
        lines += [f"![{picture} of {named}](/results/{file.stem}_{picture}.png)", ""]
    return "\n".join(lines)


def setup(app):
    app.add_directive("part", Part)
    app.add_directive("config", Config)
    app.add_directive("plans", Plans)
    return {"parallel_read_safe": True}
