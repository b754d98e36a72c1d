"""A small supernet: a space of decisions between bent layers, their network, and examples that it can learn."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import tasks
from jaxnas.networks import BatchNorm, Choice
from jaxnas.spaces import categorical
from jaxnas.types import propose

SPACE = categorical({"first": ["a", "b", "c"], "second": ["a", "b"]}, name="small")
RECIPE = {"learning_rate": 0.1, "nesterov": False, "weight_decay": 1e-2}


class Wide(nn.Module):
    """Twelve inputs mapped to six, with a bend, in the precision that is on."""

    bend: float

    @nn.compact
    def __call__(self, x, train):
        return nn.tanh(self.bend * nn.Dense(6, param_dtype=x.dtype, dtype=x.dtype)(x))


class Network(nn.Module):
    """A choice of bent layers for each decision, with batch normalization behind it or without, then three logits."""

    norm: bool = False
    choices: tuple = (("first", 3), ("second", 2))

    @nn.compact
    def __call__(self, decisions, x, train):
        x = x.astype(jnp.float64 if jax.config.jax_enable_x64 else jnp.float32).reshape(x.shape[0], -1)
        for name, count in self.choices:
            options = {option: partial(Wide, 0.5 + i) for i, option in enumerate("abc"[:count])}
            x = Choice(options, name=name)(decisions[name], x, train)
            if self.norm:
                x = BatchNorm(name=f"{name}_norm")(x[:, None, None], train)[:, 0, 0]
        return nn.Dense(3, param_dtype=x.dtype, dtype=x.dtype)(x)


def examples(n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 12)).astype(np.float32)
    return x, (x[:, :3] + 0.3 * x[:, 3:6]).argmax(1)


def task(train, validation):
    """Of so many examples to train on and to validate with."""
    return tasks.arrays({"train": examples(train, 0), "validation": examples(validation, 1), "test": examples(8, 2)})


def mixtures(space, weights, budget=0, gates=None):
    """A proposal of weights `[P, D, C]`."""
    weights = np.asarray(weights)
    gates = None if gates is None else jnp.asarray(gates)
    genomes = np.stack([np.asarray(space.derive(w)) for w in weights])
    return propose(jnp.asarray(genomes), jnp.int32(0), budget=budget, weights=jnp.asarray(weights), gates=gates)
