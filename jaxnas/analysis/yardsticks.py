"""What a search's result is compared with: a hand-made network, and what is known to do well without any search."""

import bisect
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check, evaluators
from jaxnas.check import InputError
from jaxnas.config import registry
from jaxnas.tasks import Batch, Task, cross_entropy, sigmoid_cross_entropy, squared_error
from jaxnas.tasks.batch import along
from jaxnas.types import Genome, Space

Predict = Callable[[], np.ndarray]
MANY_PRODUCTS = {"neighbour": 2e12, "kernel": 4e10}
"""Products of numbers that take about a minute."""


MOST_SIZES = 4096
"""Of the field by which a hand-made network is scaled."""


class Fixed(nn.Module):
    """A network that leaves nothing to decide, called with any decisions."""

    network: nn.Module

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        return self.network({}, x, train)


def hand_made(config: Mapping[str, Any], space: Space, task: Task, genome: Genome, parameters: int) -> Fixed:
    """The network of `config.yardstick`, as large as brings it nearest to so many `parameters`.

    Args:
      config: of a network, with `scaled`: the field, a whole number or one in a list, that grows until it is as large;
        `encoder.widths` is the field of an option that has fields, and several fields grow together.
      space, genome: what networks are handed, which this one ignores.
      task: on what.
      parameters: of what was found.

    Raises:
      InputError: an unknown network or argument, or none as large.
    """
    given = dict(config)
    said = given.pop("scaled", None)
    fields = [said] if isinstance(said, str) else check.sequence("config.yardstick.scaled", said or (), str)
    if not fields:
        raise InputError(f"config.yardstick.scaled: expected the field that is scaled, got {said!r}.")

    def network(size: int) -> Fixed:
        scaled = functools.reduce(lambda options, field: _with(options, field.split("."), size), fields, given)
        return Fixed(registry.make("network", scaled, {"classes": task.outputs}))

    of = functools.cache(lambda size: evaluators.parameters(space, network(size), task, genome))
    sizes = range(1, MOST_SIZES)
    above = bisect.bisect_left(sizes, parameters, key=of)
    if above == len(sizes):
        grown = " and ".join(fields)
        raise InputError(f"config.yardstick: with {grown} of {MOST_SIZES} it has fewer than {parameters:,} parameters.")
    return network(min(sizes[max(above - 1, 0) : above + 1], key=lambda size: abs(of(size) - parameters)))


def _with(options: Mapping[str, Any], field: Sequence[str], size: int) -> dict[str, Any]:
    """Options, of which one, or one within it, is the size, in a list where it has been in one."""
    name, *within = field
    old = options.get(name)
    if within:
        check.mapping(f"config.yardstick.{name}", old)
        return {**options, name: _with(old, within, size)}
    return {**options, name: (size,) if isinstance(old, (list, tuple)) else size}


def classical(task: Task) -> dict[str, dict]:
    """Models of scikit-learn, or counts, that fit the kind of task, on the same splits, where a minute is enough.

    Labels: nearest neighbour and support vector machine. Several labels or numbers: nearest neighbours and a linear
    model. A label for each of several positions: how often each occurs, alone and (of tokens) after the one before.
    """
    if not isinstance(task.train, Batch):
        return {}
    rows, final = {}, task.with_validation()
    for name, predict in _models(final):
        outputs = jnp.asarray(predict())
        value = task.metric.of(outputs, final.test.targets, final.test.weights())
        rows[name] = {f"test_{task.metric.name}": [float(value)]}
    return rows


def _models(task: Task) -> Iterator[tuple[str, Predict]]:
    """Name and `() -> outputs [N, ...]` on the test split, of those that fit."""
    if task.loss is cross_entropy:
        yield from (_of_labels if task.train.targets.ndim == 1 else _of_positions)(task)
    elif task.loss in (sigmoid_cross_entropy, squared_error):
        yield from _of_vectors(task)


def _affordable(task: Task, kind: str) -> bool:
    n = task.train.size
    return n * (task.test.size if kind == "neighbour" else n) * task.input_size <= MANY_PRODUCTS[kind]


def _of_labels(task: Task) -> Iterator[tuple[str, Predict]]:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    y = np.asarray(task.train.targets)
    if len(np.unique(y)) < 2:
        return
    models = {
        "nearest neighbour": (KNeighborsClassifier(1), "neighbour"),
        "SVM (RBF)": (SVC(C=10, gamma="scale"), "kernel"),
    }
    for name, (model, kind) in models.items():
        if _affordable(task, kind):
            labels = lambda model=model: model.fit(task.flat(task.train), y).predict(task.flat(task.test))
            yield name, lambda labels=labels: np.eye(task.outputs, dtype=np.float32)[labels()]


def _of_vectors(task: Task) -> Iterator[tuple[str, Predict]]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multioutput import MultiOutputClassifier
    from sklearn.neighbors import KNeighborsRegressor

    y = np.asarray(task.train.targets)
    if y.ndim != 2:
        return
    if task.loss is squared_error:
        models = {"ridge regression": Ridge(1.0), "5 nearest neighbours": KNeighborsRegressor(5)}
        outputs = lambda made: made
    else:
        linear = MultiOutputClassifier(LogisticRegression(max_iter=1000))
        models = {"logistic regression": linear, "nearest neighbour": KNeighborsRegressor(1)}
        outputs = lambda made: 2.0 * made - 1.0  # logits on the right side of 0
    varying = (y != y[:1]).any(0)  # a classifier takes no label that all examples have, or none

    def predicted(model):
        made = np.tile(y[:1], (task.test.size, 1))
        if varying.any():
            of = model.fit(task.flat(task.train), y[:, varying]).predict(task.flat(task.test))
            made[:, varying] = of.reshape(task.test.size, -1)
        return np.float32(outputs(made))

    for name, model in models.items():
        if _affordable(task, "neighbour"):
            yield name, functools.partial(predicted, model)


def _of_positions(task: Task) -> Iterator[tuple[str, Predict]]:
    train, test = (jax.tree.map(np.asarray, batch) for batch in (task.train, task.test))
    counted = np.broadcast_to(along(task.train.weights(), train.targets.ndim), train.targets.shape)
    K = task.outputs
    single = 1 + np.bincount(train.targets.ravel(), counted.ravel(), K)  # one more of each, so that none is impossible
    shape = (*test.targets.shape, K)
    yield "frequencies", lambda: np.broadcast_to(np.log(single / single.sum()), shape).astype(np.float32)
    x = train.inputs
    if isinstance(x, np.ndarray) and x.dtype.kind in "iu" and x.shape == train.targets.shape and K <= 1024:

        def after():
            size = 1 + int(max(x.max(), test.inputs.max()))
            pairs = np.zeros((size, K))
            np.add.at(pairs, (x.ravel(), train.targets.ravel()), counted.ravel())
            prior = single / single.sum()
            pairs = (pairs + 2 * prior) / (pairs.sum(1, keepdims=True) + 2)
            return np.log(pairs)[test.inputs].astype(np.float32)

        yield "bigram frequencies", after
