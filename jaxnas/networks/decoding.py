"""One architecture of a transformer, token by token: what it knows of those before is a state of fixed size."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks.choice import is_static
from jaxnas.networks.mixers import Memory, Position
from jaxnas.networks.transformer import Transformer


class Decoder(NamedTuple):
    """Pure functions of one architecture.

    Attributes:
      state: `(batch, length, dtype=float32) -> state` before the first of at most `length` tokens.
      step: `(variables, tokens [B], state, memory=None) -> (logits [B, classes] of the next token, state)`, with the
        memory of an encoder where there is one.
    """

    state: Callable[..., Any]
    step: Callable[..., tuple[chex.Array, Any]]

    def cache_bytes(self, length: int) -> int:
        """Of the state of one sequence of at most `length` tokens."""
        shapes = jax.eval_shape(lambda: self.state(1, length)["cache"])
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def decoder(network: Transformer, decisions: Mapping[str, int]) -> Decoder:
    """The step form of an architecture, whose outputs are those of the network applied to the whole sequence.

    Args:
      network: causal, of tokens, with an output for each position and no padding; also that of an `EncoderDecoder`.
      decisions: integers, as `space.unpack` makes them of a genome on the host.

    Raises:
      InputError: another network, or decisions that are not made yet.
    """
    if not (network.causal and network.vocabulary and network.each and network.padding is None):
        raise InputError("network: expected a causal one of tokens, with an output for each position and no padding.")
    for name, decision in decisions.items():
        if not is_static(decision):
            raise InputError(f"decisions: expected an integer for {name!r}, got {decision!r}.")
    mixers = network.stand_alone_mixers(decisions)

    def state(batch: int, length: int, dtype: jnp.dtype = jnp.float32) -> Any:
        check.integer("batch", batch, least=1)
        check.integer("length", length, least=1, most=network.length)
        cache = {
            f"layer_{i}": {"mixer": {name: {"state": mixer.state(batch, length, dtype)}}}
            for i, (name, mixer) in mixers.items()
            if name != "none"
        }
        return {"at": jnp.int32(0), "cache": cache}

    def step(variables: Any, tokens: chex.Array, state: Any, memory: Memory | None = None) -> tuple[chex.Array, Any]:
        at = Position(state["at"])
        held = {"params": variables["params"], "cache": state["cache"]}
        logits, updated = network.apply(held, decisions, tokens[:, None], False, at, memory, mutable=["cache"])
        return logits[:, 0], {"at": state["at"] + 1, "cache": updated.get("cache", {})}

    return Decoder(state, step)


class DecodeStep(nn.Module):
    """A transformer's next token after a sequence of some length, called with `(decisions, tokens [B, 1], train)`, so
    that what it takes can be measured as that of any network. The cache is part of its variables."""

    network: Transformer
    length: int

    def setup(self):
        """Parameters have the network's own paths."""
        nn.share_scope(self, self.network)

    def __call__(self, decisions, x, train: bool):
        return self.network(decisions, x, train, Position(jnp.int32(self.length - 1), self.length))
