"""What can be set in a config, read off the factories' signatures and docstrings."""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxnas import check
from jaxnas.config import registry
from jaxnas.config.keys import KEYS


class Option(NamedTuple):
    """An argument of a part: its name, type and default as text ("" where it must be given), and meaning."""

    name: str
    type: str
    default: str
    meaning: str


class PartOptions(NamedTuple):
    """All options of one part; as text, a table.

    Attributes:
      kind: of part, "strategy" say.
      name: in configs.
      summary: what it is, a sentence.
      options: in the order of the signature.
    """

    kind: str
    name: str
    summary: str
    options: tuple[Option, ...]

    def __str__(self) -> str:
        head = f"config.{self.kind}: {self.name}" if self.kind else self.name
        rows = [("name", "type", "default", "meaning"), *self.options]
        wide = [min(28, max(len(row[column]) for row in rows)) for column in range(3)]
        lines = []
        for row in rows:
            cells = "  ".join(f"{cell:{width}}" for cell, width in zip(row[:3], wide, strict=True))
            meaning = textwrap.wrap(row[3], max(40, 116 - len(cells))) or [""]
            lines.append(f"  {cells}  {meaning[0]}".rstrip())
            lines += [" " * (len(cells) + 4) + more for more in meaning[1:]]
        table = "\n".join(lines) if self.options else "  no options"
        return f"{head}\n  {self.summary}\n\n{table}"


def options(name: str = "", kind: str = "") -> list[PartOptions]:
    """What a config may say of the parts of that name (several kinds may have one), or of all parts.

    Args:
      name: of a part, `package.module:factory` with a `kind`, "config" for a config's own keys, or of an argument: then
        the parts that have it, with it alone. All by default.
      kind: of part, "strategy" say; any by default.

    Raises:
      InputError: an unknown name or kind, with the nearest.
    """
    kinds = [kind] if kind else list(registry.OFFERS)
    if name == "config":
        return [PartOptions("", "config", "The keys of a search's config.", tuple(_keys()))]
    if ":" in name:
        check.one_of("kind", kind, registry.OFFERS)
        return [_part(kind, name, registry.entry(kind, name))]
    every = [(k, n, e) for k in kinds for n, e in registry.known(k).items()]
    names = dict.fromkeys(["config", *(n for _, n, _ in every)])
    parts = [_part(k, n, e) for k, n, e in every if name in ("", n) or name not in names]
    if name in ("", *names):
        return parts
    having = [part._replace(options=tuple(o for o in part.options if o.name == name)) for part in parts]
    if not any(part.options for part in having):
        check.one_of("name", name, names)
    return [part for part in having if part.options]


def _keys():
    for key, meaning in KEYS.items():
        yield Option(key, "dict" if key in registry.OFFERS else "", "", meaning)


def _part(kind: str, name: str, entry: registry.Entry) -> PartOptions:
    meanings: dict[str, str] = {}
    for each in (*entry.accepts, entry.factory):
        meanings |= described(each)
    found = tuple(
        Option(n, _type(p.annotation), _default(p.default), meanings.get(n, ""))
        for n, p in registry.arguments_of(entry).items()
    )
    return PartOptions(kind, name, _summary(entry.factory), found)


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(\w+\.)+(?=\w)", "", text)  # without modules
    return text.replace("Union[Array, ndarray, bool, number]", "Array")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    return getattr(value, "__name__", None) or repr(value)


def _summary(factory: Callable) -> str:
    """The first sentence of its docstring."""
    text = inspect.getdoc(factory) or ""
    return " ".join(text.split("\n\n")[0].split())


def described(factory: Callable) -> dict[str, str]:
    """Argument -> what the sections "Args" and "Attributes" of its docstring say of it."""
    text = inspect.getdoc(factory) or ""
    found: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n((?:(?:  .*)?\n?)*)", text, re.MULTILINE):
        for names, meaning in re.findall(r"^  (\S[^\n:]*): (.*(?:\n    .*)*)", section, re.MULTILINE):
            for name in re.split(r",\s*", names):
                found[name.strip("*` ")] = " ".join(meaning.split())
    return found
