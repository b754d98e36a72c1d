"""What searches of transformers whose sizes are prefixes of the largest have in common."""

from collections.abc import Mapping
from typing import Any


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """One option of each: the largest, all layers, and attention to the encoder's last."""
    fixed = {name: (max(options[name]),) for name in ("heads", "ratios", "widths")}
    return {**{name: of for name, of in options.items() if name not in ("depths", "sources")}, **fixed}
