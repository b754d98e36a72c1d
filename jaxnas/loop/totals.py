"""What a search has come to so far, counted as it goes."""

import numpy as np


class Totals:
    """Counts over all evaluations, and by round what `metrics.jsonl` has of it.

    Attributes:
      evaluations: all of them.
      invalid: those that failed or diverged.
      best: the highest fitness so far, NaN before any.
      overflow: structural mutations dropped because a genome's fixed capacity was full, each counted at birth.
    """

    def __init__(self):
        self.evaluations = self.invalid = self.overflow = 0
        self.best = float("nan")
        self._dropped: dict[int, int] = {}

    def add(self, rows: np.ndarray, first: int, rounds: int) -> list[dict]:
        """Adds the rows of so many rounds from number `first` on; the metrics after each of them."""
        if "overflow" in rows.dtype.names:
            self._add_overflow(rows)
        at, valid = rows["round"] - first, rows["valid"]
        fitness = rows["fitness"].astype(np.float64)
        per_round = lambda *weights: np.bincount(at, *weights, minlength=rounds)
        evaluations = self.evaluations + per_round().cumsum()
        invalid = self.invalid + per_round(~valid).astype(int).cumsum()
        best = np.full(rounds, np.nan)
        np.fmax.at(best, at[valid], fitness[valid])
        best = np.fmax.accumulate(np.append(self.best, best))[1:]
        with np.errstate(invalid="ignore"):  # a round without a valid member has no mean
            mean = per_round(np.where(valid, fitness, 0)) / per_round(valid)
        self.evaluations, self.invalid, self.best = int(evaluations[-1]), int(invalid[-1]), float(best[-1])
        columns = zip(evaluations.tolist(), invalid.tolist(), best.tolist(), mean.tolist(), strict=True)
        return [
            {"round": first + t, "evaluations": n, "invalid": bad, "best": _known(top), "fitness": _known(middle)}
            for t, (n, bad, top, middle) in enumerate(columns)
        ]

    def _add_overflow(self, rows: np.ndarray) -> None:
        """Genomes carry what their lineage dropped; the parent's part is not the child's own."""
        dropped = rows["overflow"].tolist()
        phase = rows["phase"].astype(np.int64) << 32  # in each, ids begin again
        self._dropped.update(zip((phase + rows["id"]).tolist(), dropped, strict=True))
        parents = (phase + rows["parent"][:, 0]).tolist()
        self.overflow += sum(dropped) - sum(self._dropped.get(parent, 0) for parent in parents)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
