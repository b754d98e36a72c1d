"""How good is it."""

from jaxnas.evaluators.direct import direct
from jaxnas.evaluators.table import table

__all__ = ["direct", "table"]
