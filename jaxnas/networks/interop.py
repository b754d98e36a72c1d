"""Networks that are no Linen modules of this library: pure functions, Flax NNX, and what is found as either."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import traverse_util

from jaxnas import check
from jaxnas.networks._extract import extract


class Functions(nn.Module):
    """A network of two pure functions; called with `(decisions, x, train)`.

    Attributes:
      init_fn: `(key, decisions, x) -> params`, any pytree.
      apply_fn: `(params, decisions, x, train) -> outputs`.
    """

    init_fn: Callable[[jax.Array, Any, Any], Any]
    apply_fn: Callable[[Any, Any, Any, bool], Any]

    def __post_init__(self):
        check.function("init_fn", self.init_fn)
        check.function("apply_fn", self.apply_fn)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        params = self.param("own", lambda key: self.init_fn(key, decisions, x))
        return self.apply_fn(params, decisions, x, train)


class _Fixed:
    """Decisions, which Flax leaves alone."""

    def __init__(self, decisions: Mapping[str, Any]):
        self.decisions = decisions


class StandAlone(nn.Module):
    """One architecture of a network, called with `(x, train)`; parameters have the network's own paths."""

    network: nn.Module
    fixed: _Fixed

    def setup(self):
        nn.share_scope(self, self.network)

    def __call__(self, x, train: bool = False):
        return self.network(self.fixed.decisions, x, train)


def stand_alone(network: nn.Module, decisions: Mapping[str, Any]) -> StandAlone:
    """The Linen module of one architecture, without decisions: `space.unpack` of a NumPy genome."""
    return StandAlone(network, _Fixed(decisions))


def as_nnx(network: nn.Module, decisions: Mapping[str, Any], variables: Mapping[str, Any], x: Any) -> Any:
    """One architecture as a Flax NNX module, called with `(x)`, or `(x, train=True)`.

    Args:
      network: of which it is one.
      decisions: `space.unpack` of a NumPy genome.
      variables: of the architecture alone, or of a network that holds it (a supernet's).
      x: an input to find the shapes of parameters with.

    Raises:
      InputError: variables of another network.
    """
    from flax import nnx

    module = stand_alone(network, decisions)
    own = extract(dict(variables), jax.eval_shape(lambda key: module.init(key, x, False), jax.random.key(0)))
    made = nnx.bridge.ToNNX(module, rngs=nnx.Rngs(0)).lazy_init(x, False)
    values = {path: leaf for tree in own.values() for path, leaf in traverse_util.flatten_dict(tree).items()}
    state = [(path, variable) for path, variable in nnx.to_flat_state(nnx.state(made)) if path in values]
    nnx.update(made, nnx.from_flat_state([(path, variable.replace(values[path])) for path, variable in state]))
    return made
