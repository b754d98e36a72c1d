from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.check import InputError
from jaxnas.evaluators import direct
from jaxnas.networks import GraphNetwork
from jaxnas.search import search
from jaxnas.spaces import categorical, graph
from jaxnas.strategies import neat, random_search
from jaxnas.types import propose

SPACE = graph(2, 1, hidden=2, connections=4)
NETWORK = GraphNetwork()
X = np.float32([[0.2, 0.5], [1, -1]])


@cache
def asked():
    return propose(jax.jit(jax.vmap(SPACE.sample))(jax.random.split(jax.random.key(0), 4)), jnp.int32(0))


def answered(fitness):
    """Feedback of the traced evaluator."""
    evaluate = direct(fitness, network=NETWORK).evaluate
    return jax.jit(lambda proposal: evaluate(jax.random.key(0), (), proposal)[0])(asked())


def score(apply, genome, key):
    return apply(genome, X).sum(), {"weights": jnp.abs(genome.weight).sum()}


def test_on_the_host_it_says_the_same_as_traced():
    one = answered(score)
    host = direct(score, network=NETWORK, jittable=False)
    other = host.evaluate(jax.random.key(0), host.init(None), asked())[0]
    np.testing.assert_allclose(one.fitness, other.fitness, rtol=1e-5)
    np.testing.assert_allclose(one.metrics["weights"], other.metrics["weights"], rtol=1e-5)


def test_a_genome_that_was_changed_is_applied_as_changed():
    def fitness(apply, genome, key):
        return apply(genome, X).sum() - apply(genome.replace(weight=0 * genome.weight), X).sum()

    found, values = answered(fitness).fitness, np.asarray(answered(score).fitness)
    np.testing.assert_allclose(found, values - 2 * 0.5, rtol=1e-5)


@pytest.mark.parametrize("jittable", [True, False])
def test_fitness_of_another_shape_is_refused(jittable):
    evaluator = direct(lambda apply, genome, key: apply(genome, X), network=NETWORK, jittable=jittable)
    message = r"evaluator 'direct': expected fitness to be one number for each genome, got an array of shape \(2, 1\)"
    with pytest.raises(ValueError, match=message):
        search(SPACE, random_search(SPACE, proposals=4), evaluator, rounds=1, progress=False)


def test_a_metric_of_another_shape_is_refused_by_name():
    evaluator = direct(lambda key, genome: (0.0, {"outputs": X}))
    with pytest.raises(ValueError, match=r"expected outputs to be one number for each genome, got .* \(2, 2\)"):
        evaluator.evaluate(jax.random.key(0), (), asked())


def test_fitness_that_is_not_finite_is_counted_and_has_no_children():
    def fitness(apply, genome, key):
        return jnp.where(genome.weight[0] > 0, jnp.nan, jnp.where(genome.weight[1] > 0, jnp.inf, 1.0))

    result = search(SPACE, neat(SPACE, proposals=30), direct(fitness, network=NETWORK), rounds=4, progress=False)
    bad = {line["id"] for line in result.history if not line["valid"]}
    assert result.invalid == len(bad) > 20 and all(
        line["fitness"] is None for line in result.history if line["id"] in bad
    )
    assert not bad & {parent for line in result.history for parent in line["parent"]} and result.fitness == 1.0


CELLS = categorical({"a": range(50), "b": range(2)})


def searched_on_the_host(fitness, rounds=12, **options):
    host = direct(fitness, jittable=False, **options.pop("evaluator", {}))
    return search(CELLS, random_search(CELLS), host, rounds=rounds, progress=False, **options)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero (" + __file__),
        (lambda: None, "expected a number, got None"),
        (lambda: "high", "expected a number, got 'high'"),
    ],
)
def test_a_host_fitness_that_fails_is_recorded_with_its_message(bad, message):
    result = searched_on_the_host(lambda key, genome: 1.0 if genome[0] % 2 else bad())
    failed = [line for line in result.history if not line["valid"]]
    assert 0 < len(failed) < 12 and all(line["error"].startswith(message) for line in failed)
    assert not any("error" in line for line in result.history if line["valid"]) and result.fitness == 1


def test_too_many_failures_in_a_row_end_the_search_which_goes_on_once_mended(tmp_path):
    asked = []

    def fails_from_the_third_on(key, genome):
        asked.append(genome)
        return 1.0 if len(asked) < 3 else undefined  # noqa: F821

    with pytest.raises(InputError, match="3 evaluations in a row failed, the last with: NameError: name 'undefined'"):
        searched_on_the_host(fails_from_the_third_on, evaluator={"max_failures": 3}, workdir=tmp_path)
    assert len(asked) == 5
    whole = searched_on_the_host(lambda key, genome: 2.0, workdir=tmp_path)
    assert [line["fitness"] for line in whole.history] == [1.0] * 2 + [None] * 2 + [2.0] * 8


@pytest.mark.parametrize("said", [None, "high"])
def test_a_traced_fitness_that_is_no_number_is_refused(said):
    with pytest.raises(InputError, match=f"expected fitness to be a number, got {said!r}"):
        search(CELLS, random_search(CELLS), direct(lambda key, genome: said), rounds=1, progress=False)
