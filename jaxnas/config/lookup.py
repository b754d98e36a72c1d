"""Tables in configs: evaluators out of their files, and what they know of an architecture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, evaluators, tables
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.types import Evaluator, Space


def from_table(
    space: Space,
    path: str,
    fitness: str,
    seeds: str | int = "mean",
    costs: str | Sequence[str] = "",
    space_name: str = "",
) -> Evaluator:
    """A table evaluator from a column of a table's file.

    Decisions and options of the space are found in the table's by name, in whatever order each has them.

    Args:
      space: whose genomes are looked up.
      path: of a file (see the program `import_table`), or the name of an embedded table.
      fitness: the column that is to be optimized.
      seeds: "mean" over its trainings, "random" for one of them at each look, or the number of one.
      costs: names of cost columns, or of training seconds: a sequence, or text separated by commas.
      space_name: the config's name of the space, see `space_from_table`.

    Raises:
      InputError: no such file or column; decisions or options that the table has not.
    """
    table = load_table(path)
    column = table.column(fitness)
    rows = match_rows(table, space, f"config.evaluator.path: {path}", space_name)
    if space.from_index is None:  # too large to enumerate: what the table knows is all there is
        space, places = space_from_table(table, space_name), np.arange(len(table.rows))
    else:
        places = rows(jax.vmap(space.from_index)(np.arange(space.size)))
    values = table.by_genome(fitness)[places] * (1 if column.higher_is_better else -1)
    given = {name: values[places] for name, values in cost_columns(table, costs).items()}
    budgets = column.budgets if len(column.budgets) > 1 else ()
    return evaluators.table(space, values, budgets=budgets, seeds=seeds, costs=given)


def match_rows(table: tables.Table, space: Space, where: str, space_name: str = "") -> Callable[[Any], np.ndarray]:
    """`genomes [n, D] of the space -> [n]`, their places in the table's enumeration.

    Decisions and options are matched by name (`16` and `16.0` are one), whatever order the two have them in; options
    that the table has besides do no harm.

    Raises:
      InputError: the table is of other decisions, or lacks an option, which it names; `where` begins the message.
    """
    known = space_from_table(table, space_name)
    others = sorted(set(space.decisions) ^ set(known.decisions))
    if others:
        raise InputError(
            f"{where} is a table of decisions {', '.join(known.decisions)}, but space {space.name!r} has "
            f"{', '.join(space.decisions)}; they differ in {', '.join(others)}."
        )
    order = [space.decisions.index(name) for name in known.decisions]
    places = []
    for name, options, i in zip(known.decisions, known.options, order, strict=True):
        own = space.options[i]
        lacking = [option for option in own if not any(_same(option, other) for other in options)]
        if lacking:
            raise InputError(
                f"{where} has no option {lacking[0]!r} of decision {name!r}, which space {space.name!r} has; it has "
                f"{', '.join(map(str, options))}."
            )
        places.append(np.array([next(j for j, other in enumerate(options) if _same(o, other)) for o in own], np.int32))

    def rows(genomes) -> np.ndarray:
        genomes = np.asarray(genomes)
        mapped = np.stack([place[genomes[:, i]] for place, i in zip(places, order, strict=True)], 1)
        return np.asarray(jax.vmap(known.index)(jnp.asarray(mapped)))

    return rows


def _same(a: Any, b: Any) -> bool:
    """Whether two options are one: by their text, or as numbers."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return str(a) == str(b) or (numbers and a == b)


def cost_columns(table: tables.Table, names: str | Sequence[str]) -> dict[str, np.ndarray]:
    """name -> `[size of the space]`: costs of each genome, the mean over seeds, of the largest budget; NaN for unknown.

    Raises:
      InputError: a column that is none of costs or seconds, listing those.
    """
    if isinstance(names, str):
        names = [name for name in names.split(",") if name]
    if not isinstance(names, (list, tuple)):
        raise InputError(f"table {table.name!r}, costs: expected names of columns, got {names!r}.")
    known = [name for name, column in table.columns.items() if column.kind != "metric"]
    for name in names:
        check.one_of(f"table {table.name!r}, costs", name, known)
    columns = {name: table.by_genome(name)[:, :, -1] for name in names}
    return {name: mean_of_known(column) for name, column in columns.items()}


def mean_of_known(columns: np.ndarray) -> np.ndarray:
    """`[N]` the mean of each row of `[N, S]` over what is known of it, NaN where nothing is."""
    known = np.isfinite(columns)
    count, total = known.sum(1), np.where(known, columns, 0).sum(1, dtype=np.float64)
    # As precise as the column is: digits beyond would look like differences.
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(columns.dtype)


def load_table(name: str) -> tables.Table:
    """The table of a file (also the arrays that `tables.arrays` reads), or the embedded one of that name."""
    path = check.local_path("table", name)
    if not path.suffix and not path.exists():
        path = tables.embedded(name)
    return tables.load(path) if tables.is_table(path) else tables.arrays.read(path)


def lookup_metric(space: Space, path: str, metric: str, genomes, space_name: str = "") -> np.ndarray:
    """`[n]` what a table says of `genomes` `[n, D]`: the mean over trainings of the largest budget, NaN for unknown.

    `space_name` is the config's name of the space, see `space_from_table`.
    """
    table = load_table(path)
    rows = match_rows(table, space, f"table: {path}", space_name)(genomes)
    values = np.append(mean_of_known(table.by_genome(metric)[:, :, -1]), np.nan)  # the last for genomes without a row
    return values[np.minimum(rows, len(values) - 1)]


def higher_is_better(path: str, metric: str) -> bool:
    """Of a column of a table's file."""
    return load_table(path).column(metric).higher_is_better


def table_metrics(space: Space, config: Mapping[str, Any], genome) -> dict[str, dict[str, float]]:
    """What `config.table` (`path`, `metric`) says of a genome: `{"table": {metric: value}}`; empty without a path."""
    table = config.get("table") or {}
    if not table.get("path"):
        return {}
    space_name = (config.get("space") or {}).get("name", "")
    value = lookup_metric(space, table["path"], table["metric"], genome[None], space_name)[0]
    return {"table": {table["metric"]: float(value)}}


def space_from_table(table: tables.Table, space_name: str = "") -> Space:
    """The space whose genomes the table knows.

    A file is data: where it names a user's own space, `package.module:function`, that code is only run if the config
    names it as well.

    Raises:
      InputError: a space of somebody's own that is not `space_name`; not as many rows as that space has genomes.
    """
    name = table.space["name"]
    if ":" in name and name != space_name:
        raise InputError(
            f"table {table.name!r} is of space {name!r}, which is code: if you know it, name it in config.space, got "
            f"{space_name!r} there."
        )
    space = registry.make("space", {**table.space, **({} if table.codes is None else {"codes": table.codes})})
    genomes = space.size if table.codes is None else len(table.codes)
    if len(table.rows) != genomes:
        raise InputError(
            f"table {table.name!r}: {len(table.rows)} rows for the {genomes} genomes of space {space.name!r}."
        )
    return space
