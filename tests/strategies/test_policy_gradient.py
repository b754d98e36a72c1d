from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import direct
from jaxnas.search import search_scan
from jaxnas.spaces import categorical
from jaxnas.strategies import independent_policy, lstm_policy, policy_gradient, ppo, reinforce
from jaxnas.strategies.policy import log_prob
from jaxnas.strategies.policy_gradient import policy_loss, ppo_surrogate, reinforce_surrogate
from jaxnas.types import propose, scored

SPACE = categorical({"a": range(2), "b": range(3), "c": range(4)})
ALL = SPACE.from_index(jnp.arange(SPACE.size))
FITNESS = jnp.sin(jnp.arange(24.0)) * 3 + ALL.sum(1)
POLICIES = {"lstm": lambda space: lstm_policy(space, hidden=8), "independent": independent_policy}


@pytest.fixture(scope="module", params=POLICIES)
def policy(request):
    """A policy, and parameters at which its choices are far from uniform and depend on each other."""
    made = POLICIES[request.param](SPACE)

    @jax.jit
    def params():
        leaves, tree = jax.tree.flatten(made.init(jax.random.key(0)))
        keys = jax.random.split(jax.random.key(1), len(leaves))
        return jax.tree.unflatten(
            tree, [jax.random.normal(k, v.shape, v.dtype) for k, v in zip(keys, leaves, strict=True)]
        )

    return made, params()


@pytest.fixture(scope="module")
def choices(policy):
    """Probabilities and logits of all genomes, and how often each is among 20,000 samples."""
    made, params = policy

    @jax.jit
    def look(params):
        samples = jax.vmap(lambda k: made.sample(k, params))(jax.random.split(jax.random.key(2), 20_000))
        return jnp.exp(log_probs(made, params)), jax.vmap(lambda g: made.logits(params, g))(ALL), SPACE.index(samples)

    probabilities, logits, samples = map(np.asarray, look(params))
    return probabilities, logits, np.bincount(samples, minlength=24) / 20_000


def log_probs(made, params):
    return jax.vmap(lambda g: log_prob(made, params, g))(ALL)


def test_probabilities_of_all_genomes_sum_to_one(choices):
    probabilities = choices[0]
    np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-5)
    assert probabilities.max() > 3 / 24


def test_samples_come_as_often_as_their_probability_says(choices):
    p, _, seen = choices
    assert (np.abs(seen - p) < 4 * np.sqrt(p / 20_000) + 1e-6).all()


def test_options_that_do_not_exist_have_no_probability(choices):
    assert (np.isneginf(choices[1]) == ~SPACE.mask).all()


def test_controller_conditions_on_earlier_choices_only():
    made = lstm_policy(SPACE, hidden=8)

    @jax.jit
    def look(genomes):
        params = jax.tree.map(lambda leaf: 10 * leaf, made.init(jax.random.key(0)))
        return jax.vmap(partial(made.logits, params))(genomes)

    logits = np.asarray(look(jnp.array([[0, 0, 0], [1, 0, 0], [0, 0, 3]])))
    np.testing.assert_array_equal(logits[0], logits[2])
    assert (logits[0][0] == logits[1][0]).all() and not np.allclose(logits[0][1], logits[1][1])


def test_gradient_is_that_of_the_expected_fitness_within_sampling_error(policy):
    made, params = policy

    def sampled(key):
        genome = jax.vmap(lambda k: made.sample(k, params))(jax.random.split(key, 100))
        old = jax.vmap(lambda g: log_prob(made, params, g))(genome)
        proposal = propose(genome, jnp.int32(0), extra={"log_prob": old})
        advantage = FITNESS[SPACE.index(genome)] - 2.5  # any constant baseline
        slope = lambda surrogate: jax.grad(policy_loss)(
            params, made, surrogate, 0.0, proposal, advantage, proposal.active
        )
        return slope(reinforce_surrogate), slope(ppo_surrogate(0.2))

    @jax.jit
    def gradients(keys):
        exact = jax.grad(lambda p: (jnp.exp(log_probs(made, p)) * FITNESS).sum())(params)
        return exact, jax.lax.map(sampled, keys)

    exact, batches = gradients(jax.random.split(jax.random.key(3), 400))
    for batch in batches:
        for ours, truth in zip(*map(jax.tree.leaves, (batch, exact)), strict=True):
            ours, truth = np.asarray(ours), np.asarray(truth)
            error = np.abs(-ours.mean(0) - truth)
            assert (error <= 5 * ours.std(0) / np.sqrt(400) + 1e-5).all()
            assert np.abs(truth).max() > 0.01 or truth.size <= 8


def scan(strategy, rounds=12, seed=0):
    evaluator = direct(lambda key, genome: FITNESS[SPACE.index(genome)])
    return jax.jit(search_scan(strategy, evaluator, rounds))(jax.random.key(seed))


