"""The end of a search: retraining, yardsticks, and the words that say what came out."""

import pathlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import jaxnas
from jaxnas import evaluators, networks
from jaxnas.spaces import skip_connections
from jaxnas.tasks import Split, Task
from jaxnas.types import Space
from launch.wiring import Parts, make


def retrained(parts: Parts, config: Mapping[str, Any], architectures: Mapping[str, str]) -> dict[str, dict]:
    """Retrains named architectures as `config.retrain` says; name -> architecture, parameters and test figures.

    `config.retrain.network` says where the network differs from that of the search. With `config.residual` blocks, a
    residual network beside them, with as many parameters as the first has.
    """
    recipe = {k: v for k, v in config["evaluator"].items() if k in evaluators.Recipe._fields}
    options = {**recipe, **config["retrain"], "seed": config["seed"]}
    larger = {**config["network"], **(options.pop("network", None) or {})}
    parts = parts._replace(network=make("network", larger, classes=parts.task.outputs))
    distinct = list(dict.fromkeys(architectures.values()))
    genomes = [parts.space.from_string(a) for a in distinct]
    scores = _timed(parts.space, parts.network, parts.task, genomes, options)
    rows = {name: {"architecture": a, **_row(scores, distinct.index(a))} for name, a in architectures.items()}
    if config.get("residual"):
        network = _residual(parts, config["residual"], genomes[0], int(scores["parameters"][0]))
        options = {k: v for k, v in options.items() if k not in ("drop_path", "auxiliary")}  # it has nothing for them
        rows["residual network"] = _row(_timed(parts.space, network, parts.task, genomes[:1], options), 0)
    return rows


def _timed(space, network, task, genomes, options) -> dict[str, Any]:
    begin = time.perf_counter()
    scores = evaluators.retrain(space, network, task, genomes, **options)
    return {**scores, "seconds": (time.perf_counter() - begin) / len(genomes)}


def _row(scores: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {
        "parameters": int(scores["parameters"][i]),
        "test_accuracy": scores["test_accuracy"][i].tolist(),
        "test_loss": scores["test_loss"][i].tolist(),
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
    """Scikit-learn's nearest neighbour and support vector machine on the same splits."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    if not isinstance(task.train, Split):  # too many for them
        return {}
    final = task.with_validation()
    x, x_test = (np.asarray(final.inputs(s.x)).reshape(len(s.x), -1) for s in (final.train, final.test))
    models = {"nearest neighbour": KNeighborsClassifier(1), "SVM (RBF)": SVC(C=10, gamma="scale")}
    rows = {}
    for name, model in models.items():
        model.fit(x, np.asarray(final.train.y))
        rows[name] = {"test_accuracy": [float(model.score(x_test, np.asarray(final.test.y)))]}
    return rows


def collapse(space: Space, genome) -> dict[str, Any]:
    """Skip connections by cell, and whether any cell has collapsed: most of its operations are skip connections."""
    cells, count = skip_connections(space)
    if not cells:
        return {}
    counts = np.asarray(count(jax.numpy.asarray(genome)))
    skips = {cell: f"{n} of {of}" for cell, (n, of) in zip(cells, counts.tolist(), strict=True)}
    return {"skip_connections": skips, "collapsed": bool((2 * counts[:, 0] > counts[:, 1]).any())}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Test figures as text, mean and standard deviation over seeds."""
    lines = [f"{'':22}{'test accuracy':>18}{'test loss':>20}{'parameters':>13}{'seconds':>10}"]
    for name, row in rows.items():
        accuracy = _spread([100 * a for a in row["test_accuracy"]], 2, " %")
        loss = _spread(row["test_loss"], 4) if "test_loss" in row else "-"
        size = f"{row['parameters']:,}" if "parameters" in row else "-"
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else "-"
        lines.append(f"{name:22}{accuracy:>18}{loss:>20}{size:>13}{seconds:>10}")
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}{unit}"


def environment() -> dict[str, Any]:
    """Versions and device, for result files."""
    device = jax.devices()[0]
    return {
        "versions": {"jaxnas": jaxnas.__version__, "jax": jax.__version__, "python": platform.python_version()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
    }


def interrupted(program: str, workdir: pathlib.Path) -> str:
    """What a program says that was stopped by Ctrl-C."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("--workdir")] + [f"--workdir={relative(workdir)}"]
    return f"\nInterrupted; nothing is lost. Resume with:\n  python -m {program} {' '.join(arguments)}"


def relative(path: pathlib.Path) -> str:
    """The path as the user would type it."""
    here = pathlib.Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
