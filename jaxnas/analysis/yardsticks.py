"""What a search's result is compared with: a residual network, and what is known to do well without any search."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import evaluators, networks
from jaxnas.tasks import Batch, Task, cross_entropy, sigmoid_cross_entropy, squared_error
from jaxnas.tasks.batch import along
from jaxnas.types import Genome, Space

Predict = Callable[[], np.ndarray]
MANY_PRODUCTS = {"neighbour": 2e12, "kernel": 4e10}
"""Products of numbers that take about a minute."""


def residual(space: Space, task: Task, blocks: int, genome: Genome, parameters: int) -> networks.ResNet:
    """The residual network of `blocks` a stage whose width brings it nearest to so many `parameters`.

    `space` and `genome` are what a network is handed, which this one ignores.
    """

    def of(filters):
        network = networks.ResNet(blocks, filters, task.outputs)
        return evaluators.parameters(space, network, task, genome)

    filters = 1
    while of(filters + 1) <= parameters:
        filters += 1
    best = min((filters, filters + 1), key=lambda f: abs(of(f) - parameters))
    return networks.ResNet(blocks, best, task.outputs)


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
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    y = np.asarray(task.train.targets)
    if y.ndim != 2:
        return
    if task.loss is squared_error:
        models = {"ridge regression": Ridge(1.0), "5 nearest neighbours": KNeighborsRegressor(5)}
        outputs = lambda made: made
    else:
        linear = MultiOutputClassifier(LogisticRegression(max_iter=1000))
        models = {"logistic regression": linear, "nearest neighbour": KNeighborsClassifier(1)}
        outputs = lambda made: 2.0 * made - 1.0  # logits on the right side of 0
    for name, model in models.items():
        if _affordable(task, "neighbour"):
            made = lambda model=model: model.fit(task.flat(task.train), y).predict(task.flat(task.test))
            yield name, lambda made=made: np.float32(outputs(made())).reshape(task.test.size, -1)


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
