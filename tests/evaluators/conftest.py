import pytest

from jaxnas.spaces import categorical
from jaxnas.tasks import digits
from tests.support.parts import Tiny


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
