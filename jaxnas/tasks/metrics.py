"""Metrics: sums over examples, and the value that they make, with its unit and direction.

Sums of batches add up, so that a metric is of all examples whatever the batches: F1 of a dataset is no mean of F1s.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import along, weighted_sum


class Metric(NamedTuple):
    """What tells how good outputs are.

    Attributes:
      name: for fields of files: a Python identifier.
      sums: `(outputs, targets, weight) -> pytree of arrays`, each a sum over the examples of a batch; what has weight 0
        must not count.
      value: `sums -> scalar`, of the sums over all batches.
      higher_is_better: which way is better.
      unit: of the value: "fraction", "nats", …; "" where it has none.
      each: `(outputs, targets) -> [B, ...]`, what it is the mean of, to be checked; None where it is no mean.
    """

    name: str
    sums: Callable[[Any, Any, chex.Array], Any]
    value: Callable[[Any], chex.Array]
    higher_is_better: bool
    unit: str = ""
    each: Callable[[Any, Any], chex.Array] | None = None

    def fitness(self, values: Mapping[str, chex.Array], of: str) -> chex.Array:
        """The higher, the better: `values[of]`, of "loss" or this metric."""
        return values[of] if of == self.name and self.higher_is_better else -values[of]

    def of(self, outputs: Any, targets: Any, weight: chex.Array) -> chex.Array:
        """Its value of one batch, or of all examples at once."""
        return self.value(self.sums(outputs, targets, weight))


def mean_metric(
    fn: Callable[[Any, Any], chex.Array], *, higher_is_better: bool, name: str = "", unit: str = ""
) -> Metric:
    """The weighted mean of a function of each example.

    Args:
      fn: `(outputs, targets) -> [B, ...]`, of each example or position; of further axes the mean counts.
      higher_is_better: which way is better.
      name: for fields of files; by default the function's.
      unit: of the mean.

    Raises:
      InputError: a name that is no identifier.
    """
    check.function("fn", fn)
    sums = lambda outputs, targets, weight: weighted_sum(fn(outputs, targets), weight)
    return Metric(_named(name or fn.__name__), sums, _ratio, higher_is_better, unit, fn)


def _named(name: str) -> str:
    if not name.isidentifier():
        raise InputError(f"name: expected a Python identifier, which the metric's fields are called by, got {name!r}.")
    return name


def _ratio(sums: tuple[chex.Array, chex.Array]) -> chex.Array:
    return sums[0] / sums[1]


def correct(outputs: chex.Array, y: chex.Array) -> chex.Array:
    """`[...]` float32, 1 where the largest logit of `[..., classes]` is the label `[...]`."""
    return (jnp.argmax(outputs, -1) == y).astype(jnp.float32)


accuracy = mean_metric(correct, name="accuracy", higher_is_better=True, unit="fraction")
"""Share of the labels that have the largest logit."""


def mean_absolute_error(unit: str = "") -> Metric:
    """Mean of |output - target|, in the target's unit."""
    of = lambda outputs, y: jnp.abs(outputs - y)
    return mean_metric(of, name="mean_absolute_error", higher_is_better=False, unit=unit)


def _f1_sums(outputs, y, weight):
    weight = along(weight, outputs.ndim)
    said, true = (outputs > 0).astype(jnp.float32), y.astype(jnp.float32)
    return (weight * said * true).sum(), (weight * said).sum(), (weight * true).sum()


def _f1(sums):
    both, said, true = sums
    return jnp.where(said + true > 0, 2 * both / jnp.maximum(said + true, 1e-30), 1.0)


f1 = Metric("f1", _f1_sums, _f1, higher_is_better=True, unit="fraction")
"""Micro-averaged F1 of labels `[B, L]` of 0 or 1: said where a logit is above 0."""


def _r2_sums(outputs, y, weight):
    weight = along(weight, outputs.ndim)
    over = tuple(range(outputs.ndim - 1))
    wide = jnp.broadcast_to(weight, outputs.shape)
    return {
        "count": wide.sum(over),
        "error": (weight * jnp.square(outputs - y)).sum(over),
        "y": (weight * y).sum(over),
        "square": (weight * jnp.square(y)).sum(over),
    }


def _r2(sums):
    spread = sums["square"] - jnp.square(sums["y"]) / sums["count"]
    return (1 - sums["error"] / spread).mean()


r2 = Metric("r2", _r2_sums, _r2, higher_is_better=True)
"""Coefficient of determination of targets `[B, K]`, the mean over the K; for targets of about unit variance."""


def _perplexity(sums):
    return jnp.exp(_ratio(sums))


def perplexity(loss: Callable[[Any, Any], chex.Array]) -> Metric:
    """exp of the mean of a loss in nats: among how many equally likely ones the next token would be."""
    sums = lambda outputs, y, weight: weighted_sum(loss(outputs, y), weight)
    return Metric("perplexity", sums, _perplexity, higher_is_better=False)


def bits_per_token(loss: Callable[[Any, Any], chex.Array]) -> Metric:
    """Mean of a loss in nats, in bits; of tokens that are bytes, bits a byte."""
    of = lambda outputs, y: loss(outputs, y) / jnp.log(2.0)
    return mean_metric(of, name="bits_per_token", higher_is_better=False, unit="bits")


