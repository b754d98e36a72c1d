"""Classification tasks: data, loss and metric, and how they are checked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.labels import ONE_HOT, is_one_hot, numbered


class Split(NamedTuple):
    """Examples: inputs `x` `[N, ...]`, as they are stored, and targets `y` `[N, ...]`."""

    x: chex.Array
    y: chex.Array

    @property
    def size(self) -> int:
        """N."""
        return self.x.shape[0]

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and type of one input as it is stored."""
        return jax.ShapeDtypeStruct(self.x.shape[1:], self.x.dtype)

    def take(self, rows: chex.Array, upcoming: chex.Array | None = None) -> "Split":
        """The examples `rows` `[B]`; which are asked for next makes no difference here."""
        return Split(self.x[rows], self.y[rows])


class Task(NamedTuple):
    """On what to search.

    Attributes:
      name: for messages and files.
      train, validation, test: `Split`s. Searches see the first two, retraining adds the third. The first may be a
        `Stream`, whose examples stay on the host.
      loss: `(outputs [B, ...], y [B, ...]) -> [B, ...]`, to be minimized, see `by_example`.
      metric: likewise, higher is better (1 where right: the mean is accuracy).
      outputs: size of the network's output.
      augment: `(key, x [B, ...]) -> x`, applied to training batches, or None.
      prepare: `x [B, ...] as stored -> inputs of the network`, inside the program and before `augment`, or None: images
        may so be kept as bytes.
    """

    name: str
    train: Any
    validation: Split
    test: Split
    loss: Callable
    metric: Callable
    outputs: int
    augment: Callable | None = None
    prepare: Callable | None = None

    def inputs(self, x: chex.Array) -> chex.Array:
        """What the network is given of examples `x` `[B, ...]` as they are stored."""
        return x if self.prepare is None else single(self.prepare(x))

    def batch_of(self, size: int) -> jax.ShapeDtypeStruct:
        """Shape and type of `size` inputs."""
        example = self.train.example
        return jax.eval_shape(self.inputs, jax.ShapeDtypeStruct((size, *example.shape), example.dtype))

    def blank(self) -> chex.Array:
        """One input of zeros, to initialize a network on."""
        one = self.batch_of(1)
        return jnp.zeros(one.shape, one.dtype)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.batch_of(1).shape[1:]

    def judges(self, outputs: chex.Array) -> None:
        """Raises `InputError` unless loss and metric are of each example, given such outputs `[B, ...]`."""
        for y in {(s.y.shape[1:], s.y.dtype): s.y for s in (self.train, self.validation, self.test)}.values():
            judged("loss", self.loss, outputs, y)
            judged("metric", self.metric, outputs, y)

    def with_validation(self) -> "Task":
        """The task of a final training: train and validation joined, nothing left to validate on but the test."""
        if not isinstance(self.train, Split):
            return self._replace(train=self.train.joined(self.validation), validation=self.test)
        train = Split(*(jnp.concatenate(parts) for parts in zip(self.train, self.validation, strict=True)))
        return self._replace(train=train, validation=self.test)


def cross_entropy(outputs: chex.Array, y: chex.Array, label_smoothing: float = 0.0) -> chex.Array:
    """`[B]` softmax cross-entropy of logits `[B, classes]` with integer labels `[B]`, in nats."""
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    targets = optax.smooth_labels(jax.nn.one_hot(y, outputs.shape[-1], dtype=dtype), label_smoothing)
    return optax.softmax_cross_entropy(outputs.astype(dtype), targets)


def correct(outputs: chex.Array, y: chex.Array) -> chex.Array:
    """`[B]` float32, 1 where the largest logit is the label."""
    return (jnp.argmax(outputs, -1) == y).astype(jnp.float32)


def by_example(what: str, fn: Callable, outputs: chex.Array, y: chex.Array) -> chex.Array:
    """`[B]` what a loss or metric gives for each example: of `[B, ...]`, the mean over the further axes.

    Every mean over examples that is descended on or reported is one of these.

    Args:
      what: "loss" or "metric", for messages.
      fn: `(outputs, y) -> [B, ...]`.
      outputs: `[B, ...]`.
      y: `[B, ...]`.

    Raises:
      InputError: see `judged`.
    """
    judged(what, fn, outputs, y)
    values = fn(outputs, y)
    return values.astype(jnp.promote_types(outputs.dtype, jnp.float32)).mean(tuple(range(1, values.ndim)))


