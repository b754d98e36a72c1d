"""The programs that a search compiles, with the shapes of their arguments and how often their loops run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.check import InputError
from jaxnas.loop.rounds import as_one_program, at_most
from jaxnas.search import Phase, State, step
from jaxnas.types import Evaluator


class Planned(NamedTuple):
    """One program.

    Attributes:
      name: "init", "ask", "evaluate", "tell", or "call", rounds of all three.
      run: jitted.
      shapes: of its arguments.
      trips: scope of a loop -> how often it runs, see `planning.hlo`.
      rounds: how many rounds a call is for; 0 where it runs once a search.
      members: P of a proposal.
      steps: of training that each member has in a round.
    """

    name: str
    run: Callable
    shapes: tuple
    trips: Mapping[str, float]
    rounds: float
    members: int
    steps: float


def programs(phase: Phase, evaluator: Evaluator, rounds_per_call: int | None = None) -> list[Planned]:
    """Those of one phase.

    Raises:
      InputError: an evaluator that runs on the host, or whose programs are one for each genome.
    """
    strategy, most = phase.strategy, at_most(evaluator, rounds_per_call)
    if not evaluator.jittable:
        raise InputError(f"evaluator {evaluator.name!r} runs on the host: there is no one program to plan.")
    key = jax.eval_shape(lambda: jax.random.key(0))
    told, state = jax.eval_shape(strategy.init, key), jax.eval_shape(evaluator.init, key)
    proposal = _first_proposal(strategy)
    members, budget = len(proposal.id), float(np.mean(np.asarray(proposal.budget)[np.asarray(proposal.active)]))
    shapes = jax.tree.map(_shape, proposal)
    per_epoch = max(1, (evaluator.report() if evaluator.report else {}).get("steps_per_epoch", 1))
    epochs = max(1.0, -(-budget // per_epoch))
    trips = {"steps": budget / epochs, "epochs": epochs, "rounds": most}
    counts = {"trips": trips, "members": members, "steps": budget}
    fresh = Planned("init", jax.jit(evaluator.init), (key,), rounds=0, **counts)
    if most > 1:
        number = jax.ShapeDtypeStruct((), np.int32)
        run = as_one_program(step(strategy, evaluator), most)
        return [fresh, Planned("call", run, (key, State(told, state), number, number), rounds=most, **counts)]
    feedback = jax.eval_shape(evaluator.evaluate, key, state, shapes)[0]
    return [
        fresh,
        Planned("ask", jax.jit(strategy.ask), (key, told), rounds=1, **counts),
        Planned("evaluate", jax.jit(evaluator.evaluate), (key, state, shapes), rounds=1, **counts),
        Planned("tell", jax.jit(strategy.tell), (key, told, shapes, feedback.replace(metrics={})), rounds=1, **counts),
    ]


def _first_proposal(strategy) -> Any:
    """What it asks for first: how many, and for how many steps."""
    ask = jax.jit(lambda key: strategy.ask(key, strategy.init(key))[0])
    return jax.tree.map(np.asarray, ask(jax.random.key(0)))


def _shape(leaf):
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)
