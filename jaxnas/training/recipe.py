"""How a network is trained: optimizer, schedule, decay, and what else is the same for any network and task."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.references import imported, is_reference

ELEMENTWISE = (
    *("adabelief", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan", "amsgrad", "lion", "nadam"),
    *("nadamw", "optimistic_adam", "radam", "rmsprop", "rprop", "sgd", "sign_sgd", "yogi"),
)
"""Optimizers that treat each number by itself: all parameters are then one vector, and one kernel updates them."""
OPTIMIZERS = (*ELEMENTWISE, "adafactor", "fromage", "lamb", "lars", "novograd", "sm3")
SCHEDULES: dict[str, Callable[[chex.Array], chex.Array]] = {
    "cosine": lambda progress: 0.5 * (1 + jnp.cos(jnp.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "constant": jnp.ones_like,
}
"""What is left of the way from the learning rate to the final one when `progress` in [0, 1] is done."""
NUMBERS = (
    *("learning_rate", "final_learning_rate", "momentum", "weight_decay", "clip_norm", "label_smoothing", "drop_path"),
    "auxiliary",
)
"""Fields that may be traced, and so differ from member to member of a population."""


class Recipe(NamedTuple):
    """By default that of NAS-Bench-201: SGD with Nesterov's momentum and a cosine schedule.

    An option that the network has nothing for is refused (see `fits`).

    Attributes:
      batch_size: examples in a step.
      optimizer: of Optax, by name ("sgd", "adamw", "lion", …), with arguments of its own as `{"name": "adamw", "b2":
        0.95}`; or a factory of your own, `learning_rate -> optax.GradientTransformation` where the learning rate is a
        schedule `step -> rate` ("package.module:factory" in a config).
      learning_rate: the highest.
      final_learning_rate: after the last step, unless the schedule is constant.
      schedule: "cosine", "linear" or "constant" after the warm-up, or a function `(step, steps) -> factor`.
      warm_up: steps in which the learning rate grows linearly from 0.
      schedule_steps: the steps along which the learning rate falls; 0 for those of the training.
      momentum: of SGD.
      nesterov: whether SGD's momentum is Nesterov's.
      weight_decay: decoupled where the optimizer has an argument for it (AdamW, Lion), else added to the gradient, as
        PyTorch's SGD does. A factory of your own does its own.
      no_decay: parameters without decay: patterns of paths ("*/bias", "norm/*"), or a function `path -> bool`.
      frozen: parameters that stay as they are, to the bit: likewise.
      clip_norm: the gradient is scaled down to this norm where it is longer, before the decay; 0 for never.
      accumulate: parts that a batch is worked on in, one after another, for the memory of one part.
      ema: the decay of an exponential moving average of the parameters, which then is what is scored; 0 for none.
      label_smoothing: in [0, 1), for cross-entropy.
      cutout: side in pixels of the square cut out of each training image (DeVries and Taylor, 2017); 0 for none.
      drop_path: probability in [0, 1) of dropping a path at the last step, growing linearly from 0 at the first:
        ScheduledDropPath. The network reads the variable `schedule/drop_path` and has an RNG `drop_path`.
      auxiliary: weight of the loss of the logits that the network sows into its collection "auxiliary"; 0 for none.
    """

    batch_size: int = 64
    optimizer: str | Mapping[str, Any] | Callable[..., optax.GradientTransformation] = "sgd"
    learning_rate: float = 0.1
    final_learning_rate: float = 0.0
    schedule: str | Callable[[chex.Array, chex.Array], chex.Array] = "cosine"
    warm_up: int = 0
    schedule_steps: int = 0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    no_decay: str | Sequence[str] | Callable[[str], bool] = ()
    frozen: str | Sequence[str] | Callable[[str], bool] = ()
    clip_norm: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    label_smoothing: float = 0.0
    cutout: int = 0
    drop_path: float = 0.0
    auxiliary: float = 0.0

    @classmethod
    def of(cls, **fields) -> "Recipe":
        """The recipe with these fields; raises `InputError` for a field that does not exist or is out of range."""
        for field in fields:
            check.one_of("recipe", field, cls._fields)
        # NumPy's numbers have a type, which would be that of all they are multiplied with.
        numbers = {name: value.item() if isinstance(value, np.generic) else value for name, value in fields.items()}
        recipe = cls(**numbers)
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raises `InputError` naming a field out of its range."""
        check.integer("batch_size", self.batch_size, least=1)
        check.integer("accumulate", self.accumulate, least=1)
        if self.batch_size % self.accumulate:
            raise InputError(
                f"accumulate: {self.batch_size} examples of a batch are not {self.accumulate} equal parts."
            )
        for field in ("cutout", "warm_up", "schedule_steps"):
            check.integer(field, getattr(self, field), least=0)
        positive = ("learning_rate", "final_learning_rate", "weight_decay", "clip_norm", "auxiliary")
        for field, most in {**dict.fromkeys(positive, 1e6), "momentum": 1, "label_smoothing": 1}.items():
            check.real(field, getattr(self, field), least=0, most=most)
        check.real("drop_path", self.drop_path, least=0, most=0.999)
        check.real("ema", self.ema, least=0, most=0.999999)
        if not callable(self.schedule):
            check.one_of("schedule", self.schedule, SCHEDULES)
        elif self.warm_up or self.final_learning_rate:
            ignored = "warm_up" if self.warm_up else "final_learning_rate"
            raise InputError(f"{ignored}: a schedule that is a function is the whole of it; put this into it.")
        self.make_optimizer(1)

    def rate(self, step: chex.Numeric, steps: chex.Numeric) -> chex.Array:
        """The learning rate of a step of a training of so many, both may be traced."""
        steps = self.schedule_steps or steps
        if callable(self.schedule):
            return self.learning_rate * self.schedule(step, steps)
        step, steps, warm = jnp.float32(step), jnp.float32(steps), self.warm_up
        done = step / steps if not warm else (step - warm) / jnp.maximum(steps - warm, 1)
        left = SCHEDULES[self.schedule](jnp.clip(done, 0, 1))
        rate = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * left
        return jnp.where(step < warm, self.learning_rate * step / warm, rate) if warm else rate

    def progress(self, step: chex.Numeric, steps: chex.Numeric) -> chex.Array:
        """The share of the training, in [0, 1], that is done at a step."""
        return jnp.minimum(jnp.float32(step) / jnp.float32(self.schedule_steps or steps), 1)

    @property
    def elementwise(self) -> bool:
        """Whether each parameter is updated by itself, but for a norm over all."""
        return self._optimizer()[0] in ELEMENTWISE

    def make_optimizer(self, steps: chex.Numeric) -> optax.GradientTransformation:
        """From gradients to updates, of a training of `steps`; decay is of the parameters in group "weights".

        Raises:
          InputError: no such optimizer or argument.
        """
        name, factory, arguments = self._optimizer()
        chain = [optax.clip_by_global_norm(self.clip_norm)] if on(self.clip_norm) else []
        if name:
            taken = inspect.signature(factory).parameters
            for argument in arguments:
                check.one_of(f"optimizer {name!r}", argument, list(taken)[1:])
            mask = _decayed
            decay = next((a for a in ("weight_decay", "weight_decay_rate") if a in taken), None)
            if decay is None:
                chain += [optax.add_decayed_weights(self.weight_decay, mask)] if on(self.weight_decay) else []
            else:
                masked = next((a for a in ("mask", "weight_decay_mask") if a in taken), None)
                arguments = {decay: self.weight_decay, **({masked: mask} if masked else {}), **arguments}
            if name == "sgd":
                arguments = {"momentum": self.momentum, "nesterov": self.nesterov, **arguments}
        made = factory(lambda count: self.rate(count, steps), **arguments)
        if not isinstance(made, optax.GradientTransformation):
            raise InputError(f"optimizer: expected an optax.GradientTransformation, {factory} gives {type(made)}.")
        return optax.chain(*chain, made)

    def _optimizer(self) -> tuple[str, Callable, dict[str, Any]]:
        """(name, or "" of one of the user's own; factory; arguments)."""
        given, arguments = self.optimizer, {}
        if isinstance(given, Mapping):
            arguments = {k: v for k, v in given.items() if k != "name"}
            given = given.get("name")
        if callable(given):
            return "", given, arguments
        if isinstance(given, str) and is_reference(given):
            return "", imported("optimizer", given), arguments
        check.one_of("optimizer", given, OPTIMIZERS)
        return given, getattr(optax, given), arguments


def _decayed(packed: Mapping[str, Any]) -> dict[str, Any]:
    """Which of the packed parameters decay."""
    return {group: jax.tree.map(lambda _, yes=group == "weights": yes, of) for group, of in packed.items()}


def on(number: chex.Numeric) -> bool:
    """Whether something is asked for at all: a number that is traced, or not 0."""
    return isinstance(number, jax.core.Tracer) or bool(number)


def smoothed(loss: Callable, number: chex.Numeric) -> Callable:
    """The loss with smoothed labels, where they are."""
    return partial(loss, label_smoothing=number) if on(number) else loss
