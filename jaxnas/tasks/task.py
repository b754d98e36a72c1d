"""Tasks: data with a loss and a metric, and how they are checked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import Batch, Dataset
from jaxnas.tasks.labels import ONE_HOT, is_one_hot, numbered
from jaxnas.tasks.losses import cross_entropy
from jaxnas.tasks.metrics import Metric, accuracy

SPLITS = ("train", "validation", "test")


class Task(NamedTuple):
    """On what to search.

    Attributes:
      name: for messages and files.
      train, validation, test: searches see the first two, retraining adds the third. The first may be any `Dataset`,
        a `Stream` whose examples stay on the host, say.
      loss: `(outputs, targets) -> [B, ...]`, to be minimized: of each example or position. Where examples have a weight
        `[B]` or `[B, T]`, means are weighted by it, and over axes beyond those of the weight they are plain.
      metric: what tells how good a network is.
      outputs: size of the last axis of the network's outputs `[B, ..., outputs]`; None where they are of another kind.
      augment: `(key, inputs) -> inputs`, applied to training batches, or None.
      prepare: `inputs as stored -> inputs of the network`, of a batch, inside the program and before `augment`, or
        None: images may so be kept as bytes.
    """

    name: str
    train: Dataset
    validation: Batch
    test: Batch
    loss: Callable[[Any, Any], chex.Array]
    metric: Metric
    outputs: int | None = None
    augment: Callable | None = None
    prepare: Callable | None = None

    def inputs(self, stored: Any) -> Any:
        """What the network is given of the inputs of a batch as they are stored."""
        return stored if self.prepare is None else single(self.prepare(stored))

    def batch_of(self, size: int) -> Any:
        """Shapes and types of the network's inputs for `size` examples."""
        stored = jax.tree.map(lambda one: jax.ShapeDtypeStruct((size, *one.shape), one.dtype), self.train.spec.inputs)
        return jax.eval_shape(self.inputs, stored)

    def positions(self, size: int) -> int:
        """Pixels, or tokens, of the network's inputs for `size` examples: of the largest, without features."""
        of = lambda leaf: leaf.shape if jnp.issubdtype(leaf.dtype, jnp.integer) else leaf.shape[:-1] or leaf.shape
        return max(int(np.prod(of(leaf))) for leaf in jax.tree.leaves(self.batch_of(size)))

    def blank(self) -> Any:
        """One input of zeros, to initialize a network on."""
        return jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), self.batch_of(1))

    def flat(self, examples: Batch) -> np.ndarray:
        """`[N, input_size]` float32, all numbers of each example's inputs of the network (host)."""
        leaves = jax.tree.leaves(self.inputs(examples.inputs))
        return np.concatenate([np.asarray(leaf, np.float32).reshape(examples.size, -1) for leaf in leaves], 1)

    @property
    def input_size(self) -> int:
        """Numbers in one input of the network."""
        return sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(self.batch_of(1)))

    def judges(self, outputs: Any) -> None:
        """Raises `InputError` unless loss and metric can be computed of such outputs (pytree of `[B, ...]`)."""
        for split in {str(spec): spec for spec in (s.spec for s in (self.train, self.validation, self.test))}.values():
            targets = jax.tree.map(lambda one: jax.ShapeDtypeStruct((1, *one.shape), one.dtype), split.targets)
            judged("loss", self.loss, outputs, targets, split.weight)
            judged_metric(self.metric, outputs, targets, split.weight)

    def with_validation(self) -> "Task":
        """The task of a final training: train and validation joined, nothing left to validate on but the test."""
        return self._replace(train=self.train.joined(self.validation), validation=self.test)


def judged(what: str, fn: Callable, outputs: Any, targets: Any, weight: Any = None) -> None:
    """Raises `InputError` unless a loss or metric gives `[B, ...]` for every B, of outputs and targets like these.

    Only shapes are computed, at two sizes of batch that no other axis has: what broadcasts by chance does not pass.

    Args:
      what: "loss" or the metric, for messages.
      fn: `(outputs, targets) -> [B, ...]`.
      outputs: pytree of `[B, ...]`, for any B.
      targets: likewise.
      weight: shape and type of one example's weight, whose axes it must have after the first; None for none.
    """
    shapes, beyond = {}, () if weight is None else tuple(weight.shape)
    for B, like in _batches(outputs, targets):
        made = _run(what, fn, like, B)
        shapes[B] = getattr(made, "shape", None)
        first, expected = next(iter(shapes.values())), (B, *beyond)
        if shapes[B] is None or shapes[B][: len(expected)] != expected or shapes[B][1:] != first[1:]:
            said = f"a {type(made).__name__}" if shapes[B] is None else f"shape {shapes[B]}"
            positions = f", or of each of {beyond} positions, which have a weight" if beyond else ""
            raise InputError(
                f"{what}: expected one number for each example, [B], or [B, ...], whose mean over further axes counts"
                f"{positions}; of outputs {_shown(outputs)} and targets {_shown(targets)} it gives {said} for B = {B}."
            )


