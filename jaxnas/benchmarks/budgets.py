"""What is kept of a trained decoder within a budget: a search by `additive`, beside cuts that need none."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.benchmarks.placement import scores_of, validation_of
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.variables import restored
from jaxnas.loop import history_file
from jaxnas.strategies._additive_model import AdditiveState
from jaxnas.types import Space
from jaxnas.workdir import read_config


def measure(
    *,
    workdir: str,
    cost: str = "parameters_k",
    shares: Sequence[str] = ("95", "90", "85", "80", "70", "60"),
    held_out: int = 4,
    text: str = "",
) -> dict[str, Any]:
    """Loss within budgets of one cost, before any training, on text that the search did not see.

    Args:
      workdir: of a finished search by `additive` of the parent's replacements.
      cost: its name.
      shares: budgets, percent of what the parent costs.
      held_out: examples of the test split.
      text: a file, or a folder, of another kind of text to score on too.

    Returns:
      `loss` (method -> domain -> share -> nats a token, "validation" being what was searched on; null where nothing is
      within the budget), `kept` (method -> share -> architecture), `parent` (domain -> loss). Methods: "replacement
      scores" (the exact optimum of their sum), "additive" (the best that it evaluated), "sensitivity" (as FastNAS, of
      the same scores), "uniform width" (all layers alike), "uniform depth" (whole layers left out, evenly spaced).

    Raises:
      InputError: no such search, an unknown cost, a number out of its range.
    """
    check.integer("held_out", held_out, least=1)
    for share in shares:
        if not str(share).replace(".", "", 1).isdecimal():
            raise InputError(f"shares: expected percents like 85 or 97.5, got {share!r}.")
    parts, found = restored(workdir)
    state, settings = found.strategy, read_config(check.local_path("workdir", workdir) / "config.json")
    if not isinstance(state, AdditiveState):
        raise InputError(f"workdir: expected a search by the strategy additive, {workdir} has another.")
    check.one_of("cost", cost, parts.evaluator.cost_names)
    axis = parts.evaluator.cost_names.index(cost)
    alone = state.replace(replaced_cost=state.replaced_cost[..., [axis]], cost=state.cost[:, [axis]]).alone()
    cost_of = jax.jit(lambda genome: jnp.atleast_1d(parts.cost.cost(genome))[axis])
    whole = float(cost_of(state.start))
    score = scores_of(parts, parts.evaluator.variables(found.evaluator))
    n = min(held_out, parts.task.test.size)
    domains = {"validation": validation_of(settings, parts), "held out": parts.task.test.take(np.arange(n))}
    if text:
        other = registry.make("task", {**settings["task"], "source": "", "path": text})
        domains["other text"] = other.test.take(np.arange(min(held_out, other.test.size)))
    front = jax.jit(lambda state: state.front())(alone)
    history = history_file.read(workdir, parts.space)
    alike, fewer = _alike(parts.space), _fewer(parts.space)
    pools = {  # genomes, and which of them is taken among those within a budget: that of the largest number
        "replacement scores": (np.asarray(front.genome), np.asarray(front.fitness)),
        "additive": (history.genomes, np.where(history.column("valid"), history.column("fitness"), -np.inf)),
        "uniform width": (alike, np.array([-score(genome, domains["validation"]) for genome in alike])),
        "uniform depth": (fewer, -np.arange(len(fewer))),
    }
    costs = {name: np.array([cost_of(jnp.asarray(genome)) for genome in pool]) for name, (pool, _) in pools.items()}
    loss: dict[str, dict] = {name: {domain: {} for domain in domains} for name in (*pools, "sensitivity")}
    kept: dict[str, dict] = {name: {} for name in loss}
    for share in shares:
        most = whole * float(share) / 100
        chosen = {"sensitivity": np.asarray(alone.least_sensitive(jnp.array([most])))}
        for name, (pool, value) in pools.items():
            rows = np.flatnonzero((costs[name] <= most * (1 + 1e-6)) & np.isfinite(value))
            chosen[name] = pool[rows[np.argmax(value[rows])]] if len(rows) else None
        for name, genome in chosen.items():
            kept[name][share] = None if genome is None else parts.space.to_string(genome)
            for domain, examples in domains.items():
                loss[name][domain][share] = None if genome is None else score(genome, examples)
    parent = {domain: score(np.asarray(state.start), examples) for domain, examples in domains.items()}
    return {"cost": cost, "of_parent": whole, "parent": parent, "loss": loss, "kept": kept}


def _alike(space: Space) -> np.ndarray:
    """Genomes of which all layers are the same: every mixer with every feed-forward network."""
    kinds = [name.split("_")[-1] for name in space.decisions]
    counts = {kind: len(options) for kind, options in zip(kinds, space.options, strict=True)}
    rows = itertools.product(*map(range, counts.values()))
    return np.array([[dict(zip(counts, row, strict=True))[kind] for kind in kinds] for row in rows], np.int32)


def _fewer(space: Space) -> np.ndarray:
    """Genomes without 1, 2, … whole layers, evenly spaced; none where a layer cannot be left out."""
    of = [int(name.split("_")[1]) for name in space.decisions]
    labels = [[str(option) for option in options] for options in space.options]
    gone = np.array([next((i for i, o in enumerate(each) if o in ("none", "0")), 0) for each in labels])
    layers = 1 + max(of)
    out = [{int((i + 0.5) * layers / count) for i in range(count)} for count in range(1, layers)]
    return np.array([[gone[d] * (of[d] in without) for d in range(len(of))] for without in out if gone.all()], np.int32)
