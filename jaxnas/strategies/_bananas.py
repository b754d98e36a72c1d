"""BANANAS: Bayesian optimization with a neural predictor (White, Neiswanger and Savani, 2021, Algorithm 1)."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxnas import check
from jaxnas.predictors import Predictor, mlp_ensemble
from jaxnas.spaces import needed
from jaxnas.strategies.best import Best, adopted, black_box, unknown
from jaxnas.types import Genome, Space, Strategy, propose, take, usable


@struct.dataclass
class BananasState:
    """The archive is a ring of N evaluations in order of telling, of which `used` are there; -inf marks the rest."""

    genomes: Genome
    fitness: chex.Array
    used: chex.Array
    asked: chex.Array
    best: Best


def bananas(
    space: Space,
    *,
    capacity: int = 500,
    initial: int = 30,
    proposals: int = 10,
    candidates: int = 200,
    parents: int = 10,
    exploration: float = 2.0,
    features: Callable | None = None,
    predictor: Predictor | None = None,
    budget: int = 0,
) -> Strategy:
    """Fits an ensemble on all evaluations, scores mutants of the best by it, and asks for the top P.

    The acquisition is independent Thompson sampling (the paper's equation 4): each candidate's score is drawn from
    N(mean, std) of the ensemble. By default std is doubled, as members agree too much far from what they saw. Half of
    the candidates are made of the archive's best by one or two mutations, as in the paper; the other half are random.
    Without either, and with fewer random architectures at first, up to a fifth of all searches on NAS-Bench-201 ended
    in a local optimum that the ensemble was sure of. A genome that was evaluated, or is a candidate already, is asked
    for only where nothing else is left.

    The paper's path encoding is `features=spaces.path_encoding`.

    `ask` fits, from scratch, so that P answers pay for one fit.

    Args:
      space: genomes must be single arrays `[D]`.
      capacity: N, evaluations to learn from; later ones take the place of the oldest.
      initial: random architectures before the first fit.
      proposals: P, architectures in each ask.
      candidates: architectures that the predictor scores in each ask, at least P.
      parents: how many of the best are mutated.
      exploration: factor on std; 1 is the paper's.
      features: `genome -> [F]`, by default `space.features`.
      predictor: by default `predictors.mlp_ensemble()`.
      budget: training steps for each.

    Raises:
      InputError: a size out of its range, a space without features or whose genomes are no such arrays.
    """
    needed.one_array("strategy 'bananas'", space, flat=True)
    needed.functions("strategy 'bananas'", space, "mutate", *["features"] * (features is None))
    N, P, C = capacity, proposals, candidates
    check.integer("proposals", P, least=1)
    check.integer("initial", initial, least=1)
    check.integer("candidates", C, least=P, because="the proposals")
    check.integer("capacity", N, least=P, because="the proposals")
    check.real("exploration", exploration, least=0)
    check.integer("parents", parents, least=1, most=N, because="the capacity")
    if features is not None:
        check.function("features", features)
    predictor = mlp_ensemble() if predictor is None else predictor
    encode = jax.vmap(space.features if features is None else features)

    def init(key):
        return BananasState(
            genomes=jax.vmap(space.sample)(jax.random.split(key, N)),
            fitness=jnp.full(N, -jnp.inf, jnp.float32),
            used=jnp.int32(0),
            asked=jnp.int32(0),
            best=unknown(space, key),
        )

    def fresh(key, state):
        return jax.vmap(space.sample)(jax.random.split(key, P))

    def predicted(key, state):
        keys = jax.random.split(key, 7)
        known = jnp.isfinite(state.fitness)
        params = predictor.fit(keys[0], encode(state.genomes), jnp.where(known, state.fitness, 0), known)

        # While little is known, the ring still holds the random genomes of `init`, which serve as parents too.
        _, top = jax.lax.top_k(state.fitness, parents)
        count = known.sum(dtype=jnp.int32)
        parent = top[jax.random.randint(keys[1], (C,), 0, jnp.clip(count, 1, parents), jnp.int32)]
        mutants = jax.vmap(space.mutate)(jax.random.split(keys[2], C), take(state.genomes, parent))
        again = jax.vmap(space.mutate)(jax.random.split(keys[3], C), mutants)
        pool = jnp.where(jax.random.bernoulli(keys[4], jnp.float32(0.5), (C, 1)), again, mutants)
        anywhere = jax.vmap(space.sample)(jax.random.split(keys[5], C))
        pool = jnp.where((jnp.arange(C) % 2 == 1)[:, None], anywhere, pool)

        mean, std = predictor.predict(params, encode(pool))
        score = mean + exploration * std * jax.random.normal(keys[6], (C,), jnp.float32)
        same = lambda a, b: (a[:, None] == b[None]).all(-1)
        earlier = jnp.arange(C)[None] < jnp.arange(C)[:, None]
        told = jnp.arange(N) < state.used  # what failed too
        stale = (same(pool, state.genomes) & told).any(1) | (same(pool, pool) & earlier).any(1)
        _, chosen = jax.lax.top_k(jnp.where(stale, -jnp.inf, score), P)
        return pool[chosen]

    def ask(key, state):
        # `asked` does not depend on the seed, so this stays a branch under vmap.
        genomes = jax.lax.cond(state.asked < initial, fresh, predicted, key, state)
        return propose(genomes, state.asked, budget=budget), state.replace(asked=state.asked + P)

    def tell(key, state, proposal, feedback):
        enters = proposal.active
        fitness = jnp.where(usable(proposal, feedback), feedback.fitness, -jnp.inf)
        used = state.used + jnp.cumsum(enters, dtype=jnp.int32)
        slot = jnp.where(enters, (used - 1) % N, N)
        return state.replace(
            genomes=state.genomes.at[slot].set(proposal.genome, mode="drop"),
            fitness=state.fitness.at[slot].set(fitness, mode="drop"),
            used=used[-1],
            best=state.best.update(proposal, feedback),
        )

    return black_box("bananas", init, ask, tell, budget=budget, adopt=adopted)
