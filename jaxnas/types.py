"""The contracts: what flows between a search space, a strategy and an evaluator.

Axes: P population, D decisions, C options of a decision (ragged, see `Space.mask`), K costs.
`CONTRACTS.md` beside this file writes down how each family of algorithms fits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

Genome = Any
"""A pytree of arrays; categorical spaces use one integer array `[D]`."""


@struct.dataclass
class Proposal:
    """What a strategy asks to be evaluated. Every leaf has the population axis P first.

    Attributes:
      genome: pytree, `[P, ...]`.
      id: `[P]` int32, unique in a search (in a phase, where there are several), in order of birth.
      parent: `[P, 2]` int32, ids of the parents, -1 for none.
      active: `[P]` bool; False is padding, never recorded, and not evaluated where that saves anything.
      budget: `[P]` int32, training steps to spend on this member; 0 only scores it.
      weights: `[P, D, C]` relaxed choice, or None.
      gates: `[P, D, C]` bool, which options to evaluate at all, or None.
      extra: whatever the strategy wants back in `tell`.
    """

    genome: Genome
    id: chex.Array
    parent: chex.Array
    active: chex.Array
    budget: chex.Array
    weights: chex.Array | None = None
    gates: chex.Array | None = None
    extra: Any = None


@struct.dataclass
class Feedback:
    """What an evaluator answers, member by member.

    Attributes:
      fitness: `[P]` float, higher is better.
      cost: `[P, K]` float, under the evaluator's `cost_names`.
      valid: `[P]` bool; False means that it failed or diverged. Infeasible is not invalid.
      gradient: `[P, D, C]`, d loss / d weights, or None. The strategy descends.
      curvature: `[P]`, the largest eigenvalue of the loss's Hessian in the logits of `weights`, or None; NaN where it
        was not measured.
      metrics: dict with static keys of `[P, ...]` arrays; strategies never read it.
    """

    fitness: chex.Array
    cost: chex.Array
    valid: chex.Array
    gradient: chex.Array | None = None
    curvature: chex.Array | None = None
    metrics: dict[str, chex.Array] = struct.field(default_factory=dict)


State = Any
"""A pytree of arrays that a strategy or an evaluator keeps; each names its own (`DartsState`, …)."""

Sample = Callable[[chex.PRNGKey], Genome]
Mutate = Callable[[chex.PRNGKey, Genome], Genome]
Crossover = Callable[[chex.PRNGKey, Genome, Genome], Genome]
Canonical = Callable[[Genome], Genome]
ToString = Callable[[Genome], str]
FromString = Callable[[str], Genome]
Neighbors = Callable[[Genome], tuple[Genome, chex.Array]]
Features = Callable[[Genome], chex.Array]
Derive = Callable[[chex.Array], Genome]
Unpack = Callable[[Genome | chex.Array], dict[str, Any]]
Allowed = Callable[[Genome, chex.Array], chex.Array]
Index = Callable[[Genome], chex.Array]
FromIndex = Callable[[chex.Array], Genome]
Distance = Callable[[Genome, Genome], chex.Array]

Init = Callable[[chex.PRNGKey], State]
Ask = Callable[[chex.PRNGKey, State], tuple[Proposal, State]]
Tell = Callable[[chex.PRNGKey, State, Proposal, Feedback], State]
Recommend = Callable[[State], Genome]
Adopt = Callable[[State, Proposal, Genome, chex.Array], tuple[Proposal, State, chex.Array]]
Evaluate = Callable[[chex.PRNGKey, State, Proposal], tuple[Feedback, State]]
Loss = Callable[[State, chex.Array, Any], chex.Array]
Inherit = Callable[[State, Genome], dict[str, Any]]


class Space(NamedTuple):
    """A search space: pure functions over genomes, jittable and vmappable unless marked (host).

    The categorical part is that of genomes that are one integer array `[D]`, a position among the options of each
    decision. Spaces of other genomes leave it out; a part that reads it refuses them by name (`spaces.needed`).

    Attributes:
      name: for messages and files.
      sample: `key -> genome`, uniform.
      mutate: `(key, genome) -> genome`, another genome near to it: of a categorical one, one decision changed.
      crossover: `(key, a, b) -> genome`.
      canonical: `genome -> genome`, one representative for genomes that build the same network.
      to_string: (host) `genome -> str`.
      from_string: (host) `str -> genome`; raises `InputError` on anything else.
      size: number of genomes (host integer); infinity for an unbounded search space, or where weights are part of them.
      decisions: (categorical) names of the D decisions.
      options: (categorical) for each decision, its options (labels or values).
      mask: (categorical) `[D, C]` NumPy bool, which options exist; None where the space is not categorical.
      unpack: (categorical) `genome or weights -> {decision: choice}`, what a network's `Choice` modules are handed:
        Python integers for a NumPy genome, scalars for a JAX genome, vectors for weights `[D, C]`.
      derive: (categorical) `weights [D, C] -> genome`, the discrete architecture of a relaxed choice.
      neighbors: (categorical) `genome -> (genomes [N, ...], mask [N])`, all one-decision changes.
      features: (categorical) `genome -> [F]` float, an encoding for predictors.
      allowed: (categorical) `(genome, d) -> [C]` bool, which options of decision d make a genome of the space, given
        decisions 0 … d-1 of `genome` (the others are not read); None where those of `mask` always do.
      index: `genome -> int32`, its row in the enumeration; None where there is none.
      from_index: `int -> genome`, the inverse.
      pruned: `genome -> genome`, without what does not change the output or is not computed, so that what is left costs
        something.
      distance: `(a, b) -> float`, how far apart two genomes are, 0 for the same; None where it is not defined.
      overflow: `genome -> int32`, structural mutations in this genome's lineage dropped because its fixed capacity was
        full; None where there is none.
    """

    name: str
    sample: Sample
    mutate: Mutate
    crossover: Crossover
    canonical: Canonical
    to_string: ToString
    from_string: FromString
    size: float
    decisions: tuple[str, ...] = ()
    options: tuple[tuple[Any, ...], ...] = ()
    mask: np.ndarray | None = None
    unpack: Unpack | None = None
    derive: Derive | None = None
    neighbors: Neighbors | None = None
    features: Features | None = None
    allowed: Allowed | None = None
    index: Index | None = None
    from_index: FromIndex | None = None
    pruned: Canonical = lambda genome: genome
    distance: Distance | None = None
    overflow: Callable | None = None

    @property
    def choices(self) -> np.ndarray:
        """`[D]` number of options of each decision; `[0]` where there are none."""
        return np.zeros(0, int) if self.mask is None else self.mask.sum(1)


class Strategy(NamedTuple):
    """A search algorithm: pure functions over an explicit state, which propose and learn from feedback.

    Attributes:
      name: for messages and files.
      init: `key -> state`.
      ask: `(key, state) -> (Proposal, state)`.
      tell: `(key, state, Proposal, Feedback) -> state`. Needs nothing but its arguments, so several asks may be
        outstanding.
      recommend: `state -> genome`, what to build if the search ended now.
      needs: what it relies on, out of "fitness", "cost", "gradient", "curvature", "budget" (that budgets are honoured)
        and "shared" (that what one evaluation trains serves the next).
      gives: what proposals carry beside a genome, out of "budget", "weights" and "gates".
      cost_names: names of the columns of `Feedback.cost` that it expects, in this order; () where it reads none.
      recorded: names in `Proposal.extra`, a dict then, of `[P]` numbers that belong in the history.
      adopt: `(state, Proposal, genomes [P, ...], wanted [P]) -> (Proposal, state, adopted [P])`, the ask just made,
        with these genomes in the place of its own where they are wanted and it has places for them; None where it
        learns from its own alone (see `strategies.warm_start`).
    """

    name: str
    init: Init
    ask: Ask
    tell: Tell
    recommend: Recommend
    needs: frozenset[str] = frozenset({"fitness"})
    gives: frozenset[str] = frozenset()
    cost_names: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    adopt: Adopt | None = None


class Evaluator(NamedTuple):
    """Maps a `Proposal` to `Feedback`: pure functions over an explicit state, which owns any network weights.

    Attributes:
      name: for messages and files.
      init: `key -> state`.
      evaluate: `(key, state, Proposal) -> (Feedback, state)`.
      gives: what `Feedback` carries, out of "fitness", "cost", "gradient" and "curvature"; "budget" where fitness
        depends on it; "shared" where weights live on in the state.
      needs: what proposals must carry, out of "budget", "weights" and "gates".
      jittable: False where `evaluate` runs on the host (plain Python, one compile for each architecture).
      cost_names: names of the K columns of `Feedback.cost`.
      report: `() -> dict` (host), how evaluation was executed, for result files.
      loss: `(state, weights [D, C], Batch) -> scalar`, the mixture's loss on a batch, differentiable; None where
        weights are not shared.
      inherit: `(state, genome) -> variables` (host), what the stand-alone network inherits; None likewise.
      variables: `state -> variables` of the whole network; None likewise.
      known: `() -> Feedback` (host) of every genome of the space, in the order of its index; None where it takes an
        evaluation to know.
      budgets: the only ones whose fitness it knows, increasing; () where any can be trained.
      group: members that it works on at a time, where `evaluate` may be called several times for one proposal, each
        time with some of its members active and the state handed on, to the same answers and in about the same time;
        0 where it may not. Of the population, each of so many blocks is worked on from its first member on.
    """

    name: str
    init: Init
    evaluate: Evaluate
    gives: frozenset[str] = frozenset({"fitness"})
    needs: frozenset[str] = frozenset()
    jittable: bool = True
    cost_names: tuple[str, ...] = ()
    report: Callable[[], dict[str, Any]] = dict
    loss: Loss | None = None
    inherit: Inherit | None = None
    variables: Callable[[State], dict[str, Any]] | None = None
    known: Callable[[], Feedback] | None = None
    budgets: tuple[int, ...] = ()
    group: int = 0


def population_of(proposal: Proposal) -> int:
    """P of a proposal, static."""
    return proposal.id.shape[0]


def member_keys(key: chex.PRNGKey, proposal: Proposal) -> chex.PRNGKey:
    """`[P]` a key for each member, by its id: whatever its place in the population, padding or devices."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(proposal.id)


