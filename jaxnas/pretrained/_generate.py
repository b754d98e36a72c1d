"""What a pretrained decoder writes on, token by token."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks import Transformer, decoder
from jaxnas.pretrained._load import Pretrained

STEPS = 32
"""Steps of a program are a multiple of it, so that prompts of similar length share one."""


def generate(pretrained: Pretrained, prompt: str | Any, *, tokens: int = 64) -> str | np.ndarray:
    """The most probable token after the prompt, the most probable after that, and so on; each with what is known of
    those before in a cache.

    Args:
      pretrained: what `load` returned.
      prompt: a text, or tokens `[B, T]`, for those of which there is no tokenizer.
      tokens: how many more.

    Returns:
      The text that follows, up to a token that ends it; of tokens `[B, tokens]` int32, whatever they are.

    Raises:
      InputError: an empty prompt, a text without a tokenizer, tokens outside the vocabulary, more than the network's
        length.
    """
    check.integer("tokens", tokens, least=1)
    own, network = pretrained.tokenizer, pretrained.network
    text = isinstance(prompt, str)
    if text and own is None:
        raise InputError("prompt: expected tokens [B, T], as the model has no tokenizer, got a text.")
    given = np.asarray(own.encode(prompt)[None] if text else prompt)
    if given.ndim != 2 or not given.size or not np.issubdtype(given.dtype, np.integer):
        raise InputError(f"prompt: expected a text or tokens [B, T], one at least, got {given.dtype} {given.shape}.")
    if given.min() < 0 or given.max() >= network.vocabulary:
        raise InputError(f"prompt: expected tokens in [0, {network.vocabulary}), got {given.min()} to {given.max()}.")
    B, T = given.shape
    if T + tokens > network.length:
        raise InputError(f"tokens: {T} of the prompt and {tokens} more are too many for {network.length} positions.")
    steps = min(-(-(T + tokens - 1) // STEPS) * STEPS, network.length)
    padded = np.zeros((B, steps), np.int32)
    padded[:, :T] = given
    run = _program(network, tuple(sorted(pretrained.decisions.items())))
    made = np.asarray(run(pretrained.variables, padded, T))[:, T - 1 : T - 1 + tokens]
    if not text:
        return made
    ends = np.flatnonzero(np.isin(made[0], own.end))
    return own.decode(made[0, : ends[0]] if len(ends) else made[0])


@functools.lru_cache(maxsize=8)
def _program(network: Transformer, decisions: tuple[tuple[str, int], ...]):
    """`(variables, tokens [B, steps], how many of the steps are the prompt's) -> next tokens [B, steps]`, jitted."""
    decode = decoder(network, dict(decisions))

    @jax.jit
    def run(variables, tokens, known):
        B, steps = tokens.shape

        def step(carry, given):
            state, last = carry
            token, i = given
            logits, state = decode.step(variables, jnp.where(i < known, token, last), state)
            last = logits.argmax(-1).astype(jnp.int32)
            return (state, last), last

        dtype = variables["params"]["embedding"]["embedding"].dtype
        begin = decode.state(B, steps, dtype), jnp.zeros(B, jnp.int32)
        return jax.lax.scan(step, begin, (tokens.T, jnp.arange(steps)))[1].T

    return run
