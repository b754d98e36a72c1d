"""Configs by name or file, and single values changed."""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pathlib
import sys
import types
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.config.keys import KEYS


def get_config(name: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config that comes with the library, or of a file, as a dict.

    Args:
      name: "darts:small" for a shipped one, a path ("mine.py:small") for any other; what follows the colon is handed to
        the file's `get_config`.
      changes: `{"evaluator.momentum": 0.95}`: any argument of any part, listed in the config or not.

    Raises:
      InputError: no such config, with the nearest; what its `get_config` refuses; a change of a key that no config has.
    """
    config = read(name)
    for key, value in (changes or {}).items():
        change(config, key, value)
    return config.to_dict()


def at_scale(
    scale: str,
    paper: Mapping[str, Any],
    small: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
    **kinds: Mapping[str, Any],
) -> ConfigDict:
    """A config with the paper's settings ("paper"), with those that finish on two CPU cores ("small"), or `others`.

    One of the `kinds` after a comma ("small,noisy") replaces keys of any of them; None takes one away.
    """
    size, comma, kind = scale.partition(",")
    scales = {"paper": paper, "small": small, **others}
    check.one_of("scale (after the colon)", size if kinds else scale, scales)
    if comma:
        check.one_of("kind (after the comma)", kind, kinds)
    return ConfigDict({k: v for k, v in {**scales[size], **kinds.get(kind, {})}.items() if v is not None})


def folder() -> pathlib.Path:
    """Where the shipped configs are: in the installed package, or beside it in a checkout."""
    package = pathlib.Path(__file__).parents[1]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def shipped() -> list[str]:
    """Names of the shipped configs."""
    return sorted(path.stem for path in folder().glob("[!_]*.py"))


def locate(name: str) -> tuple[pathlib.Path, str]:
    """The file of a config, and what follows the colon in its name; raises `InputError` where there is none."""
    if not isinstance(name, str) or not name:
        raise InputError(f"config: expected a name or a path, got {name!r}.")
    file, _, option = name.partition(":")
    if file in shipped() and not pathlib.Path(file).is_file():
        return folder() / f"{file}.py", option
    path = check.local_path("config", file)
    if path.is_file():
        return path, option
    beside = sorted(map(str, path.parent.glob("[!_]*.py"))) if path.parent.is_dir() else []
    near = difflib.get_close_matches(file, [*beside, *shipped()], n=1) or difflib.get_close_matches(
        path.stem, shipped(), n=1
    )
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"config: no file {file}, and no config of that name.{hint} Known: {', '.join(shipped())}.")


def read(name: str) -> ConfigDict:
    """What the `get_config` of a config's file returns, unlocked."""
    path, option = locate(name)
    get = getattr(_module(path), "get_config", None)
    if get is None:
        raise InputError(f"config: {path} has no function get_config.")
    if option and not inspect.signature(get).parameters:
        raise InputError(f"config, {name}: {path.name} has one scale alone; give {path.stem!r}.")
    try:
        config = get(option) if option else get()
    except InputError as error:
        raise InputError(f"config, {name}: {error}") from None
    return ConfigDict(config).unlock()


def _module(path: pathlib.Path) -> ModuleType:
    """The file as a module; with `__init__.py` beside it, of a package, so that its relative imports work."""
    name = f"jaxnas_config_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if (path.parent / "__init__.py").is_file():
        package = f"jaxnas_configs_{hashlib.sha256(str(path.parent.resolve()).encode()).hexdigest()[:12]}"
        if package not in sys.modules:
            _load(package, path.parent / "__init__.py", [str(path.parent.resolve())])
        return importlib.import_module(f"{package}.{path.stem}")
    return _load(name, path)


def _load(name: str, path: pathlib.Path, locations: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise InputError(f"config: {path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def change(config: ConfigDict, key: str, value: Any, known: Mapping[str, Any] = KEYS) -> None:
    """Sets `config.KEY`, dotted, to a value, or to what a text means where the key's value is none.

    Dicts below the first key may get new entries, which those who read them check.

    Args:
      config: is changed.
      key: "evaluator.momentum".
      value: anything; a dict replaces a whole part.
      known: first keys that a config may have, beside those that it has.

    Raises:
      InputError: a first key that nothing reads, a path through what is no dict, a value of another type.
    """
    first, *rest = key.split(".")
    if first not in config:
        check.one_of("config", first, dict.fromkeys([*config, *known]))
    place, path = config, [first, *rest]
    for i, name in enumerate(path[:-1]):
        if name not in place or place[name] is None:
            place[name] = ConfigDict()
        place = place[name]
        if not isinstance(place, ConfigDict):
            raise InputError(f"config.{'.'.join(path[: i + 1])}: is {place!r}, no dict; {key!r} cannot be set.")
    name = path[-1]
    now = place.get(name)
    with place.unlocked(), place.ignore_type():
        place[name] = _like(f"config.{key}", now, value)


def _like(key: str, now: Any, value: Any) -> Any:
    """The value, in the type of what is there now; a text is what it means in Python, or itself."""
    if not isinstance(value, str) or isinstance(now, str):
        return float(value) if type(now) is float and type(value) is int else value
    words = {"true": True, "false": False, "none": None, "": ""}
    if value.lower() in words:
        meant = words[value.lower()]
    else:
        try:
            meant = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            meant = value
    if isinstance(now, bool) and meant in (0, 1):
        meant = bool(meant)
    if type(now) is float and type(meant) is int:
        meant = float(meant)
    if type(now) is tuple and isinstance(meant, str) and all(isinstance(one, str) for one in now):
        meant = (meant,)  # one of several texts
    kinds = {bool: bool, int: (int, float), float: float, ConfigDict: Mapping, dict: Mapping, tuple: (tuple, list)}
    wanted = kinds.get(type(now))
    if (
        wanted is not None
        and meant is not None
        and (not isinstance(meant, wanted) or (isinstance(meant, bool) and wanted is not bool))
    ):
        raise InputError(f"{key}: expected {_named(type(now))} like {_shown(now)}, got {value!r}.")
    return meant


def _named(kind: type) -> str:
    return "a dict" if issubclass(kind, (dict, ConfigDict)) else f"a {kind.__name__}".replace("a int", "an int")


def _shown(value: Any) -> str:
    return repr(value.to_dict() if isinstance(value, ConfigDict) else value)
