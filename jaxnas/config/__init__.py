"""From a config to parts: names, options, wiring.

| name | what it does |
|---|---|
| `get_config` | a shipped config by name ("darts:small") or a file's, with single values changed |
| `at_scale` | of a config's two dicts the one that is asked for after the colon |
| `build` | the parts that a config names |
| `options` | what can be set in a config: name, type, default, meaning |
| `variables_of` | the shared weights that a search left behind |
| `register` | makes an own factory known by a name |
"""

from jaxnas.config import shipped as _shipped  # registers  # noqa: F401
from jaxnas.config._options import Option, PartOptions, options
from jaxnas.config.files import at_scale, get_config
from jaxnas.config.registry import register
from jaxnas.config.variables import variables_of
from jaxnas.config.wiring import Parts, build, run_program

__all__ = [
    "Option",
    "PartOptions",
    "Parts",
    "at_scale",
    "build",
    "get_config",
    "options",
    "register",
    "run_program",
    "variables_of",
]
