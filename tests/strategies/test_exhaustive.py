import jax
import numpy as np
import pytest

from jaxnas.evaluators import table
from jaxnas.search import search
from jaxnas.spaces import categorical
from jaxnas.strategies import exhaustive

SPACE = categorical({"a": range(3), "b": range(4)})
FITNESS = np.random.default_rng(0).normal(size=12)


def test_every_genome_once_and_then_nothing():
    result = search(SPACE, exhaustive(SPACE, proposals=5), table(SPACE, FITNESS), rounds=5, progress=False)
    np.testing.assert_array_equal([h["fitness"] for h in result.history], FITNESS.astype(np.float32))


def test_recommends_the_optimum():
    result = search(SPACE, exhaustive(SPACE, proposals=5), table(SPACE, FITNESS), rounds=3, progress=False)
    assert int(SPACE.index(result.genome)) == FITNESS.argmax()


def test_space_too_large_to_enumerate_is_refused():
    with pytest.raises(ValueError, match="needs a space with an enumeration"):
        exhaustive(categorical({str(i): range(10) for i in range(12)}))


def test_budget_goes_to_every_member():
    strategy = exhaustive(SPACE, proposals=2, budget=7)
    proposal, _ = strategy.ask(jax.random.key(0), jax.jit(strategy.init)(jax.random.key(0)))
    assert proposal.budget.tolist() == [7, 7] and "budget" in strategy.gives
