"""Data and loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import check
from jaxnas.check import InputError


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
      loss: `(outputs [B, ...], y [B, ...]) -> [B]`, to be minimized.
      metric: `(outputs, y) -> [B]`, higher is better (1 where right: the mean is accuracy).
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

    def inputs(self, x) -> chex.Array:
        """What the network is given of examples `x` `[B, ...]` as they are stored."""
        return x if self.prepare is None else self.prepare(x)

    def batch_of(self, size: int) -> jax.ShapeDtypeStruct:
        """Shape and type of so many inputs."""
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

    def with_validation(self) -> "Task":
        """The task of a final training: train and validation joined, nothing left to validate on but the test."""
        if not isinstance(self.train, Split):
            return self._replace(train=self.train.joined(self.validation), validation=self.test)
        train = Split(*(jnp.concatenate(parts) for parts in zip(self.train, self.validation, strict=True)))
        return self._replace(train=train, validation=self.test)


def cross_entropy(outputs, y, label_smoothing: float = 0.0):
    """Softmax cross-entropy of logits `[B, classes]` with integer labels `[B]`, in nats."""
    targets = optax.smooth_labels(jax.nn.one_hot(y, outputs.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32)), targets)


def correct(outputs, y):
    """1 where the largest logit is the label."""
    return (jnp.argmax(outputs, -1) == y).astype(jnp.float32)


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
      loss: `(outputs, y) -> [B]`; cross-entropy by default.
      metric: `(outputs, y) -> [B]`, higher is better; accuracy by default.
      outputs: size of the network's output; by default the number of classes in `y`.
      augment: `(key, x) -> x` for training batches.
      prepare: `x -> inputs`, of examples as they are stored.

    Raises:
      InputError: a split is missing or empty, its arrays do not match, or the splits do not match each other.
    """
    needed = ("train", "validation", "test")
    if set(splits) != set(needed):
        raise InputError(f"splits: expected {', '.join(needed)}, got {', '.join(splits) or 'none'}.")
    made = {}
    for split in needed:
        x, y = (np.asarray(a) for a in splits[split])
        if len(x) != len(y):
            raise InputError(f"splits[{split!r}]: {len(x)} inputs but {len(y)} targets; expected one for each.")
        if len(x) == 0:
            raise InputError(f"splits[{split!r}]: expected at least one example, got none.")
        for what, a in {"inputs": x, "targets": y}.items():
            if a.dtype.kind not in "fiub":
                raise InputError(f"splits[{split!r}]: expected {what} that are numbers, got {a.dtype}.")
            if a.dtype.kind == "f" and not np.isfinite(a).all():
                raise InputError(f"splits[{split!r}]: {what} hold NaN or infinity.")
            reference = getattr(made.get("train"), "x" if what == "inputs" else "y", a)
            if a.shape[1:] != reference.shape[1:] and not (what == "targets" and loss is cross_entropy):
                raise InputError(f"splits[{split!r}]: {what} {a.shape[1:]}, but in train {reference.shape[1:]}.")
        made[split] = Split(jnp.asarray(x, jnp.float32 if x.dtype.kind == "f" else None), jnp.asarray(y))
    if loss is cross_entropy:
        labels = [np.asarray(made[split].y) for split in needed]
        if any(y.dtype.kind not in "iu" or y.ndim != 1 for y in labels):
            raise InputError("splits: cross-entropy needs integer labels [N]; give your own loss for other targets.")
        classes = int(max(y.max() for y in labels)) + 1
        outputs = classes if outputs is None else outputs
        low = int(min(y.min() for y in labels))
        if low < 0 or classes > outputs:
            raise InputError(f"splits: expected labels in [0, {outputs}), got {low} to {classes - 1}.")
    if outputs is None:
        raise InputError("outputs: expected the size of the network's output, since the loss is your own.")
    check.integer("outputs", outputs, least=1)
    return Task(name, made["train"], made["validation"], made["test"], loss, metric, outputs, augment, prepare)