def propose(
    genome: Genome, first_id: chex.Array, *, parent: chex.Array | None = None, budget: int = 0, **fields
) -> Proposal:
    """A proposal of all P members of `genome`, with consecutive ids from `first_id` and one budget for all."""
    P = jax.tree.leaves(genome)[0].shape[0]
    fields.setdefault("active", jnp.ones(P, bool))
    return Proposal(
        genome=genome,
        id=first_id + jnp.arange(P, dtype=jnp.int32),
        parent=jnp.full((P, 2), -1, jnp.int32) if parent is None else parent,
        budget=jnp.full(P, budget, jnp.int32),
        **fields,
    )


def scored(
    fitness: chex.Array,
    *,
    cost: chex.Array | None = None,
    valid: chex.Array | None = None,
    metrics: dict[str, chex.Array] | None = None,
) -> Feedback:
    """A feedback of `fitness` `[P]` alone: no cost, all valid, unless given."""
    P = fitness.shape[0]
    return Feedback(
        fitness=fitness,
        cost=jnp.zeros((P, 0), jnp.float32) if cost is None else cost,
        valid=jnp.ones(P, bool) if valid is None else valid,
        metrics=metrics or {},
    )


def usable(proposal: Proposal, feedback: Feedback) -> chex.Array:
    """`[P]` members that may be learned from: active, valid, and of finite fitness, cost and gradient."""
    finite = jnp.isfinite(feedback.fitness) & jnp.isfinite(feedback.cost).all(-1)
    if feedback.gradient is not None:
        finite &= jnp.isfinite(feedback.gradient).all((1, 2))
    return proposal.active & feedback.valid & finite


def narrow(feedback: Feedback) -> Feedback:
    """The feedback in 32 bits, which strategies keep, whatever the evaluator computed in (see `jax_enable_x64`)."""
    single = lambda array: jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), array)
    fields = ("fitness", "cost", "gradient", "curvature")
    return feedback.replace(**{name: single(getattr(feedback, name)) for name in fields})


def in_32_bits(fn: Callable) -> Callable:
    """`fn` of 32-bit arguments, in 32-bit mode: for a library's code that computes as widely as the mode allows."""

    def run(*args):
        with jax.enable_x64(False):
            return fn(*args)

    return run


def take(genomes: Genome, index: chex.Array) -> Genome:
    """The members `index` of a population of genomes."""
    return jax.tree.map(lambda leaf: leaf[index], genomes)
