"""What a search's result is compared with: a residual network, a nearest neighbour, a support vector machine."""

import numpy as np

from jaxnas import evaluators, networks
from jaxnas.tasks import Split, Task
from jaxnas.tasks.task import cross_entropy
from jaxnas.types import Genome, Space


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
