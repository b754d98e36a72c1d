"""Evaluators by the fitness of a problem: networks that act, or weights that are part of the genome."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxnas import check, evaluators, networks, problems, spaces, tasks
from jaxnas.check import InputError
from jaxnas.types import Evaluator, Space


def by_fitness(
    space: Space,
    task: tasks.Task | None = None,
    problem: problems.Problem | None = None,
    network: networks.GraphNetwork | None = None,
    fine_tune: Callable | None = None,
    *,
    fitness: Callable | None = None,
    examples: int = 0,
    target: float = 1.0,
) -> Evaluator:
    """A direct evaluator: by the fitness of a problem, of a task's training examples, or by a function of the user's.

    Args:
      space, task, problem, network: as in a config.
      fine_tune: `(key, genome) -> genome`, what the weights go through first.
      fitness: an own function, `package.module:function` in a config: `(key, genome) -> fitness`, or with a network
        `(apply, genome, key) -> fitness`.
      examples: training examples that the fitness is of; 0 for all.
      target: fitness from which on a task counts as solved.

    Raises:
      InputError: neither a function nor a problem or task and a network; a space that does not fit them.
    """
    if fitness is not None:
        return evaluators.direct(fitness, network=network)
    if network is None or (task is None and problem is None):
        lacking = "network" if network is None else "problem"
        raise InputError(f"config.{lacking}: evaluator 'direct' needs one, or a function config.evaluator.fitness.")
    if problem is None:
        problem = problems.supervised(task, examples=examples, target=target)
    genome = jax.eval_shape(space.sample, jax.random.key(0))
    if not isinstance(genome, spaces.Graph):
        raise InputError(f"config.space: network 'graph' needs space 'graph', got {space.name!r}.")
    if problem.memory and not genome.recurrent:
        raise InputError(f"config.space.recurrent: problem {problem.name!r} takes memory, give recurrent=True.")
    if fine_tune is None:
        return evaluators.direct(problem.fitness, network=network)
    tuned = lambda apply, genome, key: problem.fitness(apply, fine_tune(key, genome), key)
    return evaluators.direct(tuned, network=network)


def fine_tuner(config: Mapping[str, Any], task, problem, network) -> Callable | None:
    """The gradient descent of `config.fine_tune` (`steps`, `learning_rate`, `inherited`); None without steps."""
    given = dict(config.get("fine_tune") or {})
    for argument in given:
        check.one_of("config.fine_tune", argument, ("steps", "learning_rate", "inherited"))
    given.pop("inherited", None)
    if not given.get("steps"):
        return None
    if problem is None and task is not None:
        problem = problems.supervised(task)
    loss = None if problem is None else problem.loss
    if loss is None or not isinstance(network, networks.GraphNetwork):
        raise InputError("config.fine_tune: needs network 'graph' and a task, or a problem with a loss, which xor has.")
    return networks.gradient_descent(loss, network=network, **given)
