import flax.linen as nn
import pytest

from jaxnas.networks import Choice, Identity
from jaxnas.spaces import categorical
from jaxnas.tasks import digits


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


@pytest.fixture(scope="session")
def space():
    options = ("skip", "hidden", "overflow")
    return categorical({"first": options, "second": options}, name="tiny")


@pytest.fixture(scope="session")
def network():
    return Tiny


@pytest.fixture(scope="session")
def task():
    return digits()
