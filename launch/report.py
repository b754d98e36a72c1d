"""The end of a search: retraining, yardsticks, and the words that say what came out."""

import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnas import check, evaluators, networks
from jaxnas.check import InputError
from jaxnas.evaluators._training import fits
from jaxnas.population import PLANS
from jaxnas.spaces import skip_connections
from jaxnas.tasks import Split, Task
from jaxnas.tasks.task import correct, cross_entropy
from jaxnas.types import Space
from launch.wiring import Parts, make

RETRAIN = ("steps", "seeds", "plan")
"""Arguments of `evaluators.retrain` that `config.retrain` may have, beside fields of the recipe."""


def check_later(parts: Parts, config: Mapping[str, Any], *, needed: bool = False) -> None:
    """Raises `InputError` for what would only be found after a search: in `config.retrain` and `config.reference`.

    No seeds are no retraining, which is refused where it is `needed`.
    """
    given = dict(config.get("retrain") or {})
    for key in given:
        check.one_of("config.retrain", key, ("network", *RETRAIN, *evaluators.Recipe._fields))
    if not (needed or given.get("seeds")):
        return
    if not isinstance(parts.task, Task) or parts.network is None:
        raise InputError("config.retrain: needs a network and a task with examples; without them, give seeds=0.")
    network, options = _retraining(parts, config)
    check.integer("config.retrain.steps", options.get("steps"), least=1)
    check.integer("config.retrain.seeds", options.get("seeds", 1), least=1)
    check.one_of("config.retrain.plan", options.get("plan", "auto"), PLANS)
    recipe = evaluators.Recipe.of(**{k: v for k, v in options.items() if k in evaluators.Recipe._fields})
    evaluators.trainer(network, parts.task, recipe)  # refuses the recipe
    fits(parts.space, network, parts.task, recipe)
    if config.get("reference"):
        try:
            parts.space.from_string(config["reference"])
        except InputError as error:
            raise InputError(f"config.reference: {error}") from None


