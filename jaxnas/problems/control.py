"""Small environments, and the fitness of a controller in them: balancing one pole or two on a cart.

The equations of motion are Wieland's (1991), as in Stanley and Miikkulainen (2002), section 4.2 and appendix B;
with one pole, those of Barto, Sutton and Anderson (1983).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.problems._problem import Problem

TRACK = 2.4
"""Meters to either side of the middle."""
GRAVITY, CART = -9.8, 1.0
"""m/s², kg."""
HALF_LENGTHS, MASSES = (0.5, 0.05), (0.1, 0.01)
"""Meters, kg: of the long pole and the short one."""
FRICTION, JOINT = 5e-4, 2e-6
"""Of the cart on the track, and of the poles in their joints."""
FORCE = 10.0
"""Newton, at most."""
LEAN = 0.07
"""Radians (4 degrees): where the long pole starts in the NEAT authors' program."""
WINDOW, CALM, SHORT = 100, 0.75, 1000
"""Without velocities: the last steps that should be calm, the factor of their fitness, steps of a whole trial."""


class Environment(NamedTuple):
    """A deterministic world in steps.

    Attributes:
      name: for messages and files.
      inputs: size of an observation.
      outputs: size of an action.
      reset: `key -> state`.
      observe: `state -> [inputs]`.
      step: `(state, action [outputs]) -> state`, of actions in [0, 1].
      failed: `state -> bool`, whether it is over.
    """

    name: str
    inputs: int
    outputs: int
    reset: Callable
    observe: Callable
    step: Callable
    failed: Callable


def balancing(count: int = 2, *, velocities: bool = True, random: bool = False) -> Environment:
    """A cart on a track with one pole, or with two side by side, to be pushed to either side.

    The state is `[2 + 2 count]`: the cart's place and velocity, each pole's angle and its velocity. One pole is
    integrated by Euler's method in steps of .02 s and may lean 12 degrees; two by Runge-Kutta's in steps of .01 s, with
    an action for two steps, and may lean 36.

    Args:
      count: 1 or 2.
      velocities: whether they are observed; without, a network needs memory.
      random: whether the start is random, within .05 of each unit; else the (long) pole leans by `LEAN`.

    Raises:
      InputError: another count.
    """
    check.integer("poles", count, least=1, most=2)
    lengths, masses = np.float32(HALF_LENGTHS[:count]), np.float32(MASSES[:count])
    lean = np.float32(np.radians(12 if count == 1 else 36))
    friction, joint = (FRICTION, JOINT) if count == 2 else (0.0, 0.0)
    scale = np.float32([4.8, 2.0, *([0.52, 2.0] * count)])  # of what is observed, as in the authors' program
    start = np.zeros(2 + 2 * count, np.float32)
    start[2] = LEAN

    def motion(state, force):
        velocity, angle, turn = state[1], state[2::2], state[3::2]
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        rub = joint * turn / (masses * lengths)
        pushes = masses * lengths * turn**2 * sine + 0.75 * masses * cosine * (rub + GRAVITY * sine)
        weights = masses * (1 - 0.75 * cosine**2)
        pull = (force - friction * jnp.sign(velocity) + pushes.sum()) / (CART + weights.sum())
        turning = -0.75 / lengths * (pull * cosine + GRAVITY * sine + rub)
        return jnp.concatenate([jnp.stack([velocity, pull]), jnp.stack([turn, turning], 1).reshape(-1)])

    def euler(state, force):
        return state + 0.02 * motion(state, force)

    def runge_kutta(state, force, seconds=0.01):
        a = motion(state, force)
        b = motion(state + seconds / 2 * a, force)
        c = motion(state + seconds / 2 * b, force)
        d = motion(state + seconds * c, force)
        return state + seconds / 6 * (a + 2 * b + 2 * c + d)

    def step(state, action):
        force = FORCE * (2 * jnp.clip(action[0], 0, 1) - 1)
        return euler(state, force) if count == 1 else runge_kutta(runge_kutta(state, force), force)

    def reset(key):
        if not random:
            return jnp.asarray(start)
        return jax.random.uniform(key, start.shape, jnp.float32, -0.05, 0.05)

    def observe(state):
        seen = state / scale
        return seen if velocities else seen[::2]

    def failed(state):
        return (jnp.abs(state[0]) > TRACK) | (jnp.abs(state[2::2]) > lean).any()

    name = f"{'single' if count == 1 else 'double'} pole balancing{'' if velocities else ' without velocities'}"
    return Environment(name, len(start) if velocities else 1 + count, 1, reset, observe, step, failed)


def episode(
    world: Environment,
    apply: Callable,
    genome: Any,
    key: chex.PRNGKey,
    steps: int,
    *,
    start: chex.Array | None = None,
    follow: Callable = lambda trace, state, t: trace,
    trace: Any = (),
) -> tuple[chex.Array, Any]:
    """Lets a network act until it fails or `steps` are over: the number of steps, and the trace.

    Args:
      world: where.
      apply: as of `Problem.fitness`.
      genome: of the network; its state is carried along where it is recurrent.
      key: for the start.
      steps: the most that an episode takes.
      start: a state to start in, instead of the world's.
      follow: `(trace, state, t) -> trace`, called after each step.
      trace: the first one.
    """
    state = world.reset(key) if start is None else start
    memory = jnp.zeros(genome.node.shape[-1] + genome.outputs, jnp.float32) if genome.recurrent else None

    def go(carry):
        state, memory, t, trace = carry
        made = apply(genome, world.observe(state), *(() if memory is None else (memory,)))
        action, memory = made if genome.recurrent else (made, None)
        state = world.step(state, action)
        return state, memory, t + 1, follow(trace, state, t)

    def goes_on(carry):
        state, _, t, _ = carry
        return (t < steps) & ~world.failed(state)

    state, _, t, trace = jax.lax.while_loop(goes_on, go, (state, memory, jnp.int32(0), trace))
    return t - world.failed(state), trace


def cart_pole(poles: int = 2, *, velocities: bool = True, random: bool = False, steps: int = 100_000) -> Problem:
    """Balancing for `steps`, of .02 s each: fitness is for how many of them it holds.

    Without velocities a network that shakes the cart back and forth could do that without knowing them; fitness is then
    that of Gruau, Whitley and Pyeatt (1996), which the NEAT paper uses too (section 4.2): over 1,000 steps, .1 of the
    fraction held and .9 of how calm the last 100 were; `solved` then only says that all 1,000 were held.

    Args:
      poles: on the cart, one or two.
      velocities: whether the network is told them.
      random: whether an episode begins anywhere near the middle; else where the paper's does.
      steps: that have to be held.

    Raises:
      InputError: a number out of its range.
    """
    check.integer("steps", steps, least=1)
    world = balancing(poles, velocities=velocities, random=random)

    def held(apply, genome, key):
        t, _ = episode(world, apply, genome, key, steps)
        return t.astype(jnp.float32), {"steps": t, "solved": t >= steps}

    def calm(apply, genome, key):
        count = min(steps, SHORT)

        def follow(last, state, t):
            return last.at[t % WINDOW].set(jnp.abs(state[:4]).sum())

        t, last = episode(world, apply, genome, key, count, follow=follow, trace=jnp.zeros(WINDOW, jnp.float32))
        quiet = jnp.where(t >= WINDOW, CALM / jnp.maximum(last.sum(), 1e-6), 0.0)
        return 0.1 * t.astype(jnp.float32) / count + 0.9 * quiet, {"steps": t, "solved": t >= count}

    return Problem(world.name, world.inputs, world.outputs, held if velocities else calm, memory=not velocities)
