"""What searches of transformers whose sizes are prefixes of the largest have in common."""

from collections.abc import Mapping
from typing import Any

FACTORS = {"heads": "heads", "ratio": "ratios", "sources": "sources"}
"""What is decided of a layer -> its options."""


def largest(options: Mapping[str, Any], prefix: str = "") -> str:
    """The architecture with the largest of all options of a transformer, its decisions' names behind a prefix."""
    of = {name: max(options[factor]) for name, factor in FACTORS.items() if factor in options}
    found = {f"layer_{i}_{name}": size for i in range(options["layers"]) for name, size in of.items()}
    found["width"] = max(options["widths"])
    if "depths" in options:
        found["depth"] = options["layers"]
    return ",".join(f"{prefix}{name}={size}" for name, size in found.items())


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """One option of each: the largest, all layers, and attention to the encoder's last."""
    fixed = {name: (max(options[name]),) for name in ("heads", "ratios", "widths")}
    return {**{name: of for name, of in options.items() if name not in ("depths", "sources")}, **fixed}
