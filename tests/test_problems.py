import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import problems, tasks
from jaxnas.networks import GraphNetwork
from jaxnas.spaces import graph

LINEAR = GraphNetwork("identity")


def energy(state):
    """Of a cart of 1 kg with poles of half-lengths .5 and .05 m and .1 and .01 kg."""
    x, v, *poles = np.asarray(state, np.float64)
    total = 0.5 * v**2
    for m, half, angle, turn in zip((0.1, 0.01), (0.5, 0.05), poles[::2], poles[1::2], strict=True):
        along, up = v + half * turn * np.cos(angle), -half * turn * np.sin(angle)
        inertia = m * (2 * half) ** 2 / 12
        total += 0.5 * m * (along**2 + up**2) + 0.5 * inertia * turn**2 + m * 9.8 * half * np.cos(angle)
    return total


def test_two_poles_keep_their_energy_but_for_friction():
    world = problems.balancing(2)
    states, step = [np.float32([0, 0.3, 0.3, 0, -0.2, 0])], jax.jit(world.step)
    for _ in range(25):
        states.append(np.asarray(step(states[-1], np.float32([0.5]))))  # no force
    energies = np.array([energy(state) for state in states])
    assert np.ptp([s[2] for s in states]) > 0.3
    np.testing.assert_allclose(energies, energies[0], rtol=2e-3)  # friction of 5e-4 N takes 7e-5 J in half a second


def test_one_pole_moves_as_barto_sutton_and_anderson_say():
    world = problems.balancing(1)
    x, v, angle, turn = state = np.float32([0.1, -0.2, 0.05, 0.3])
    force, m, half, total = 10.0, 0.1, 0.5, 1.1
    pushed = (force + m * half * turn**2 * np.sin(angle)) / total
    faster = (9.8 * np.sin(angle) - np.cos(angle) * pushed) / (half * (4 / 3 - m * np.cos(angle) ** 2 / total))
    along = pushed - m * half * faster * np.cos(angle) / total
    expected = [x + 0.02 * v, v + 0.02 * along, angle + 0.02 * turn, turn + 0.02 * faster]
    np.testing.assert_allclose(jax.jit(world.step)(state, np.float32([1])), expected, rtol=1e-5)


@pytest.mark.parametrize("poles", [1, 2])
def test_it_is_over_where_the_cart_or_a_pole_is_too_far(poles):
    world = problems.balancing(poles)
    lean = np.radians(12 if poles == 1 else 36)
    states = np.zeros((3, 2 + 2 * poles), np.float32)
    states[0, [0, 2]] = 2.39, 0.99 * lean
    states[1, 0], states[2, -2] = -2.41, -1.01 * lean
    assert jax.jit(jax.vmap(world.failed))(states).tolist() == [False, True, True]


def test_observations_leave_velocities_out_where_there_are_none():
    state = np.arange(1.0, 7.0, dtype=np.float32)
    seen, some = problems.balancing(2).observe(state), problems.balancing(2, velocities=False).observe(state)
    np.testing.assert_array_equal(seen[::2], some)
    assert problems.cart_pole(2, velocities=False).inputs == 3 and problems.cart_pole(1).inputs == 4


def balanced(weights, recurrent=False):
    """A linear controller of one pole: from what is seen, to a push."""
    space = graph(len(weights), 1, recurrent=recurrent)
    return space.from_string("; " + " ".join(f"i{i}>o0:{w}" for i, w in enumerate(weights)) + " bias>o0:0.5")


def test_a_good_controller_balances_one_pole_and_none_falls():
    problem = problems.cart_pole(1, steps=300)
    fitness = jax.jit(lambda genome: problem.fitness(LINEAR.apply, genome, jax.random.key(0)))
    good, metrics = fitness(balanced([0.5, 0.5, 5.0, 2.0]))
    assert float(good) == 300 and bool(metrics["solved"])
    none, metrics = fitness(balanced([0.0, 0.0, 0.0, 0.0]))
    assert 20 < float(none) < 200 and not bool(metrics["solved"]) and int(metrics["steps"]) == float(none)


