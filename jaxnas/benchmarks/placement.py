"""Where a trained decoder keeps full attention: what strategies find, on text that none of them has seen."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, costs
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.files import get_config
from jaxnas.config.wiring import Parts, build
from jaxnas.costs import sizes
from jaxnas.networks import DecodeStep
from jaxnas.search import Phase, search
from jaxnas.statistics import rank_correlation
from jaxnas.strategies import additive, nsga2
from jaxnas.training import Recipe, trainer

SINGLE, SEARCHED, EVOLVED, SPACED = "replacement scores", "additive", "evolution", "evenly spaced"


def measure(
    *,
    config: str = "postnas:smollm2",
    evaluations: int = 104,
    counts: Sequence[str] = ("3", "5", "10", "15", "20", "25"),
    held_out: int = 4,
    text: str = "",
    context: int = 1024,
    seed: int = 0,
) -> dict[str, Any]:
    """Loss by the number of layers that keep attention, before any training.

    Args:
      config: of `replacements` with one mixer beside attention; a warm-up is run, what comes after the search is not.
      evaluations: of each search, for its whole front.
      counts: of layers that keep attention.
      held_out: examples of the test split, which no search sees.
      text: a file, or a folder, of another kind of text to score on too.
      context: tokens, at which the cache counts and decoding is timed.
      seed: of the searches.

    Returns:
      `loss` (method -> domain -> count -> nats a token, "validation" being what is searched on), `kept` (method ->
      count -> layers), `decode` (count -> cache_kb and ms a token of what `additive` found), `sums` (how the sum of
      replacement scores ranks true losses, and what it predicts), `seconds` of each search and of the front of all
      budgets by one call.

    Raises:
      InputError: a config of other replacements, a count or a number out of its range.
    """
    check.integer("evaluations", evaluations, least=8)
    check.integer("held_out", held_out, least=1)
    parts = build(settings := get_config(config))
    L = len(parts.space.decisions)
    if any(len(options) != 2 for options in parts.space.options):
        raise InputError(f"config: expected one replacement for each layer, {config} has {parts.space.options[0]}.")
    counts = [int(count) if str(count).isdecimal() else count for count in counts]
    for count in counts:
        check.integer("counts", count, least=1, most=L - 1)
    scoring = _trained(parts, settings, seed)
    domains = {"held out": parts.task.test.take(np.arange(min(held_out, parts.task.test.size)))}
    if text:
        other = registry.make("task", {**settings["task"], "source": "", "path": text})
        domains["other text"] = other.test.take(np.arange(min(held_out, other.test.size)))
    score = scores_of(parts, scoring.variables(scoring.init(jax.random.key(seed))))
    seconds: dict[str, float] = {}
    found = {SPACED: {k: _spaced(L, k) for k in counts}}
    begin = time.perf_counter()
    strategy = additive(parts.space, costs=scoring.cost_names)
    first = search(parts.space, strategy, scoring, rounds=-(-(L + 1) // 8), seed=seed)
    seconds["replacement scores"] = time.perf_counter() - begin
    state = first.state.strategy
    of_all = jax.jit(lambda state: state.front())
    jax.block_until_ready(of_all(state))
    begin = time.perf_counter()
    front = jax.block_until_ready(of_all(state))
    seconds["front of all budgets"] = time.perf_counter() - begin
    found[SINGLE] = _by_count(np.asarray(front.genome), np.asarray(front.fitness), counts)
    history = {}
    for name, searched in {
        SEARCHED: strategy,
        EVOLVED: nsga2(parts.space, costs=scoring.cost_names, population_size=24, proposals=8),
    }.items():
        begin = time.perf_counter()
        history[name] = search(parts.space, searched, scoring, rounds=-(-evaluations // 8), seed=seed).history
        seconds[name] = time.perf_counter() - begin
        genomes = np.stack([parts.space.from_string(row["architecture"]) for row in history[name]])
        found[name] = _by_count(genomes, np.array([row["fitness"] for row in history[name]]), counts)
    loss: dict[str, dict] = {}
    for name, by_count in found.items():
        for domain, examples in {"validation": validation_of(settings, parts), **domains}.items():
            loss.setdefault(name, {})[domain] = {k: score(genome, examples) for k, genome in by_count.items()}
    whole = {domain: score(np.zeros(L, int), examples) for domain, examples in domains.items()}
    none = {domain: score(np.ones(L, int), examples) for domain, examples in domains.items()}
    kept = {name: {k: np.flatnonzero(g == 0).tolist() for k, g in of.items()} for name, of in found.items()}
    return {
        "layers": L,
        "loss": loss,
        "all attention": whole,
        "no attention": none,
        "kept": kept,
        "sums": _sums(state, history[EVOLVED], parts),
        "decode": _decoding(parts, found[SEARCHED], context),
        "seconds": seconds,
    }


def _trained(parts: Parts, config: Mapping[str, Any], seed: int):
    """The evaluator with what its warm-up, if there is any, has trained."""
    if parts.warm_up is None:
        return parts.evaluator
    phase = Phase(parts.warm_up, config["warm_up"]["rounds"])
    state = search(parts.space, [phase], parts.evaluator, seed=seed).state.evaluator
    return parts.evaluator._replace(init=lambda key: state)


def scores_of(parts: Parts, variables: Any) -> Callable:
    """`(genome, examples) -> loss`."""
    of = trainer(parts.network, parts.task, Recipe())
    run = jax.jit(lambda variables, genome, x: of.score(variables, parts.space.unpack(genome), x)[0])
    return lambda genome, examples: float(run(variables, jnp.asarray(genome, jnp.int32), examples))


def validation_of(config: Mapping[str, Any], parts: Parts):
    """What paths are scored on, see `evaluators.supernet`."""
    n, split = config["evaluator"].get("examples"), parts.task.validation
    rows = jax.random.permutation(jax.random.key(0), jnp.arange(split.size, dtype=jnp.int32))
    return split if n is None else split.take(rows[:n])


def _spaced(layers: int, count: int) -> np.ndarray:
    kept = {int((i + 0.5) * layers / count) for i in range(count)}
    return np.array([i not in kept for i in range(layers)], np.int32)


def _by_count(genomes: np.ndarray, fitness: np.ndarray, counts: Sequence[int]) -> dict[int, np.ndarray]:
    """The fittest with so many layers that keep attention, or with fewer; without counts of which there is none."""
    kept = (genomes == 0).sum(1)
    rows = {count: np.flatnonzero((kept <= count) & np.isfinite(fitness)) for count in counts}
    return {count: genomes[at[np.argmax(fitness[at])]] for count, at in rows.items() if len(at)}


def _sums(state: Any, history: Sequence[Mapping[str, Any]], parts: Parts) -> dict[str, Any]:
    """How the sum of replacement scores ranks what evolution evaluated."""
    genomes = np.stack([parts.space.from_string(row["architecture"]) for row in history])
    true = np.array([row["fitness"] for row in history])
    told = np.asarray(state.replaced_fitness)
    base = told[0, int(np.asarray(state.start)[0])]
    summed = base + (np.take_along_axis(told, genomes.T, 1) - base).sum(0)
    kept, found = (genomes == 0).sum(1), {}
    for name, rows in {"all": kept >= 0, "at most half": kept <= len(told) / 2}.items():
        if rows.sum() > 2:
            value, low, high = rank_correlation(true[rows], summed[rows], measures=["spearman"])["spearman"]
            means = {"mean": -float(true[rows].mean()), "mean_of_sums": -float(summed[rows].mean())}
            found[name] = {"networks": int(rows.sum()), "spearman": value, "low": low, "high": high, **means}
    return found


def _decoding(parts: Parts, found: Mapping[int, np.ndarray], context: int) -> dict[str, Any]:
    """Kilobytes of cache, and ms a token, of the parent and of three points."""
    cost = sizes.cache_size(parts.space, parts.network, None, length=context)
    counts = sorted(found)
    points = {len(parts.space.decisions): np.zeros(len(parts.space.decisions), np.int32)}
    points |= {k: found[k] for k in (counts[0], counts[len(counts) // 2])}
    step, x = DecodeStep(parts.network, context), jax.ShapeDtypeStruct((1, 1), jnp.int32)
    timings = costs.measure_networks(costs.compile_networks(parts.space, step, list(points.values()), x))
    return {
        count: {"cache_kb": float(cost.cost(jnp.asarray(genome))), "ms": 1e3 * timing.median}
        for (count, genome), timing in zip(points.items(), timings, strict=True)
    }
