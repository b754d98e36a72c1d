"""A space and networks that are small enough to train in any test; configs name them `tests.support.parts:mine`."""

import flax.linen as nn

from jaxnas.networks import Choice, Identity
from jaxnas.spaces import categorical
from jaxnas.types import Space


def mine() -> Space:
    """Six genomes, four networks: with `skip` the width of the layer that is left out does not matter."""

    def canonical(genome):
        return genome.at[1].set((genome[0] == 1) * genome[1])

    return categorical({"layer": ["skip", "dense"], "power": [1, 2, 3]}, name="mine", canonical=canonical)


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.relu(nn.Dense(x.shape[-1])(x))


class Mine(nn.Module):
    """A layer or none, then the logits; for `mine`."""

    classes: int = 10

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = x.reshape(len(x), -1)
        x = Choice({"skip": Identity, "dense": Layer}, name="layer")(decisions["layer"], x, train)
        return nn.Dense(self.classes)(x)


class Hidden(nn.Module):
    """A residual layer."""

    @nn.compact
    def __call__(self, x, train):
        return x + nn.Dense(16)(nn.relu(x))


class Overflow(nn.Module):
    """Finite before training, infinite after: what a diverging member looks like."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.ones, ())
        return x * 1e30 * 1e30 * scale if train else x


class Tiny(nn.Module):
    """64 pixels -> 16 features -> two choices -> ten classes."""

    outputs: int = 10

    @nn.compact
    def __call__(self, decisions, x, train):
        x = nn.Dense(16)(x.reshape(x.shape[0], -1))
        for name in ("first", "second"):
            x = Choice({"skip": Identity, "hidden": Hidden, "overflow": Overflow}, name=name)(decisions[name], x, train)
        return nn.Dense(self.outputs)(x)
