"""The final training of what a search found, beside yardsticks."""

import contextlib
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas import check, evaluators, networks, pretrained, processes, training
from jaxnas.analysis import yardsticks
from jaxnas.analysis.text import relative, spread
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.config.files import get_config
from jaxnas.config.variables import loaded, variables_of
from jaxnas.config.wiring import Parts, build
from jaxnas.machine import environment
from jaxnas.population import PLANS
from jaxnas.references import imported, is_reference
from jaxnas.segments import fingerprint
from jaxnas.tasks import Metric
from jaxnas.training.parent import start
from jaxnas.workdir import read_config, write, writing

OPTIONS = ("steps", "seeds", "plan", "initialize", "distillation", "inherit", "save")
"""What `config.retrain` may have beside fields of the recipe: arguments of `evaluators.retrain`; `inherit`, whether to
begin with the weights that the search trained; `save`, whether what was found is kept in the workdir, in `CHILD`."""
CHILD = "child"
OF_THE_SPACE = ("drop_path", "auxiliary", "initialize", "parent", "distillation", "frozen")
"""Options of which a hand-made network has no part."""


def retrain(
    config: Mapping[str, Any] | str | None = None,
    architecture: str = "",
    *,
    workdir: str | pathlib.Path | None = None,
    output: str = "retrain.json",
    random: int = 0,
    parts: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Retrains an architecture as `config.retrain` says, and random ones beside it, on train + validation.

    Args:
      config: of the search, changed as wanted (another network or task); by default that of the workdir's search.
      architecture: as a string; by default what the workdir's search found.
      workdir: folder of a search, which takes the results; without one they are only returned.
      output: name of the file there.
      random: random architectures beside it.
      parts: see `build`.
      say: is told the table of results.

    Returns:
      `retrained`: name -> parameters, test figures by seed, seconds; with random ones, `random`: where it stands.

    Raises:
      InputError: no search in the workdir; what cannot be retrained, before anything runs; an output of another config.
    """
    folder = None if workdir is None else check.local_path("workdir", workdir)
    config = searched_config(folder) if config is None else config
    config = get_config(config) if isinstance(config, str) else dict(config)
    architecture = architecture or found_in(folder)
    check.integer("random", random, least=0)
    file = None if folder is None else folder / output
    asked = {"architecture": architecture, "random": random}
    if file is not None and file.exists():
        there = json.loads(file.read_text())
        if there.get("config") != _json(config):
            raise InputError(f"output: {file} holds results of another config; give another name.")
        if there.get("asked") != asked:
            raise InputError(f"output: {file} holds results of another architecture or --random; give another name.")
    # What the search was after does not matter here.
    made = build(
        {
            **config,
            "cost": None,
            "objective": None,
            "early_stopping": None,
            "warm_start": None,
            "strategy": {"name": "random_search"},
        },
        {kind: part for kind, part in (parts or {}).items() if kind not in ("strategy", "cost", "objective")},
    )
    check_retraining(made, config, needed=True)
    made.space.from_string(architecture)  # refused before anything runs
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config["seed"]), 1), random)
    drawn = {f"random {i}": made.space.to_string(made.space.sample(k)) for i, k in enumerate(keys)}
    inherits = (config.get("retrain") or {}).get("inherit")
    if inherits and folder is None:
        raise InputError(
            "config.retrain.inherit: expected the workdir of the search whose weights are to be inherited."
        )
    weights = variables_of(folder) if inherits else None
    checkpoints = checkpoint_dir(folder, output)
    rows = retrained(made, config, {"found": architecture, **drawn}, weights, folder, checkpoints)
    result = {"retrained": rows, "asked": asked, "config": config, **environment()}
    shown = rows if random <= 5 else {k: v for k, v in rows.items() if not k.startswith("random ")}
    say(table(shown, made.task.metric))
    if random:
        result["random"] = _compared(rows, random)
        say("\n".join(f"{name}: {value}" for name, value in result["random"].items()))
    if file is not None:
        with writing(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            write(file, json.dumps(result, indent=2))
        remove_checkpoints(checkpoints)
        say(f"results are in {relative(file)}")
    return result


def checkpoint_dir(folder: pathlib.Path | None, output: str) -> pathlib.Path | None:
    """Folder of the checkpoints of trainings whose results will be in a file of that name."""
    return None if folder is None else folder / "retraining" / pathlib.Path(output).stem


def remove_checkpoints(folder: pathlib.Path | None) -> None:
    """Removes checkpoints of trainings whose results are there."""
    if folder is not None and processes.is_first():
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are in it
            folder.parent.rmdir()


def searched_config(workdir: pathlib.Path | None) -> dict[str, Any]:
    """The config of the search in a folder; raises `InputError` where there is none."""
    if workdir is None or not (workdir / "config.json").is_file():
        raise InputError(f"workdir: no config.json in {workdir}; finish a search there, or give a config.")
    return read_config(workdir / "config.json")


def found_in(workdir: pathlib.Path | None) -> str:
    """The architecture that the search in a folder found; raises `InputError` where there is none."""
    if workdir is None or not (workdir / "result.json").is_file():
        raise InputError(f"workdir: no result.json in {workdir}; finish a search there, or give an architecture.")
    return json.loads((workdir / "result.json").read_text())["architecture"]


def _json(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config))


def check_retraining(parts: Parts, config: Mapping[str, Any], *, needed: bool = False) -> None:
    """Raises `InputError` for what would only be found after a search: in `config.retrain` and `config.reference`.

    No seeds are no retraining, which is refused where it is `needed`.
    """
    given = dict(config.get("retrain") or {})
    for key in given:
        check.one_of("config.retrain", key, ("network", *OPTIONS, *training.Recipe._fields))
    if config.get("reference"):
        try:
            parts.space.from_string(config["reference"])
        except InputError as error:
            raise InputError(f"config.reference: {error}") from None
    if not (needed or given.get("seeds")):
        return
    if given.get("inherit") and parts.evaluator.variables is None:
        raise InputError(f"config.retrain.inherit: evaluator {parts.evaluator.name!r} shares no weights.")
    if given.get("save") and (given.get("seeds", 1) != 1 or not isinstance(parts.network, networks.Transformer)):
        raise InputError("config.retrain.save: expected seeds=1, and a networks.Transformer.")
    if parts.task is None or parts.network is None:
        raise InputError("config.retrain: needs a network and a task with examples; without them, give seeds=0.")
    if not given:
        raise InputError("config.retrain: expected steps and seeds, the config has none.")
    network, options = _retraining(parts, config)
    initialize, distillation = start(parts.parent, options.get("initialize"), options.get("distillation"))
    check.integer("config.retrain.steps", options.get("steps"), least=1)
    check.integer("config.retrain.seeds", options.get("seeds", 1), least=1)
    check.one_of("config.retrain.plan", options.get("plan", "auto"), PLANS)
    if config.get("yardstick"):
        yardsticks.hand_made(config["yardstick"], parts.space, parts.task, parts.space.sample(jax.random.key(0)), 1)
    recipe = training.Recipe.of(**{k: v for k, v in options.items() if k in training.Recipe._fields})
    training.trainer(network, parts.task, recipe, distillation=distillation)  # refuses the recipe
    training.fits(parts.space, network, parts.task, recipe, initialize)


def _retraining(parts: Parts, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The network of `config.retrain`, and the options of `evaluators.retrain`."""
    # The learning rate falls along the steps of this training, whatever the search's were.
    fields = {*training.Recipe._fields} - {"schedule_steps"}
    recipe = {k: v for k, v in (config.get("evaluator") or {}).items() if k in fields}
    given = {name: value for name, value in config["retrain"].items() if name not in ("inherit", "save")}
    of_code = lambda where, options: {
        name: imported(f"config.{where}.{name}", value) if is_reference(value) else value
        for name, value in options.items()
    }
    recipe, given = of_code("evaluator", recipe), of_code("retrain", given)
    options = loaded({**recipe, **given, "seed": config["seed"], "parent": parts.parent})
    changed = options.pop("network", None)
    if not changed and not config.get("network"):
        return parts.network, options  # given as a part
    larger = {**config["network"], **(changed or {})}
    return registry.make("network", larger, {"classes": parts.task.outputs, "parent": parts.parent}), options


def retrained(
    parts: Parts,
    config: Mapping[str, Any],
    architectures: Mapping[str, str],
    weights: Mapping[str, Any] | None = None,
    folder: pathlib.Path | None = None,
    checkpoints: pathlib.Path | None = None,
) -> dict[str, dict]:
    """Retrains named architectures as `config.retrain` says; name -> architecture, parameters and test figures.

    `config.retrain.network` says where the network differs from that of the search. With `config.yardstick`, a
    hand-made network beside them, with as many parameters as the first has, which begins afresh and has no teacher.
    With `config.retrain.inherit` trainings begin with `weights`, variables of the search; with `config.retrain.save`
    what the first becomes is in `folder`. An interrupted call goes on with what is in `checkpoints`.
    """
    network, options = _retraining(parts, config)
    # Functions of the data are known by their names alone, their options here.
    workdir = None if checkpoints is None else checkpoints / fingerprint(_json(config.get("task")))
    options = {**options, "workdir": workdir, "progress": True}
    if config["retrain"].get("inherit"):
        options["initialize"] = weights
    parts = parts._replace(network=network)
    given = {name: parts.space.from_string(a) for name, a in architectures.items()}
    architectures = {name: parts.space.to_string(genome) for name, genome in given.items()}  # "largest" has another
    distinct = {architectures[name]: genome for name, genome in given.items()}
    genomes = list(distinct.values())
    if config["retrain"].get("save"):
        scores = _kept(parts, genomes, options, folder)
    else:
        scores = _timed(parts.space, parts.network, parts.task, genomes, options)
    rows = {name: {"architecture": a, **_row(scores, list(distinct).index(a))} for name, a in architectures.items()}
    if config.get("yardstick"):
        size = int(scores["parameters"][0])
        network = yardsticks.hand_made(config["yardstick"], parts.space, parts.task, genomes[0], size)
        options = {k: v for k, v in options.items() if k not in OF_THE_SPACE}
        rows["hand-made"] = _row(_timed(parts.space, network, parts.task, genomes[:1], options), 0)
    return rows


def _timed(space, network, task, genomes, options) -> dict[str, Any]:
    begin = time.perf_counter()
    scores = evaluators.retrain(space, network, task, genomes, **options)
    return {**scores, "seconds": (time.perf_counter() - begin) / len(genomes)}


def _kept(parts: Parts, genomes: Sequence[Any], options: Mapping[str, Any], folder: pathlib.Path | None):
    """As `_timed` of one seed, one after another; variables of the first are saved."""
    begin, found = time.perf_counter(), []
    options = {name: value for name, value in options.items() if name not in ("seeds", "plan")}
    for genome in genomes:
        variables, scores = evaluators.train_alone(parts.space, parts.network, parts.task, genome, **options)
        if not found and folder is not None:
            child, decisions = folder / CHILD, parts.space.unpack(np.asarray(genome))
            shutil.rmtree(child, ignore_errors=True)  # of an earlier call, which was the same
            tokenizer = getattr(parts.parent, "tokenizer", None)
            pretrained.save(pretrained.Pretrained(parts.network, variables, decisions, tokenizer), child)
        found.append(scores)
    joined = {name: np.concatenate([scores[name] for scores in found]) for name in found[0]}
    return {**joined, "seconds": (time.perf_counter() - begin) / len(genomes)}


def _row(scores: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {
        "parameters": int(scores["parameters"][i]),
        **{name: scores[name][i].tolist() for name in sorted(scores) if "test_" in name},
        "seconds": scores["seconds"],  # of all its trainings, compile and all
    }


def table(rows: Mapping[str, Mapping[str, Any]], metric: Metric) -> str:
    """Test figures as text, mean and standard deviation over seeds; fractions in percent."""
    field = f"test_{metric.name}"
    unit = "" if metric.unit in ("", "fraction") else f", {metric.unit}"
    before = any(f"before_{field}" in row for row in rows.values())
    head = f"{'before':>18}" if before else ""
    shown = field.replace("_", " ") + unit
    wide = max(18, 2 + len(shown))
    lines = [f"{'':22}{head}{shown:>{wide}}{'test loss':>20}{'parameters':>13}{'seconds':>10}"]
    for name, row in rows.items():
        columns = [f"before_{field}", field] if before else [field]
        *first, last = (_shown(row.get(column), metric) for column in columns)
        value = "".join(f"{each:>18}" for each in first) + f"{last:>{wide}}"
        loss = spread(row["test_loss"], 4) if "test_loss" in row else "-"
        size = f"{row['parameters']:,}" if "parameters" in row else "-"
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else "-"
        lines.append(f"{name:22}{value}{loss:>20}{size:>13}{seconds:>10}")
    return "\n".join(lines)


def _shown(values: Sequence[float] | None, metric: Metric) -> str:
    if values is None:
        return "-"
    return spread([100 * v for v in values], 2, " %") if metric.unit == "fraction" else spread(values, 4)


def _compared(rows: Mapping[str, Mapping[str, Any]], count: int) -> dict[str, float | int]:
    """Where the one found stands among the random ones."""
    loss = {name: float(np.mean(row["test_loss"])) for name, row in rows.items()}
    random: Sequence[float] = np.array([loss[f"random {i}"] for i in range(count)])
    return {
        "median_test_loss": float(np.median(random)),
        "found_test_loss": loss["found"],
        "better_than_found": int((random < loss["found"]).sum()),
    }
