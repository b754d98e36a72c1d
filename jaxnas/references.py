"""What text of the form `package.module:name` stands for: a user's own code, named in a config."""

import importlib
import re
from typing import Any

from jaxnas.check import InputError


def is_reference(value: Any) -> bool:
    """Whether it is such text; "tfds:NAME" is a source of data."""
    return isinstance(value, str) and re.fullmatch(r"(?!tfds:)[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is not None


def imported(argument: str, reference: str) -> Any:
    """What has that name in that module; raises `InputError` where there is none, or the module cannot be imported."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{argument}: {reference!r} cannot be imported ({error}).") from error
