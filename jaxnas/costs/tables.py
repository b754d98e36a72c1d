"""Tables of measured operations: what a space's architectures take on one device, as a file."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.costs.calibration import calibrate
from jaxnas.costs.measure import LATENCY, Meter, environment
from jaxnas.costs.operations import Operations
from jaxnas.costs.timing import Timing, noise_floor
from jaxnas.types import Genome, Space

FORMAT = "jaxnas cost table 1"


class Entry(NamedTuple):
    """Of one operation.

    Attributes:
      ms: measured alone.
      noise: see `Timing.noise`.
      calibrated_ms: what it adds to a network.
    """

    ms: float
    noise: float
    calibrated_ms: float


class CostTerm(NamedTuple):
    """What some decisions together add to the cost.

    Attributes:
      decisions: their positions.
      values: `[options of the first, of the second, ...]`.
    """

    decisions: tuple[int, ...]
    values: np.ndarray


class CostTable(NamedTuple):
    """What was measured, or estimated, and of which device.

    Attributes:
      cost: its name, which has the unit: "latency_ms", "estimated_latency_ms", "peak_mb".
      environment: device, versions, flags, and the batch's shape and dtype; see `environment`; for estimates what they
        are by, "estimated_by".
      space: its decisions -> their options, as text.
      operations: `Operation.key` -> entry; none where whole networks alone were measured.
      terms: whose sum is the cost of a pruned genome.
      calibration: "networks", how many, their "noise_floor" (see `costs.noise_floor`), and the mean error on them, of
        the sum of times alone "uncalibrated_mape", of the calibrated one "mape"; fractions.
    """

    cost: str
    environment: Mapping[str, Any]
    space: Mapping[str, Sequence[str]]
    operations: Mapping[str, Entry]
    terms: Sequence[CostTerm]
    calibration: Mapping[str, Any]

    @property
    def batch(self) -> Any:
        """Shapes and dtypes of the inputs, a pytree."""
        made = lambda dtype, shape: jax.ShapeDtypeStruct(tuple(shape), dtype)
        return jax.tree.map(made, self.environment["dtype"], self.environment["shape"])

    def save(self, path: str | pathlib.Path) -> None:
        """Writes JSON, whole or not at all."""
        path = check.local_path("path", path)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.fields()))
        partial.replace(path)

    def fields(self) -> dict[str, Any]:
        """What JSON can say of it, costs with six digits; see `table_of`."""
        fields = self._asdict()
        fields["operations"] = {k: e._asdict() for k, e in self.operations.items()}
        rounded = lambda values: np.vectorize(lambda v: float(f"{v:.6g}"), otypes=[float])(values).tolist()
        fields["terms"] = [{"decisions": list(t.decisions), "values": rounded(t.values)} for t in self.terms]
        return {"format": FORMAT, **fields}


def calibrated_table(
    space: Space,
    operations: Operations,
    timings: Mapping[str, Timing],
    genomes: Sequence[Genome],
    networks: Sequence[Timing],
    x: jax.ShapeDtypeStruct,
    meter: Meter,
) -> CostTable:
    """The table of operations, calibrated on whole networks.

    Args:
      space: of the genomes.
      operations: of the space, see `all_operations`.
      timings: of each of them alone.
      genomes: that calibrate, pruned.
      networks: their timings.
      x: shape and dtype of a batch.
      meter: whose timings they are.
    """
    alone = np.array([1e3 * timings[key].median for key in operations.distinct])
    counts, ms = operations.counts(genomes), np.array([1e3 * t.median for t in networks])
    fit = calibrate(counts, alone, operations.classes, ms)
    keyed = zip(operations.distinct, alone, fit.ms, strict=True)
    entries = {key: Entry(float(a), timings[key].noise, float(c)) for key, a, c in keyed}
    terms = [CostTerm(t.decisions, t.counts @ fit.ms) for t in operations.terms]
    errors = {"uncalibrated_mape": counts @ alone, "mape": counts @ fit.ms + fit.constant}
    about = {
        "networks": len(ms),
        "noise_floor": noise_floor({str(i): t for i, t in enumerate(networks)}),
        **{name: float(np.mean(abs(predicted / ms - 1))) for name, predicted in errors.items()},
    }
    constant = CostTerm((), np.asarray(fit.constant))
    there = environment(x) | ({"estimated_by": meter.estimated_by} if meter.estimated_by else {})
    return CostTable(meter.cost, there, named_options(space), entries, [constant, *terms], about)


def named_options(space: Space) -> dict[str, list[str]]:
    """Decision -> its options, as text."""
    return {name: [str(o) for o in options] for name, options in zip(space.decisions, space.options, strict=True)}


OF_A_DEVICE = ("platform", "device", "xla_flags", "processor", "threads", "estimated_by")
"""What an estimate for a device that is not here has of its environment beside what must agree."""


def load_cost_table(
    path: str | pathlib.Path,
    *,
    cost: str = LATENCY,
    batch: jax.ShapeDtypeStruct | None = None,
    allow_device_mismatch: bool = False,
) -> CostTable:
    """Reads a table that `CostTable.save` wrote.

    Args:
      path: of the file.
      cost: what it must be of: no estimate passes for a measurement.
      batch: shape and dtype of the images that it is for; by default those of the table.
      allow_device_mismatch: whether a table of another environment will do.

    Raises:
      InputError: no such file, not such a table, one of another cost, or one that was made in another environment.
    """
    try:
        fields = json.loads(check.local_path("path", path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cost table: {path} cannot be read ({error}); `jaxnas profile` makes one.") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT or set(fields) != {"format", *CostTable._fields}:
        raise InputError(f"cost table: {path} is not one ({FORMAT!r}); `jaxnas profile` makes one.")
    table = table_of(fields)
    if table.cost != cost:
        raise InputError(f"cost table: expected one of {cost}, {path} is of {table.cost}.")
    here = environment(batch or table.batch)
    ignored = OF_A_DEVICE if table.environment.get("estimated_by") else ()
    other = {k: v for k, v in table.environment.items() if k not in ignored and here.get(k) != v}
    if other and not allow_device_mismatch:
        differences = "; ".join(f"{k} {v!r}, here {here.get(k)!r}" for k, v in other.items())
        raise InputError(
            f"cost table: {path} was made elsewhere: {differences}. Make one here with `jaxnas profile`, or say "
            "allow_device_mismatch=True to use it all the same."
        )
    return table


def table_of(fields: Mapping[str, Any]) -> CostTable:
    """The table of which these are the `fields`."""
    operations = {k: Entry(**e) for k, e in fields["operations"].items()}
    terms = [CostTerm(tuple(t["decisions"]), np.asarray(t["values"])) for t in fields["terms"]]
    rest = {name: fields[name] for name in CostTable._fields if name not in ("operations", "terms")}
    return CostTable(operations=operations, terms=terms, **rest)