def judged(what: str, fn: Callable, outputs: chex.Array, y: chex.Array) -> None:
    """Raises `InputError` unless a loss or metric gives `[B, ...]` for every B, of outputs and targets like these.

    Only shapes are computed, at two sizes of batch that no other axis has: what broadcasts by chance does not pass.
    """
    size = max((1, *outputs.shape[1:], *y.shape[1:]))
    given = {}
    for B in (size + 1, size + 2):
        like = [jax.ShapeDtypeStruct((B, *a.shape[1:]), a.dtype) for a in (outputs, y)]
        try:
            given[B] = jax.eval_shape(fn, *like)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{what}: does not run on outputs {_batch(outputs)} and targets {_batch(y)}, here for B = {B}: {error}"
            ) from error
    shapes = {B: getattr(value, "shape", ()) for B, value in given.items()}
    if any(shape[:1] != (B,) or shape[1:] != shapes[size + 1][1:] for B, shape in shapes.items()):
        B = size + 1
        said = f"shape {shapes[B]}" if hasattr(given[B], "shape") else f"a {type(given[B]).__name__}"
        raise InputError(
            f"{what}: expected one number for each example, [B], or [B, ...], whose mean over further axes counts; of "
            f"outputs {_batch(outputs)} and targets {_batch(y)} it gives {said} for B = {B}."
        )


def _batch(a) -> str:
    return f"[{', '.join(['B', *map(str, a.shape[1:])])}]"


def single(x: chex.Array) -> chex.Array:
    """In float32 where it is in float64, which is what a user's own function gives in JAX's 64-bit mode."""
    return x.astype(jnp.float32) if x.dtype == jnp.float64 else x


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
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    name: str = "arrays",
    loss: Callable = cross_entropy,
    metric: Callable = correct,
    outputs: int | None = None,
    augment: Callable | None = None,
    prepare: Callable | None = None,
) -> Task:
    """A task from a user's own arrays.

    Args:
      splits: "train", "validation" and "test", each `(x [N, ...], y [N, ...])`.
      name: the task's name.
      loss: `(outputs, y) -> [B]` (or `[B, ...]`, see `by_example`); cross-entropy by default.
      metric: likewise, higher is better; accuracy by default.
      outputs: size of the network's output; by default the number of classes in `y`.
      augment: `(key, x) -> x` for training batches.
      prepare: `x -> inputs`, of examples as they are stored.

    Raises:
      InputError: a split is missing or empty, its arrays do not match, hold no finite numbers or whole ones beyond 32
        bits, or the splits do not match each other; with cross-entropy, targets that are no classes.
    """
    needed = ("train", "validation", "test")
    if set(splits) != set(needed):
        raise InputError(f"splits: expected {', '.join(needed)}, got {', '.join(splits) or 'none'}.")
    made = {}
    for split in needed:
        where = f"splits[{split!r}]"
        try:
            x, y = (np.asarray(a) for a in splits[split])
            counts = len(x), len(y)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: expected arrays (x [N, ...], y [N, ...]) ({error}).") from None
        if counts[0] != counts[1]:
            raise InputError(f"{where}: {counts[0]} inputs but {counts[1]} targets; expected one for each.")
        if counts[0] == 0:
            raise InputError(f"{where}: expected at least one example, got none.")
        x, y = narrowed(where, "inputs", x), narrowed(where, "targets", y)
        for what, a in {"inputs": x, "targets": y}.items():
            reference = getattr(made.get("train"), "x" if what == "inputs" else "y", a)
            if a.shape[1:] != reference.shape[1:] and not (what == "targets" and loss is cross_entropy):
                raise InputError(f"{where}: {what} {a.shape[1:]}, but in train {reference.shape[1:]}.")
        made[split] = Split(jnp.asarray(x), jnp.asarray(y))
    if loss is cross_entropy:
        labels = {split: np.asarray(made[split].y) for split in needed}
        for split, y in labels.items():
            if is_one_hot(y):
                raise InputError(f"splits[{split!r}]: {ONE_HOT.format(y.shape)}")
            if y.dtype.kind not in "iu" or y.ndim != 1:
                raise InputError(
                    f"splits: cross-entropy needs integer labels [N], got {y.dtype} {y.shape} in {split}; give your "
                    "own loss for other targets."
                )
        low, high = min(int(y.min()) for y in labels.values()), max(int(y.max()) for y in labels.values())
        if outputs is None and low >= 0:
            numbered("splits", labels, "outputs")
        outputs = high + 1 if outputs is None else outputs
        check.integer("outputs", outputs, least=1)
        if low < 0 or high >= outputs:
            raise InputError(f"splits: expected labels in [0, {outputs}), got {low} to {high}.")
    if outputs is None:
        raise InputError("outputs: expected the size of the network's output, since the loss is your own.")
    check.integer("outputs", outputs, least=1)
    return Task(name, made["train"], made["validation"], made["test"], loss, metric, outputs, augment, prepare)
