"""A trained network, of whose parts others are made, and from which they learn."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.training.distillation import INTERMEDIATES, Distillation
from jaxnas.training.start import Initialize


class Parent(NamedTuple):
    """What a search of replacements starts from.

    Attributes:
      network: of which nothing is left to decide, called with `({}, x, train)`.
      variables: trained.
      initialize: `(key, decisions, variables) -> variables`, those with which a network that has replacements begins.
      name: of the model, for messages and files.
      tokenizer: what makes tokens of text, to be saved with what is made of it; None where there is none.
      ordered: whether hidden features of feed-forward networks are in the order of what they matter, so that a narrower
        network may have the first of them.
    """

    network: nn.Module
    variables: Mapping[str, Any]
    initialize: Callable[[Any, Any, Mapping[str, Any]], Mapping[str, Any]]
    name: str = "parent"
    tokenizer: Any = None
    ordered: bool = False

    def teacher(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Logits and features, see `Distillation`."""
        logits, made = self.network.apply(self.variables, {}, inputs, False, mutable=[INTERMEDIATES])
        return logits, {name: values[-1] for name, values in made.get(INTERMEDIATES, {}).items()}


def start(
    parent: Parent | None, initialize: Initialize, distillation: Distillation | Mapping[str, Any] | None
) -> tuple[Initialize, Distillation | None]:
    """What a training begins with and whom it learns from: the parent, where nothing else is said.

    Args:
      parent: if there is any.
      initialize: variables, or what makes them, in place of the parent's.
      distillation: fields of `Distillation` are completed by the parent as teacher.

    Raises:
      InputError: fields without a parent, or that are none.
    """
    if parent is not None and initialize is None:
        initialize = parent.initialize
    if isinstance(distillation, Mapping):
        if parent is None and "teacher" not in distillation:
            raise InputError("distillation: there is no teacher; expected a parent, or a Distillation with one.")
        for field in distillation:
            check.one_of("distillation", field, Distillation._fields)
        distillation = Distillation(**{"teacher": getattr(parent, "teacher", None), **distillation})
    return initialize, distillation