def judged_metric(metric: Metric, outputs: Any, targets: Any, weight: Any = None) -> None:
    """Raises `InputError` unless a metric's sums do not depend on B, and its value is a number."""
    if not isinstance(metric, Metric):
        raise InputError(
            f"metric: expected a tasks.Metric, which says which way is better, got {metric!r}; "
            "tasks.mean_metric(fn, higher_is_better=True) makes one of a function of each example."
        )
    if metric.each is not None:
        judged(f"metric {metric.name!r}", metric.each, outputs, targets, weight)
    sums, beyond = {}, () if weight is None else tuple(weight.shape)
    for B, (made, true) in _batches(outputs, targets):
        weights = jax.ShapeDtypeStruct((B, *beyond), jnp.float32)
        sums[B] = _run(f"metric {metric.name!r}", metric.sums, (made, true, weights), B)
        value = _run(f"metric {metric.name!r}", metric.value, (sums[B],), B)
        if getattr(value, "shape", None) != ():
            raise InputError(f"metric {metric.name!r}: expected one number as its value, got {value}.")
    first, second = sums.values()
    alike = jax.tree.structure(first) == jax.tree.structure(second)
    if not alike or any(a.shape != b.shape for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True)):
        raise InputError(
            f"metric {metric.name!r}: expected sums over the batch, of shapes that do not depend on its size, got "
            f"{first}."
        )


def _batches(outputs: Any, targets: Any):
    """`(B, (outputs, targets))` of two sizes that no other axis has."""
    size = max((1, *(n for leaf in jax.tree.leaves((outputs, targets)) for n in leaf.shape[1:])))
    for many in (size + 1, size + 2):
        at = lambda leaf, many=many: jax.ShapeDtypeStruct((many, *leaf.shape[1:]), leaf.dtype)
        yield many, jax.tree.map(at, (outputs, targets))


def _run(what: str, fn: Callable, like: tuple, batch: int) -> Any:
    try:
        return jax.eval_shape(fn, *like)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        of = f"outputs {_shown(like[0])} and targets {_shown(like[1])}" if len(like) > 1 else like[0]
        raise InputError(f"{what}: does not run on {of}, here for B = {batch}: {error}") from error


def _shown(tree: Any) -> str:
    """Shapes as text, B in the place of the batch."""
    shapes = jax.tree.map(lambda a: f"[{', '.join(['B', *map(str, a.shape[1:])])}]", tree)
    return shapes if isinstance(shapes, str) else str(shapes).replace("'", "")


