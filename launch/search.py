"""Search, retrain what was found, and say how it compares.

    python -m launch.search                                    # configs/quickstart.py
    python -m launch.search --config=configs/NAME.py --workdir=DIR --config.KEY=VALUE

A workdir that holds an unfinished run of the same config is resumed, also with another number of devices or hosts;
`--config.rounds` may grow. It gets config.json, history.jsonl (a line for each evaluation), metrics.jsonl (a line for
each round, with where its seconds went), checkpoints/, result.json and pictures.

One search on several hosts is the same command on each, with `--multihost`: see launch/pod.sh and launch/hosts.sh. Only
process 0 needs the workdir.
"""

import datetime
import json
import math
import pathlib
import sys
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from jaxnas import check, plots, processes
from jaxnas.check import InputError
from jaxnas.compatibility import check_pair
from jaxnas.machine import configure, environment
from jaxnas.result import Result
from jaxnas.rows import plain
from jaxnas.search import Phase, search
from jaxnas.strategies import random_search, relaxed
from jaxnas.workdir import claim, write
from launch import fronts, latency, observe, report
from launch.wiring import (
    LATER_KEYS,
    PART_KEYS,
    SEARCH_KEYS,
    Parts,
    build,
    check_keys,
    define_config,
    define_processes,
    ending_together,
    known_of,
    only_random,
    parse_flags,
    workdir_of,
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; options are given as --config.KEY=VALUE.")
    try:
        configure()
        processes.connect(_PROCESSES())
    except InputError as error:
        sys.exit(f"launch.search: {error}")
    config = _CONFIG.value.to_dict()
    name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = workdir_of("launch.search", _WORKDIR.value, f"{name}-{stamp}")
    try:
        with ending_together("launch.search"):
            devices = sharing(_DATA_PARALLEL.value)
            with observe.watching(workdir, tensorboard=_TENSORBOARD.value, profile=_PROFILE.value) as watch:
                run(config, workdir, checkpoint_seconds=_CHECKPOINT.value, devices=devices, on_round=watch)
    except KeyboardInterrupt:
        sys.exit(report.interrupted("launch.search", workdir))


def sharing(data_parallel: int) -> list | None:
    """The devices that share each batch of a supernet, None for one."""
    n = jax.device_count()
    known = (1, n) if jax.process_count() > 1 else range(1, n + 1)  # every process must have some
    if data_parallel not in known:
        raise InputError(
            f"data_parallel: expected {f'1 to {n}' if jax.process_count() == 1 else f'1 or {n}'}, the devices there "
            f"are, got {data_parallel}."
        )
    return None if data_parallel == 1 else jax.devices()[:data_parallel]


def run(
    config: dict,
    workdir: pathlib.Path,
    *,
    checkpoint_seconds: float = 10.0,
    devices: list | None = None,
    on_round: Callable[[dict], None] | None = None,
) -> dict:
    """The whole program; returns what result.json holds.

    That file is there as soon as the search is, and again with what each later step adds to it; `complete` says whether
    all did.

    Raises:
      InputError: what cannot be, before anything runs; nothing succeeded.
    """
    check_keys(config, SEARCH_KEYS, (*PART_KEYS, *LATER_KEYS))
    check.integer("config.rounds", config["rounds"], least=1)
    parts = build(config, workdir, devices)
    check_pair(parts.strategy, parts.evaluator)
    known_of(parts.space, config, parts.space.sample(jax.random.key(0)))  # refuses a table that does not fit, now
    fronts.given_reference(config, parts.evaluator.cost_names)
    report.check_later(parts, config)
    if parts.latency is not None and processes.is_first():  # what a resumed run goes on with
        claim(workdir, *identity(config))
        parts.latency.table.save(workdir / latency.FILE)
    print(f"{report.relative(workdir)}: {parts.strategy.name} on {parts.space.name} ({_count(parts.space)})")
    several = jax.device_count() > 1 and jax.default_backend() != "cpu"
    if several and devices is None and "shared" in parts.evaluator.gives:
        print(f"on 1 of {jax.device_count()} devices; --data_parallel={jax.device_count()} shares each batch")
    options = {"checkpoint_seconds": checkpoint_seconds, "on_round": on_round}
    found = searched(parts, phases(parts, config), config, workdir, **options)
    _refuse_failure(found, workdir)
    print(f"found {found.architecture}\n  {_summary(found)}")
    note = only_random(config["strategy"], found.evaluations)
    if note:
        print(f"  {note}")
    shared = "shared" in parts.evaluator.gives
    collapse = report.collapse(parts.space, found.genome) if shared else {}
    if collapse:
        counts = ", ".join(f"{cell} {n}" for cell, n in collapse["skip_connections"].items())
        print(f"  skip connections, by cell: {counts}{'; the search COLLAPSED' if collapse['collapsed'] else ''}")
    if getattr(found.state.strategy, "stopped", False):
        print("  stopped early, by the growth of curvature")
        collapse["stopped_early"] = True
    growth = _growth(parts, found)
    known = known_of(parts.space, config, found.genome)
    for metric, value in known.get("table", {}).items():
        print(f"  {metric}: {value:.4f}")
    raw = fronts.before_objective(found)
    if raw:
        said = ", ".join(f"{name} {value:.4g}" for name, value in found.cost.items())
        print(f"  {raw['raw_fitness']:.4f} before the objective; {said}")
    front = fronts.found(parts, found.history, config)
    if front is not None:
        print(f"  {fronts.in_words(front)}")
    result = {
        "architecture": found.architecture,
        "genome": plain(found.genome),
        "fitness": found.fitness,
        **raw,
        "cost": found.cost,
        "test_accuracy": None,
        "evaluations": found.evaluations,
        "invalid": found.invalid,
        **growth,
        "rounds": config["rounds"],
        **known,
        **collapse,
        **({} if front is None else front.result),
        "retrained": {},
        "xla_compiles": found.xla_compiles,
        "compile_seconds": found.compile_seconds,
        "wall_seconds": found.wall_seconds,
        "evaluator": parts.evaluator.report(),
        **environment(),
        "complete": False,
    }

    def keep(**more) -> None:
        result.update(more)
        if processes.is_first():
            write(workdir / "result.json", json.dumps(result, indent=2))

    keep()
    try:
        if parts.latency is not None:
            keep(**_latencies(parts, found, front))
        curves = {parts.strategy.name: [line["fitness"] for line in found.history]}
        if (config.get("retrain") or {}).get("seeds"):
            architectures = {"found": found.architecture}
            if config.get("random_search"):
                print("random search at the same cost")
                baseline = searched(
                    parts,
                    _random(parts, config),
                    config,
                    workdir / "random_search",
                    checkpoint_seconds=checkpoint_seconds,
                )
                curves["random_search"] = [line["fitness"] for line in baseline.history]
                architectures["random search"] = baseline.architecture
            if config.get("reference"):
                architectures["residual cell"] = config["reference"]
            print(f"retraining on train + validation, {config['retrain']['seeds']} seeds each ...")
            rows = report.retrained(parts, config, architectures)
            keep(retrained=rows)
            rows |= report.classical(parts.task)
            accuracy = rows["found"].get("test_accuracy")
            keep(test_accuracy=sum(accuracy) / len(accuracy) if accuracy else None)
            print(report.table(rows))
        if not processes.is_first():
            return result
        files = ["result.json", "history.jsonl", *_draw(parts, config, found, front, curves, collapse, workdir)]
        keep(complete=True)
    except Exception:
        if processes.is_first():
            where = report.relative(workdir / "result.json")
            print(f"the search is finished, and its result is in {where}; the same command repeats what comes after it")
        raise
    print(f"{', '.join(files[:-1])} and {files[-1]} are in {report.relative(workdir)}")
    return result


def _refuse_failure(found: Result, workdir: pathlib.Path) -> None:
    """Raises `InputError` where no evaluation succeeded: what was recommended is a random architecture then."""
    if any(line["valid"] for line in found.history):
        return
    errors = [line["error"] for line in found.history if line.get("error")]
    why = f"; the first says: {errors[0]}" if errors else ", they failed or gave what is no finite number"
    raise InputError(
        f"none of the {found.evaluations} evaluations succeeded{why}. They are in "
        f"{report.relative(workdir / 'history.jsonl')}."
    )


def _growth(parts: Parts, found: Result) -> dict:
    """What there is to say of networks that grow: when the task was solved, and what found no room."""
    growth = {}
    if any("solved" in line for line in found.history):
        growth["solved"] = solved = _solved(found.history)
        print(
            f"  solved in round {solved['round']}, evaluation {solved['evaluations']:,}" if solved else "  not solved"
        )
    if parts.space.overflow is not None:
        growth["overflow"] = found.overflow
        if found.overflow:
            print(
                f"  {found.overflow:,} mutations found no room for a node or connection; "
                "config.space.hidden and .connections give more"
            )
    misplaced = int(getattr(found.state.strategy, "misplaced", 0))
    if misplaced:
        growth["misplaced"] = misplaced
        print(
            f"  {misplaced:,} genomes found no place for a species of their own; config.strategy.max_species gives more"
        )
    return growth


def _latencies(parts: Parts, found: Result, front: fronts.Found | None) -> dict:
    """Predicted and measured latency of what was found, and what the last probabilities expect."""
    members = [np.array(m["genome"]) for m in front.result["front"]] if front is not None else []
    measured = latency.remeasured(parts.latency, parts.space, parts.network, [found.genome, *members])
    own, latencies = measured[0], {"latency": measured}
    logits = getattr(found.state.strategy, "logits", None)
    if logits is not None:
        probabilities = relaxed.softmax(parts.space, logits)
        latencies["expected_latency_ms"] = float(parts.latency.model.expected_latency(probabilities))
    print(f"  predicted {own['predicted_ms']:.4g} ms, measured {own['measured_ms']:.4g} (noise {own['noise']:.1%})")
    return latencies


def _draw(parts, config, found, front, curves, collapse, workdir) -> list[str]:
    """Draws what there is to see of the search; names of the files."""
    plots.architecture(parts.space, found.genome, workdir / "architecture.png", title=found.architecture)
    if "shared" in parts.evaluator.gives:  # fitness ages with the weights: a best so far would say nothing
        curve = "search.png"
        plots.shared_weights(found.history, workdir / curve, cells=tuple(collapse.get("skip_connections", ())))
    else:
        curve = "anytime.png"
        objective = (config.get("objective") or {}).get("name")
        plots.anytime(curves, workdir / curve, ylabel=(objective or _fitness_name(config)).replace("_", " "))
    pictures = ["architecture.png", curve]
    if "species" in parts.strategy.recorded:
        plots.species(found.history, workdir / "species.png")
        pictures.append("species.png")
    if front is not None:
        pictures += fronts.draw(front, parts.evaluator.cost_names, workdir, ylabel=_fitness_name(config))
    return pictures


def _random(parts: Parts, config: dict) -> list[Phase]:
    """Random search of the same cost: as many candidates, or as many weight steps where weights are shared."""
    if "shared" not in parts.evaluator.gives:
        same = {k: config["strategy"][k] for k in ("proposals", "budget") if k in config["strategy"]}
        return [Phase(random_search(parts.space, **same), config["rounds"])]
    P = 10
    paths = Phase(random_search(parts.space, proposals=P, budget=1), -(-config["evaluator"]["steps"] // P))
    return [paths, Phase(random_search(parts.space, proposals=P), 10)]


def phases(parts: Parts, config: dict) -> list[Phase]:
    """The strategy's, after a warm-up where the config has one."""
    first = [Phase(parts.warm_up, config["warm_up"]["rounds"])] if parts.warm_up else []
    return [*first, Phase(parts.strategy, config["rounds"])]


def searched(parts: Parts, phases: list[Phase], config: dict, workdir: pathlib.Path, **options) -> Result:
    """The search in the workdir, from where it stands there; `options` are those of `search`."""
    same, settings = identity(config)
    return search(
        parts.space,
        phases,
        parts.evaluator,
        seed=config["seed"],
        workdir=str(workdir),
        config=same,
        settings=settings,
        **options,
    )


def identity(config: dict) -> tuple[dict, dict]:
    """What makes it the same run, and the rest, which may differ from one call to the next (see `search`)."""
    later = ("rounds", *LATER_KEYS)
    return {k: v for k, v in config.items() if k not in later}, {k: config.get(k) for k in later}


def _summary(found: Result) -> str:
    fitness = "not scored alone" if found.fitness is None else f"fitness {found.fitness:.4f}"
    invalid = f" ({found.invalid} invalid)" if found.invalid else ""
    return (
        f"{fitness} after {found.evaluations} evaluations{invalid} in {found.wall_seconds:.0f} s, "
        f"{found.compile_seconds:.0f} s of it {found.xla_compiles} compiles"
    )


def _count(space) -> str:
    return f"{space.size:,} genomes" if math.isfinite(space.size) else "unbounded search space"


def _solved(history: list[dict]) -> dict[str, int] | None:
    """Where the first member was that did what the task asks for."""
    for number, line in enumerate(history, 1):
        if line.get("solved"):
            return {"round": line["round"], "evaluations": number}
    return None


def _fitness_name(config: dict) -> str:
    names = {"loss": "negative validation loss", "accuracy": "validation accuracy"}
    return names.get(config["evaluator"].get("fitness"), config["evaluator"].get("fitness", "fitness"))


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _CONFIG = define_config("configs/quickstart.py")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept; by default runs/CONFIG-DATE-TIME.")
    _CHECKPOINT = flags.DEFINE_float("checkpoint_seconds", 10.0, "Save at least this often.", lower_bound=0)
    _DATA_PARALLEL = flags.DEFINE_integer("data_parallel", 1, "Devices that share each batch of a supernet.")
    _TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write metrics for TensorBoard into the workdir as well.")
    _PROFILE = flags.DEFINE_integer("profile", 0, "Rounds, after the first, to trace into the workdir.", lower_bound=0)
    _PROCESSES = define_processes()
    app.run(main, flags_parser=parse_flags)
