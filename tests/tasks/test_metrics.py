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


def bits_of_bytes(weight=lambda: random.integers(0, 2, (N, T))):
    sizes = np.array([1, 2, 1, 5])
    logits, y, w = random.normal(size=(N, T, K)), random.integers(0, K, (N, T)), weight()
    logs = logits - np.log2(np.exp2(logits).sum(-1, keepdims=True))
    bits = -np.take_along_axis(logs, y[..., None], -1)[..., 0]
    metric = tasks.bits_per_byte(tasks.cross_entropy, sizes)
    return metric, logits * np.log(2), y, w, kept(bits, w).sum() / kept(sizes[y], w).sum()


def bits_of_bytes_of_examples():
    return bits_of_bytes(lambda: random.integers(0, 2, N))


def exact(weight=lambda: random.integers(0, 2, (N, T)) * random.integers(0, 2, (N, 1))):
    y, w = random.integers(0, K, (N, T)), weight()
    said = np.where(random.uniform(size=(N, T)) < 0.8, y, random.integers(0, K, (N, T)))
    counts = np.broadcast_to(w[:, None] if w.ndim == 1 else w, y.shape) > 0
    right = [(said[i] == y[i])[counts[i]].all() for i in range(N) if counts[i].any()]
    assert 0 < np.mean(right) < 1 and len(right) < N
    return tasks.exact_match, np.eye(K)[said], y, w, np.mean(right)


def exact_of_examples():
    return exact(lambda: random.integers(0, 2, N))


def found_spans(labels, kinds):
    """`(first, last, kind)` of each, one position after another."""
    spans, begun = set(), None
    for t, label in enumerate([*labels, 0]):
        kind = (label - 1) // 2 if label else None
        if begun is not None and (kind != begun[1] or label % 2 == 1):
            spans.add((begun[0], t - 1, begun[1]))
            begun = None
        if label and begun is None:
            begun = (t, kind)
    return spans


def spans(kinds=1, weight=lambda: random.integers(0, 5, (N, T)) > 0):
    y, w = random.integers(0, 1 + 2 * kinds, (N, T)), weight().astype(int)
    said = np.where(random.uniform(size=(N, T)) < 0.7, y, random.integers(0, 1 + 2 * kinds, (N, T)))
    counts = w[:, None] if w.ndim == 1 else w
    found, true = ({(i, *s) for i in range(N) for s in found_spans((a * counts)[i], kinds)} for a in (said, y))
    value = 2 * len(found & true) / (len(found) + len(true))
    assert 0.1 < value < 0.9
    return tasks.span_f1(kinds), np.eye(1 + 2 * kinds)[said], y, w, value


def spans_of_kinds():
    return spans(3)


def spans_of_examples():
    return spans(2, lambda: random.integers(0, 2, N))


@pytest.mark.parametrize(
    "of",
    [
        *(accuracy, perplexity, bits, f1, r2, error, iou, bits_of_bytes, bits_of_bytes_of_examples, exact),
        *(exact_of_examples, spans, spans_of_kinds, spans_of_examples),
    ],
)
def test_it_is_that_of_all_that_counts(of):
    metric, outputs, targets, weight, expected = of()
    arrays = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets), jnp.asarray(weight, jnp.float32)
    assert summed(metric, *arrays) == pytest.approx(expected, rel=2e-6)


def labelled(*labels):
    return jax.nn.one_hot(jnp.array([labels]), 3), jnp.array([labels])


@pytest.mark.parametrize(
    ("said", "true", "value"),
    [
        ([1, 2, 0, 1], [1, 2, 0, 1], 1),
        ([1, 2, 2, 1], [1, 2, 0, 1], 1 / 2),  # ends too late
        ([0, 1, 0, 1], [1, 2, 0, 1], 1 / 2),  # begins too late
        ([1, 1, 0, 1], [1, 2, 0, 1], 2 / 5),  # two where there is one
        ([2, 2, 0, 2], [1, 2, 0, 1], 1),  # begun without a beginning
        ([0, 0, 0, 0], [0, 0, 0, 0], 1),
        ([0, 0, 0, 0], [0, 0, 0, 1], 0),
    ],
)
def test_a_span_counts_where_its_beginning_and_its_end_are_right(said, true, value):
    found = tasks.span_f1().of(labelled(*said)[0], labelled(*true)[1], jnp.ones((1, 4)))
    assert float(found) == pytest.approx(value)


@pytest.mark.parametrize("bytes_of", [[], [[1]], [0.5, 1], [-1, 2], [0, 0]])
def test_what_is_no_table_of_bytes_is_refused(bytes_of):
    with pytest.raises(ValueError, match="bytes_of: expected the number of bytes of each token"):
        tasks.bits_per_byte(tasks.cross_entropy, np.array(bytes_of))


@pytest.mark.parametrize(
    "metric", [tasks.exact_match, tasks.span_f1(), tasks.bits_per_byte(tasks.cross_entropy, [1] * 3)]
)
@pytest.mark.parametrize("weight", [(), (4,)])
def test_metrics_of_positions_fit_tasks(metric, weight):
    judged_metric(metric, jnp.ones((2, 4, 3)), jnp.ones((2, 4), jnp.uint8), jax.ShapeDtypeStruct(weight, jnp.float32))


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