def single(tree: Any) -> Any:
    """In float32 where it is in float64, which is what a user's own function gives in JAX's 64-bit mode."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, tree)


def narrowed(where: str, what: str, a: np.ndarray) -> np.ndarray:
    """Numbers as tasks keep them: float32, or whole numbers of at most 32 bits, whatever JAX's mode.

    Raises:
      InputError: no numbers, NaN, infinity, or a number that would not be the same any more.
    """
    if a.dtype.kind not in "fiub":
        raise InputError(f"{where}: expected {what} that are numbers, got {a.dtype}.")
    if a.dtype.kind == "f":
        with np.errstate(over="ignore"):
            kept = a.astype(np.float32, copy=False)
        if not np.isfinite(kept).all():
            beyond = np.isfinite(a[~np.isfinite(kept)])
            raise InputError(f"{where}: {what} hold {'numbers beyond float32' if beyond.all() else 'NaN or infinity'}.")
        return kept
    if a.dtype.itemsize <= 4:
        return a
    kept = np.iinfo(np.int32 if a.dtype.kind == "i" else np.uint32)
    if a.size and not kept.min <= a.min() <= a.max() <= kept.max:
        wrong = a.max() if a.max() > kept.max else a.min()
        raise InputError(f"{where}: expected {what} of 32 bits, in [{kept.min}, {kept.max}], got {wrong}.")
    return a.astype(kept.dtype)


def arrays(
    splits: Mapping[str, tuple[Any, ...] | Dataset],
    *,
    name: str = "arrays",
    loss: Callable[[Any, Any], chex.Array] = cross_entropy,
    metric: Metric = accuracy,
    outputs: int | None = None,
    augment: Callable | None = None,
    prepare: Callable | None = None,
) -> Task:
    """A task from a user's own arrays.

    Args:
      splits: "train", "validation" and "test", each `(inputs, targets)` or `(inputs, targets, weight)`: pytrees of
        `[N, ...]`, and how much each counts, `[N]` or `[N, T]` (0 for padding). Or a `Dataset`, `Stream.of(source)`
        say: that of training stays where it is, those of validation and test are read whole.
      name: the task's name.
      loss: `(outputs, targets) -> [B]` (or `[B, ...]`, see `Task`); cross-entropy by default.
      metric: accuracy by default; `mean_metric` makes one of a function of each example.
      outputs: size of the last axis of the network's outputs; by default the number of classes in `y`, which a stream
        cannot tell. None with a loss of your own for outputs of any kind.
      augment: `(key, inputs) -> inputs` for training batches.
      prepare: `inputs -> inputs`, of a batch as it is stored.

    Raises:
      InputError: a split is missing or empty, its arrays do not match, hold no finite numbers or whole ones beyond 32
        bits, or the splits do not match each other; weights that are negative, of another shape, or all 0; with
        cross-entropy, targets that are no classes; a metric that is none.
    """
    if set(splits) != set(SPLITS):
        raise InputError(f"splits: expected {', '.join(SPLITS)}, got {', '.join(splits) or 'none'}.")
    if not isinstance(metric, Metric):
        judged_metric(metric, (), ())
    check.function("loss", loss)
    made: dict[str, Dataset] = {}
    shapes = lambda spec: jax.tree.map(lambda one: one.shape, spec)
    for split in SPLITS:
        stays = split == "train" and _is_dataset(splits[split])
        made[split] = splits[split] if stays else _batch(f"splits[{split!r}]", splits[split])
        for what in ("inputs", "targets"):
            free = what == "targets" and loss is cross_entropy  # has messages of its own
            shape, first = (shapes(getattr(data.spec, what)) for data in (made[split], made["train"]))
            if shape != first and not free:
                raise InputError(f"splits[{split!r}]: {what} {shape}, but in train {first}.")
    if loss is cross_entropy:
        at_hand = {split: data.targets for split, data in made.items() if isinstance(data, Batch)}
        if len(at_hand) < len(made) and outputs is None:
            raise InputError(
                "outputs: expected the number of classes, as labels of a stream are not counted; got None."
            )
        outputs = _classes(at_hand, outputs)
    if outputs is not None:
        check.integer("outputs", outputs, least=1)
    on_device = (jax.tree.map(jnp.asarray, data) if isinstance(data, Batch) else data for data in made.values())
    return Task(name, *on_device, loss, metric, outputs, augment, prepare)


def _is_dataset(given: Any) -> bool:
    return hasattr(given, "spec") and not isinstance(given, Batch)


def _batch(where: str, given: Any) -> Batch:
    """Checked arrays of one split."""
    if _is_dataset(given):
        given = given.take(np.arange(given.size))
    if isinstance(given, Batch) and given.weight is None:
        given = given[:2]
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise InputError(
            f"{where}: expected arrays (inputs [N, ...], targets [N, ...]), or with a weight [N] besides, or a "
            f"dataset, as tasks.Stream.of(source); got a {type(given).__name__}."
        )
    try:
        parts = [jax.tree.map(np.asarray, part) for part in given]
        counts = [[len(leaf) for leaf in jax.tree.leaves(part)] for part in parts]
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected arrays (inputs [N, ...], targets [N, ...]) ({error}).") from None
    n = counts[0][0] if counts[0] else 0
    for what, found in zip(("inputs", "targets", "weights"), counts, strict=False):
        if any(count != n for count in found):
            raise InputError(f"{where}: {n} inputs but {', '.join(map(str, found))} {what}; expected one for each.")
    if n == 0:
        raise InputError(f"{where}: expected at least one example, got none.")
    kept = [
        jax.tree.map(lambda leaf, what=what: narrowed(where, what, leaf), part)
        for what, part in zip(("inputs", "targets", "weights"), parts, strict=False)
    ]
    return Batch(*kept[:2], None if len(kept) == 2 else _weight(where, kept[2]))


def _weight(where: str, weight: Any) -> np.ndarray:
    if not isinstance(weight, np.ndarray) or weight.ndim not in (1, 2):
        raise InputError(f"{where}: expected weights [N] or [N, T], got {_spec(weight)} of each example.")
    if weight.shape[1:] == (1,):
        raise InputError(f"{where}: expected weights [N], one of each example, got {weight.shape}.")
    if (weight < 0).any() or not (weight > 0).any():
        raise InputError(f"{where}: expected weights from 0 on, some above, got {weight.min()} to {weight.max()}.")
    return weight.astype(np.float32)


def _spec(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.shape[1:], tree)


def _classes(labels: Mapping[str, Any], outputs: int | None) -> int:
    """Their number; raises `InputError` for what are no labels."""
    for split, y in labels.items():
        if not isinstance(y, np.ndarray):
            raise InputError(f"splits: cross-entropy needs labels [N], got {_spec(y)} in {split}.")
        if is_one_hot(y) and outputs in (None, y.shape[1]):
            raise InputError(f"splits[{split!r}]: {ONE_HOT.format(y.shape)}")
        if y.dtype.kind not in "iu" or (y.ndim != 1 and outputs is None):
            raise InputError(
                f"splits: cross-entropy needs integer labels [N], got {y.dtype} {y.shape} in {split}; give your "
                "own loss for other targets, or outputs, the number of classes, for labels of several positions."
            )
    low, high = min(int(y.min()) for y in labels.values()), max(int(y.max()) for y in labels.values())
    if outputs is None and low >= 0:
        numbered("splits", labels, "outputs")
    outputs = high + 1 if outputs is None else outputs
    check.integer("outputs", outputs, least=1)
    if low < 0 or high >= outputs:
        raise InputError(f"splits: expected labels in [0, {outputs}), got {low} to {high}.")
    return outputs
