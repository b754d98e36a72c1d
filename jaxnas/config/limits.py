"""Limits on costs in a config: numbers, or shares ("50%") of what the reference costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.cost import Cost
from jaxnas.types import Evaluator, Space


def check_limits(where: str, given: Mapping[str, Any] | None, names: Sequence[str], reference: str | None) -> None:
    """Raises `InputError` for an unknown cost, what is no number, or a share without `config.reference`.

    Args:
      where: what the limits are called.
      given: cost -> number or share.
      names: of all costs.
      reference: `config.reference`.
    """
    for name, value in (given or {}).items():
        check.one_of(where, name, names)
        if not _number(where, name, value[:-1] if _is_share(value) else value) > 0:
            raise InputError(f"{where}.{name}: expected a positive number or share, got {value!r}.")
        if _is_share(value) and not reference:
            raise InputError(f"{where}.{name}: {value!r} is a share of config.reference, which has none.")


def limits_of(where: str, given: Mapping[str, Any] | None, reference: Mapping[str, float]) -> dict[str, float]:
    """Cost -> the most it may be: a number, or a share of the reference's.

    Raises:
      InputError: a share of what is not known, or nothing.
    """
    limits = {}
    for name, value in (given or {}).items():
        limits[name] = _number(where, name, value[:-1] if _is_share(value) else value)
        if _is_share(value):
            whole = reference.get(name, math.nan)
            if not whole > 0:
                known = "not known" if math.isnan(whole) else f"{whole:g}"
                raise InputError(f"{where}.{name}: that of config.reference is {known}; give a number, not {value!r}.")
            limits[name] *= whole / 100
    return limits


def has_shares(given: Any) -> bool:
    """Whether a limit is a share."""
    return isinstance(given, Mapping) and any(map(_is_share, given.values()))


def reference_costs(space: Space, evaluator: Evaluator, cost: Cost | None, reference: str | None) -> dict[str, float]:
    """Cost -> that of `config.reference`; empty where there is none, or nothing knows it."""
    if not reference or not evaluator.cost_names:
        return {}
    genome = space.from_string(reference)
    if cost is not None:
        values = np.atleast_1d(np.asarray(cost.cost(jnp.asarray(genome))))
        return dict(zip(cost.names, values.tolist(), strict=True))
    if evaluator.known is None:
        return {}
    values = np.asarray(evaluator.known().cost[space.index(jnp.asarray(genome))])
    return dict(zip(evaluator.cost_names, values.tolist(), strict=True))


def _is_share(value: Any) -> bool:
    return isinstance(value, str) and value.endswith("%")


def _number(where: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}.{name}: expected a number or a share like '50%', got {value!r}.") from None
