"""Learning from a teacher beside the task: its logits, and what it makes of the inputs on the way."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.tasks.batch import weighted_mean

INTERMEDIATES = "intermediates"
"""Flax's collection of what networks sow: `networks.Transformer` outputs of its layers, `hidden_0`, `hidden_1`, …"""


class Distillation(NamedTuple):
    """What a training learns from a teacher (Hinton, Vinyals and Dean, 2015; Romero et al., 2015, for features).

    The loss is (1 - weight) task + weight T^2 KL(teacher / T || student / T) + features * mean squared difference.

    Attributes:
      teacher: `inputs -> (logits [B, ..., classes], {name: feature})`, pure code; the inputs are those of the network.
      weight: of the logits, in [0, 1].
      temperature: T.
      features: weight of the features, the mean over those that the teacher names; 0 for none.
    """

    teacher: Callable[[Any], tuple[chex.Array, Mapping[str, chex.Array]]]
    weight: float = 0.5
    temperature: float = 1.0
    features: float = 0.0

    def check(self) -> None:
        """Raises `InputError` naming a field out of its range."""
        check.function("distillation.teacher", self.teacher)
        check.real("distillation.weight", self.weight, least=0, most=1)
        check.real("distillation.temperature", self.temperature, least=1e-3)
        check.real("distillation.features", self.features, least=0)

    def loss(
        self,
        own: chex.Array,
        logits: chex.Array,
        made: Mapping[str, Any],
        inputs: Any,
        weight: chex.Array | None,
        over_devices: Callable[[chex.Array], chex.Array],
    ) -> chex.Array:
        """The whole loss.

        Args:
          own: the task's.
          logits: of the student.
          made: what it sowed.
          inputs: of the batch.
          weight: of its examples, see `tasks.Batch`.
          over_devices: see `tasks.batch.weighted_mean`.

        Raises:
          InputError: logits of another shape than the teacher's, or a feature that the student has not, or not so.
        """
        theirs, features = jax.lax.stop_gradient(self.teacher(inputs))
        if theirs.shape != logits.shape:
            raise InputError(f"distillation.teacher: its logits are {theirs.shape}, the network's {logits.shape}.")
        soft = lambda x: jax.nn.log_softmax(x.astype(jnp.float32) / self.temperature)
        apart = (jnp.exp(soft(theirs)) * (soft(theirs) - soft(logits))).sum(-1)
        learned = self.temperature**2 * weighted_mean(apart, weight, over_devices)
        total = (1 - self.weight) * own + self.weight * learned
        if not self.features:
            return total
        sown = {name: values[-1] for name, values in made.items()}
        for name, feature in features.items():
            check.one_of("distillation.teacher, feature", name, sown)
            if feature.shape != sown[name].shape:
                raise InputError(
                    f"distillation.teacher: feature {name!r} is {feature.shape}, the network's {sown[name].shape}."
                )
        if not features:
            raise InputError("distillation.features: the teacher gives none to learn from.")
        squares = [jnp.square(sown[name].astype(jnp.float32) - feature) for name, feature in features.items()]
        means = [weighted_mean(square.mean(-1), weight, over_devices) for square in squares]
        return total + self.features * sum(means) / len(means)
