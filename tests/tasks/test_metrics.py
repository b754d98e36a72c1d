"""Metrics of all examples, whatever the batches, are those of NumPy and scikit-learn; padding does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as theirs

from jaxnas import tasks
from jaxnas.tasks.task import judged_metric

N, T, K = 50, 6, 4
random = np.random.default_rng(0)


def summed(metric, outputs, targets, weight):
    """Of batches of 7, as scores are made."""
    parts = [metric.sums(*(a[i : i + 7] for a in (outputs, targets, weight))) for i in range(0, N, 7)]
    return float(metric.value(jax.tree.map(lambda *sums: sum(sums), *parts)))


def kept(array, weight):
    return array[np.asarray(weight) > 0]


def accuracy():
    logits, y, w = random.normal(size=(N, T, K)), random.integers(0, K, (N, T)), random.integers(0, 2, (N, T))
    return tasks.accuracy, logits, y, w, (kept(logits, w).argmax(-1) == kept(y, w)).mean()


def perplexity():
    logits, y, w = random.normal(size=(N, T, K)), random.integers(0, K, (N, T)), random.integers(0, 2, (N, T))
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    mean = np.take_along_axis(logs, y[..., None], -1)[..., 0][w > 0].mean()
    return tasks.perplexity(tasks.cross_entropy), logits, y, w, np.exp(-mean)


def bits():
    metric, logits, y, w, value = perplexity()
    return tasks.bits_per_token(tasks.cross_entropy), logits, y, w, np.log2(value)


def f1():
    logits, y, w = random.normal(size=(N, K)), random.integers(0, 2, (N, K)), random.integers(0, 2, N)
    return tasks.f1, logits, y, w, theirs.f1_score(kept(y, w), kept(logits, w) > 0, average="micro")


def r2():
    y, w = random.normal(size=(N, K)), random.integers(0, 2, N)
    outputs = y + random.normal(size=(N, K))
    return tasks.r2, outputs, y, w, theirs.r2_score(kept(y, w), kept(outputs, w))


def error():
    y, w = random.normal(size=(N, K)), random.integers(0, 2, N)
    outputs = y + random.normal(size=(N, K))
    return tasks.mean_absolute_error(), outputs, y, w, theirs.mean_absolute_error(kept(y, w), kept(outputs, w))


def iou():
    logits, y, w = random.normal(size=(N, 3, 3, K)), random.integers(0, K - 1, (N, 3, 3)), random.integers(0, 2, N)
    logits[..., K - 1] = -9.0  # a class that neither occurs nor is said
    scores = theirs.jaccard_score(kept(y, w).ravel(), kept(logits, w).argmax(-1).ravel(), average="macro")
    return tasks.mean_iou(K), logits, y, w, scores


@pytest.mark.parametrize("of", [accuracy, perplexity, bits, f1, r2, error, iou])
def test_it_is_that_of_all_that_counts(of):
    metric, outputs, targets, weight, expected = of()
    arrays = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets), jnp.asarray(weight, jnp.float32)
    assert summed(metric, *arrays) == pytest.approx(expected, rel=2e-6)


def test_a_metric_without_a_direction_is_refused():
    pair = np.zeros((4, 2), np.float32), np.zeros(4, np.float32)
    splits = dict.fromkeys(("train", "validation", "test"), pair)
    with pytest.raises(ValueError, match="metric: expected a tasks.Metric, which says which way is better"):
        tasks.arrays(splits, loss=tasks.squared_error, metric=lambda outputs, y: outputs - y, outputs=1)
    with pytest.raises(TypeError, match="higher_is_better"):
        tasks.mean_metric(lambda outputs, y: outputs - y)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (lambda o, y, w: o, "expected sums over the batch"),
        (lambda o, y, w: o.sum(), "expected one number as its value"),
        (lambda o, y, w: o @ y.T @ y, "does not run on outputs"),
    ],
)
def test_what_are_no_sums_is_refused(sums, message):
    value = (lambda s: s.sum()) if "one number" not in message else (lambda s: jnp.ones(2) * s)
    metric = tasks.Metric("own", sums, value, True)
    with pytest.raises(ValueError, match=f"metric 'own': {message}"):
        judged_metric(metric, jnp.ones((2, 3)), jnp.ones((2, 5)))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), r"splits\['train'\]: 4 inputs but 5 weights"),
        (np.ones((4, 1, 1)), r"expected weights \[N\] or \[N, T\], got \(1, 1\)"),
        (np.ones((4, 1)), r"expected weights \[N\], one of each example, got \(4, 1\)"),
        (-np.ones(4), "expected weights from 0 on"),
        (np.zeros(4), "expected weights from 0 on, some above"),
    ],
)
def test_weights_that_cannot_be_are_refused(weight, message):
    splits = dict.fromkeys(("train", "validation", "test"), (np.zeros((4, 2)), np.arange(4) % 2, weight))
    with pytest.raises(ValueError, match=message):
        tasks.arrays(splits)


def test_weights_of_positions_that_the_loss_has_not_are_refused():
    splits = dict.fromkeys(("train", "validation", "test"), (np.zeros((4, 2)), np.arange(4) % 2, np.ones((4, 3))))
    with pytest.raises(
        ValueError, match=r"loss: expected one number .* of each of \(3,\) positions, which have a weight"
    ):
        tasks.arrays(splits).judges(jnp.zeros((1, 2)))