def test_ppo_of_one_epoch_without_clipping_is_reinforce():
    options = {"proposals": 6, "learning_rate": 0.05, "entropy_weight": 0.1, "policy": independent_policy}
    a, b = scan(reinforce(SPACE, **options)), scan(ppo(SPACE, **options, epochs=1, clip=float("inf")))
    np.testing.assert_array_equal(a[1].proposal.genome, b[1].proposal.genome)
    for ours, theirs in zip(jax.tree.leaves(a[0].strategy.params), jax.tree.leaves(b[0].strategy.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("factory", [reinforce, pytest.param(ppo, marks=pytest.mark.statistical)])
def test_policy_comes_to_sample_what_is_good(factory):
    _, records = scan(factory(SPACE, proposals=8, learning_rate=0.05, hidden=8), rounds=60)
    fitness = records.feedback.fitness
    assert fitness[-10:].mean() > fitness[0].mean() + 2
    assert fitness[-10:].mean() > FITNESS.max() - 1.5


@cache
def made(factory, **options):
    """The same strategy in every test, so that it is compiled once."""
    return factory(SPACE, policy=independent_policy, **options)


def first(strategy):
    return jax.jit(strategy.init)(jax.random.key(0))


def told(strategy, state, genomes, fitness, **fields):
    old = jnp.log(jnp.full(len(genomes), 1 / 24))
    proposal = propose(jnp.array(genomes, jnp.int32), jnp.int32(0), extra={"log_prob": old}, **fields)
    return jax.jit(strategy.tell)(jax.random.key(0), state, proposal, scored(jnp.array(fitness, jnp.float32)))


@pytest.mark.parametrize("factory", [reinforce, ppo])
def test_members_that_failed_or_are_padding_count_for_nothing(factory):
    strategy = made(factory)
    state = first(strategy)
    two = told(strategy, state, [[0, 1, 2], [1, 2, 0]], [1.0, 2.0])
    active = jnp.array([True, True, True, False])
    more = told(strategy, state, [[0, 1, 2], [1, 2, 0], [1, 1, 1], [0, 0, 3]], [1, 2, jnp.nan, 99], active=active)
    for a, b in zip(jax.tree.leaves(two), jax.tree.leaves(more), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("factory", [reinforce, ppo])
def test_a_batch_of_failures_changes_nothing(factory):
    strategy = made(factory)
    state = told(strategy, first(strategy), [[0, 1, 2], [1, 2, 0]], [1.0, 2.0])
    after = told(strategy, state, [[0, 0, 0], [1, 1, 1]], [jnp.nan, jnp.inf])
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True))


def test_clipping_bounds_how_far_one_batch_moves_the_policy():
    def moved(clip):
        strategy = ppo(SPACE, epochs=100, clip=clip, learning_rate=0.01, entropy_weight=0.0, policy=independent_policy)
        state = told(strategy, first(strategy), [[0, 1, 2], [1, 2, 0]], [1.0, 2.0])
        return float(jnp.exp(log_prob(independent_policy(SPACE), state.params, jnp.array([1, 2, 0]))) * 24)

    assert 1.2 < moved(0.2) < 2 < 5 < moved(float("inf"))


def test_unit_of_fitness_does_not_matter():
    strategy = made(reinforce, proposals=6)
    unit = lambda s: direct(lambda key, g: s * FITNESS[SPACE.index(g)])
    run = jax.jit(lambda s: search_scan(strategy, unit(s), 20)(jax.random.key(0))[1].proposal.genome)
    np.testing.assert_array_equal(run(1.0), run(128.0))


@pytest.mark.parametrize(
    ("factory", "changes", "message"),
    [
        (reinforce, {"proposals": 0}, "proposals: expected at least 1, got 0"),
        (reinforce, {"baseline_decay": 1.5}, "baseline_decay: expected a number in"),
        (reinforce, {"hidden": 0}, "hidden: expected at least 1, got 0"),
        (ppo, {"epochs": 0}, "epochs: expected at least 1, got 0"),
        (ppo, {"clip": -0.1}, "clip: expected a number in"),
    ],
)
def test_bad_settings_are_refused_by_name(factory, changes, message):
    with pytest.raises(ValueError, match=message):
        factory(SPACE, **changes)


@pytest.mark.parametrize("factory", [reinforce, ppo])
def test_a_few_networks_of_a_penalty_do_not_stop_it(factory):
    """2 % of -100 among 0 ... 4; a spread of all fitness would make the others alike."""
    space = categorical({name: range(5) for name in "abcd"})
    fitness = np.asarray(space.from_index(jnp.arange(space.size))).sum(1) / 4
    fitness = jnp.asarray(np.where(np.random.default_rng(0).random(space.size) < 0.02, -100, fitness), jnp.float32)
    assert float(fitness.max()) == 4
    strategy = factory(space, policy=independent_policy, proposals=8, learning_rate=0.1)
    run = search_scan(strategy, direct(lambda key, genome: fitness[space.index(genome)]), 100)
    fitness_seen = jax.jit(jax.vmap(lambda key: run(key)[1].feedback.fitness))(jax.random.split(jax.random.key(0), 10))
    assert fitness_seen[:, -20:].mean() > 3.8


def test_middle_and_scale_are_those_of_most():
    values = jnp.array([1.0, 2.0, 3.0, 4.0, -1e30, jnp.nan])
    typical = jax.jit(policy_gradient.typical)
    middle, scale = typical(values, jnp.array([True, True, True, True, True, False]))
    assert middle == 2 and scale == pytest.approx(1.4826)
    assert typical(jnp.array([7.0, 7.0, 7.0, 9.0]), jnp.ones(4, bool)) == (7, 1)  # root mean square of 0, 0, 0, 2
    assert typical(values, jnp.zeros(6, bool)) == (0, 0)


@pytest.mark.parametrize("unit", [2.0**-70, 2.0**70])
def test_a_tiny_or_huge_unit_of_fitness_does_not_matter(unit):
    strategy = made(reinforce)
    states = [first(strategy)] * 2
    for batch in ([1.0, 2.0, 4.0], [2.0, 2.0, 900.0], [3.0, -5.0, 3.0]):
        genomes = [[0, 1, 2], [1, 2, 0], [1, 0, 3]]
        states = [told(strategy, s, genomes, np.array(batch) * u) for s, u in zip(states, (1.0, unit), strict=True)]
    for a, b in zip(jax.tree.leaves(states[0].params), jax.tree.leaves(states[1].params), strict=True):
        np.testing.assert_array_equal(a, b)