def test_each_member_is_counted_to_its_own_end():
    problem = problems.cart_pole(1, steps=300)
    genomes = [balanced([0.5, 0.5, k, 2.0]) for k in (5.0, 0.0, -5.0)]
    fitness = lambda g: problem.fitness(LINEAR.apply, g, jax.random.key(0))[0]
    alone = [float(f) for f in map(jax.jit(fitness), genomes)]
    together = jax.jit(jax.vmap(fitness))(jax.tree.map(lambda *leaves: np.stack(leaves), *genomes))
    assert alone == together.tolist() and len(set(alone)) == 3


def test_random_starts_differ_by_key():
    problem = problems.cart_pole(1, random=True, steps=500)
    genome = balanced([0.0] * 4)
    fitness = jax.jit(jax.vmap(lambda key: problem.fitness(LINEAR.apply, genome, key)[0]))
    assert len(set(fitness(jax.random.split(jax.random.key(0), 4)).tolist())) > 1


def test_without_velocities_calm_counts_and_memory_is_there():
    problem = problems.cart_pole(2, velocities=False)
    still, key = balanced([0.0] * 3, recurrent=True), jax.random.key(0)
    fitness, metrics = jax.jit(lambda genome: problem.fitness(LINEAR.apply, genome, key))(still)
    assert problem.memory and float(fitness) == pytest.approx(0.1 * int(metrics["steps"]) / 1000)  # over before 100
    world = problems.balancing(2, velocities=False)
    resting = world._replace(reset=lambda key: jnp.zeros(6).at[2].set(1e-4))
    more = {"follow": lambda trace, state, t: trace + 1, "trace": jnp.int32(0)}
    steps, last = jax.jit(lambda genome: problems.episode(resting, LINEAR.apply, genome, key, 3, **more))(still)
    assert int(steps) == 3 and int(last) == 3


def test_exclusive_or_is_scored_as_in_the_paper():
    problem = problems.xor()
    space = graph(2, 1)
    score = lambda network, text: jax.jit(lambda genome: problem.fitness(network.apply, genome, None))(
        space.from_string(text)
    )
    fitness, metrics = score(LINEAR, "; i0>o0:0 i1>o0:0 bias>o0:0.5")
    assert float(fitness) == 4.0 and not metrics["solved"]  # (4 - 4 * .5)^2
    network = GraphNetwork("relu", output="identity")
    text = "h0=i0>o0; i0>o0:1! i1>o0:1 bias>o0:0 i0>h0:1 h0>o0:-2 i1>h0:1 bias>h0:-1 i0>h0:1"
    text = text.removesuffix(" i0>h0:1").replace("i0>o0:1!", "i0>o0:1")
    fitness, metrics = score(network, text)
    assert float(fitness) == 16.0 and bool(metrics["solved"])


def test_a_classification_task_is_a_problem():
    digits = tasks.digits(augment=False)
    problem = problems.supervised(digits, examples=50, target=0.05)
    space = graph(problem.inputs, problem.outputs, hidden=1, connections=2)

    @jax.jit
    def looked_at(key):
        genome = space.sample(key)
        logits = LINEAR.apply(genome, digits.train.inputs[:50].reshape(50, -1))
        return (
            *problem.fitness(LINEAR.apply, genome, None),
            logits,
            digits.loss(logits, digits.train.targets[:50]).mean(),
        )

    fitness, metrics, logits, loss = looked_at(jax.random.key(0))
    assert float(fitness) == pytest.approx(-float(loss), rel=1e-4)
    right = np.asarray(logits).argmax(1) == np.asarray(digits.train.targets[:50])
    assert float(metrics["train_accuracy"]) == pytest.approx(right.mean())
    assert bool(metrics["solved"]) == (float(metrics["accuracy"]) >= 0.05)
    with pytest.raises(ValueError, match="examples: expected at most 1077, got 2000"):
        problems.supervised(digits, examples=2000)


@pytest.mark.parametrize("poles", [0, 3])
def test_other_numbers_of_poles_are_refused(poles):
    with pytest.raises(ValueError, match="poles: expected at "):
        problems.cart_pole(poles)