def bits_per_byte(loss: Callable[[Any, Any], chex.Array], bytes_of: np.ndarray) -> Metric:
    """A loss of tokens in nats, in bits, over the bytes that the tokens stand for: whatever the tokens, comparable.

    Args:
      loss: `(outputs, tokens) -> [B, T]`.
      bytes_of: `[V]`, how many bytes each token of the vocabulary stands for.

    Raises:
      InputError: no `[V]` whole numbers from 0 on, some above.
    """
    check.function("loss", loss)
    table = np.asarray(bytes_of)
    if table.ndim != 1 or table.dtype.kind not in "iu" or not (table >= 0).all() or not table.any():
        raise InputError(f"bytes_of: expected the number of bytes of each token, [V], got {bytes_of!r}.")
    table = table.astype(np.float32)

    def sums(outputs, y, weight):
        nats = loss(outputs, y)
        weight = along(weight, nats.ndim)
        bits = jnp.where(weight != 0, weight * nats, 0).sum() / jnp.log(2.0)
        return bits, (weight * jnp.asarray(table)[y.astype(jnp.int32)]).sum()

    return Metric("bits_per_byte", sums, _ratio, higher_is_better=False, unit="bits")


def _exact_match_sums(outputs, y, weight):
    weight = jnp.broadcast_to(along(weight, y.ndim), y.shape).reshape(len(y), -1)
    right = correct(outputs, y).reshape(weight.shape) > 0
    counts = weight.max(1)
    return (counts * (right | (weight == 0)).all(1)).sum(), counts.sum()


exact_match = Metric("exact_match", _exact_match_sums, _ratio, higher_is_better=True, unit="fraction")
"""Share of examples of which every label that counts, `[B, ...]`, has the largest logit.

An example counts as much as the largest of its weights: not at all where none of its labels counts.
"""


def span_f1(kinds: int = 1) -> Metric:
    """Micro-averaged F1 of spans: one is right where its first position, its last and its kind are.

    Labels `[B, T]`, by logits `[B, T, 1 + 2 kinds]`, are 0 outside of spans, 1 + 2k where a span of kind k begins, and
    2 + 2k within it. A span also begins at 2 + 2k where the position before is in no span of that kind. Where the
    weight is 0, there are no spans; with weights `[B, T]` a span counts as much as its last position.

    Args:
      kinds: of spans.

    Raises:
      InputError: no kind.
    """
    check.integer("kinds", kinds, least=1)

    def sums(outputs, y, weight):
        weight = jnp.broadcast_to(along(weight, y.ndim), y.shape)
        (end, first, kind), (ends, firsts, kind_there) = (
            _spans(jnp.where(weight != 0, labels, 0)) for labels in (jnp.argmax(outputs, -1), y)
        )
        both = end & ends & (first == firsts) & (kind == kind_there)
        return tuple((weight * where).sum() for where in (both, end, ends))

    return Metric("span_f1", sums, _f1, higher_is_better=True, unit="fraction")


def _spans(labels: chex.Array) -> tuple[chex.Array, chex.Array, chex.Array]:
    """`[B, T]` each: whether a span ends here, where the last one up to here began, and the kind."""
    labels = labels.astype(jnp.int32)
    inside, kind = labels > 0, (labels - 1) // 2
    before, after = (jnp.pad(labels, ((0, 0), pad)) for pad in ((1, 0), (0, 1)))
    continued = (before[:, :-1] > 0) & ((before[:, :-1] - 1) // 2 == kind)
    begins = inside & ((labels % 2 == 1) | ~continued)
    next_begins = jnp.pad(begins, ((0, 0), (0, 1)))[:, 1:]
    ends = inside & (next_begins | (after[:, 1:] == 0))
    places = jnp.arange(labels.shape[1], dtype=jnp.int32)
    return ends, jax.lax.cummax(jnp.where(begins, places, -1), axis=1), kind


def mean_iou(classes: int) -> Metric:
    """Mean over classes of intersection over union, of labels `[B, ...]` by logits `[B, ..., classes]`.

    Classes that neither occur nor are said are left out.
    """
    check.integer("classes", classes, least=2)

    def sums(outputs, y, weight):
        weight = jnp.broadcast_to(along(weight, y.ndim), y.shape)
        said, true = (jax.nn.one_hot(labels, classes) for labels in (jnp.argmax(outputs, -1), y))
        flat = lambda a: a.reshape(-1, classes)
        said, true, weight = flat(said), flat(true), weight.reshape(-1, 1)
        return (weight * said * true).sum(0), (weight * jnp.maximum(said, true)).sum(0)

    def value(sums):
        both, either = sums
        there = either > 0
        return jnp.where(there, both / jnp.where(there, either, 1), 0).sum() / there.sum()

    return Metric("mean_iou", sums, value, higher_is_better=True, unit="fraction")


__all__ = [
    "Metric",
    "accuracy",
    "bits_per_byte",
    "bits_per_token",
    "correct",
    "exact_match",
    "f1",
    "mean_absolute_error",
    "mean_iou",
    "mean_metric",
    "perplexity",
    "r2",
    "span_f1",
]
