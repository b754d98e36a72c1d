"""A table in words."""

import numpy as np

from jaxnas.tables.table import Column, Table


def summary(table: Table) -> str:
    """What is in a table, a line for each column."""
    rows = np.asarray(table.rows)
    lines = [f"{table.name}: {(rows >= 0).sum():,} of {len(rows):,} architectures, budgets in {table.unit}"]
    if (rows < 0).any():
        lines.append(f"  {(rows < 0).sum():,} combinations were never measured; searches see them as failures")
    for name, column in table.columns.items():
        finite = np.isfinite(column.values)
        known = column.values[finite]
        without = int((~finite.any((1, 2)))[rows[rows >= 0]].sum())
        span = f"{known.min():.6g} to {known.max():.6g}" if known.size else "nothing"
        missing = 1 - known.size / max(column.values.size, 1)
        parts = [f"  {name} ({column.kind}): {span}", f"{len(column.seeds)} seed(s)"]
        parts += [f"budgets {_listed(column.budgets)}"] * (column.budgets != (0,))
        parts += [f"{missing:.1%} missing"] * (missing > 0)
        parts += [f"{without:,} architectures {_says_nothing(column)}"] * (without > 0)
        parts += ["less is better"] * (column.kind == "metric" and not column.higher_is_better)
        lines.append("; ".join(parts))
    return "\n".join(lines)


def _says_nothing(column: Column) -> str:
    """What it means that an architecture has no number there; -1 stands for unknown where less is better."""
    if column.kind == "metric":
        return "failed" if column.higher_is_better else "failed or unknown"
    return "unknown"


def _listed(budgets: tuple[int, ...]) -> str:
    return ", ".join(map(str, budgets)) if len(budgets) < 8 else f"{budgets[0]}, {budgets[1]} … {budgets[-1]}"