def _retraining(parts: Parts, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The network of `config.retrain`, and the options of `evaluators.retrain`."""
    recipe = {k: v for k, v in config["evaluator"].items() if k in evaluators.Recipe._fields}
    options = {**recipe, **config["retrain"], "seed": config["seed"]}
    larger = {**config["network"], **(options.pop("network", None) or {})}
    return make("network", larger, classes=parts.task.outputs), options


def retrained(parts: Parts, config: Mapping[str, Any], architectures: Mapping[str, str]) -> dict[str, dict]:
    """Retrains named architectures as `config.retrain` says; name -> architecture, parameters and test figures.

    `config.retrain.network` says where the network differs from that of the search. With `config.residual` blocks, a
    residual network beside them, with as many parameters as the first has.
    """
    network, options = _retraining(parts, config)
    parts = parts._replace(network=network)
    distinct = list(dict.fromkeys(architectures.values()))
    genomes = [parts.space.from_string(a) for a in distinct]
    scores = _timed(parts.space, parts.network, parts.task, genomes, options)
    rows = {name: {"architecture": a, **_row(scores, distinct.index(a))} for name, a in architectures.items()}
    if config.get("residual"):
        network = _residual(parts, config["residual"], genomes[0], int(scores["parameters"][0]))
        options = {k: v for k, v in options.items() if k not in ("drop_path", "auxiliary")}  # it has nothing for them
        rows["residual network"] = _row(_timed(parts.space, network, parts.task, genomes[:1], options), 0)
    return rows


def test_metric(task: Task) -> str:
    """The field of the task's metric on the test split: "test_accuracy", or with the name of the user's function."""
    if task.metric is correct:
        return "test_accuracy"
    name = getattr(task.metric, "__name__", "")
    return f"test_{name if name.isidentifier() else 'metric'}"


def _timed(space, network, task, genomes, options) -> dict[str, Any]:
    begin = time.perf_counter()
    scores = evaluators.retrain(space, network, task, genomes, **options)
    scores[test_metric(task)] = scores.pop("test_accuracy")
    return {**scores, "seconds": (time.perf_counter() - begin) / len(genomes)}


def _row(scores: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {
        "parameters": int(scores["parameters"][i]),
        **{name: scores[name][i].tolist() for name in sorted(scores) if name.startswith("test_")},
        "seconds": scores["seconds"],  # of all its trainings, compile and all
    }


def _residual(parts: Parts, blocks: int, genome, parameters: int) -> networks.ResNet:
    """The residual network whose width brings it nearest to `parameters`."""

    def of(filters):
        network = networks.ResNet(blocks, filters, parts.task.outputs)
        return evaluators.parameters(parts.space, network, parts.task, genome)

    filters = 1
    while of(filters + 1) <= parameters:
        filters += 1
    best = min((filters, filters + 1), key=lambda f: abs(of(f) - parameters))
    return networks.ResNet(blocks, best, parts.task.outputs)


def classical(task: Task) -> dict[str, dict]:
    """Scikit-learn's nearest neighbour and support vector machine on the same splits, where a minute is enough."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    if not isinstance(task.train, Split) or task.loss is not cross_entropy:
        return {}
    final = task.with_validation()
    y, y_test = np.asarray(final.train.y), np.asarray(final.test.y)
    inputs = int(np.prod(task.input_shape))
    affordable = {  # name -> (model, products that it takes, at least) with so many as are about a minute's
        "nearest neighbour": (KNeighborsClassifier(1), len(y) * len(y_test) * inputs, 2e12),
        "SVM (RBF)": (SVC(C=10, gamma="scale"), len(y) ** 2 * inputs, 4e10),
    }
    models = {name: model for name, (model, work, most) in affordable.items() if work <= most}
    if not models or len(np.unique(y)) < 2:
        return {}
    x, x_test = (np.asarray(final.inputs(s.x)).reshape(len(s.x), -1) for s in (final.train, final.test))
    return {name: {"test_accuracy": [float(m.fit(x, y).score(x_test, y_test))]} for name, m in models.items()}


def collapse(space: Space, genome) -> dict[str, Any]:
    """Skip connections by cell, and whether any cell has collapsed: most of its operations are skip connections."""
    cells, count = skip_connections(space)
    if not cells:
        return {}
    counts = np.asarray(count(jax.numpy.asarray(genome)))
    skips = {cell: f"{n} of {of}" for cell, (n, of) in zip(cells, counts.tolist(), strict=True)}
    return {"skip_connections": skips, "collapsed": bool((2 * counts[:, 0] > counts[:, 1]).any())}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Test figures as text, mean and standard deviation over seeds; other metrics than accuracy as they are."""
    metric = next(key for row in rows.values() for key in row if key.startswith("test_") and key != "test_loss")
    lines = [f"{'':22}{metric.replace('_', ' '):>18}{'test loss':>20}{'parameters':>13}{'seconds':>10}"]
    for name, row in rows.items():
        accuracy = _spread(row[metric], 4)
        if metric == "test_accuracy":
            accuracy = _spread([100 * a for a in row[metric]], 2, " %")
        loss = _spread(row["test_loss"], 4) if "test_loss" in row else "-"
        size = f"{row['parameters']:,}" if "parameters" in row else "-"
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else "-"
        lines.append(f"{name:22}{accuracy:>18}{loss:>20}{size:>13}{seconds:>10}")
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}{unit}"


def interrupted(program: str, workdir: pathlib.Path) -> str:
    """What a program says that was stopped by Ctrl-C."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("--workdir")] + [f"--workdir={relative(workdir)}"]
    return f"\nInterrupted; nothing is lost. Resume with:\n  python -m {program} {' '.join(arguments)}"


def relative(path: pathlib.Path) -> str:
    """The path as the user would type it."""
    here = pathlib.Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
