"""Zero-cost proxies of a population of NAS-Bench-201's networks."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import evaluators, networks, spaces
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.proxies import named
from jaxnas.types import Space, propose

ALIAS = {"jacov": "jacobian"}
"""What a peer may call it."""


def measure(
    *,
    proxies: str = "synflow,grad_norm,snip,jacov,nwot",
    image: int = 32,
    channels: int = 16,
    cells: int = 5,
    batch: int = 64,
    architectures: int = 96,
    rounds: int = 3,
    plan: str = "auto",
    chunk: int | None = None,
    peer: str | None = None,
) -> dict:
    """Each proxy by itself, its compile and memory, beside any other program.

    Random architectures of a space of which a part, `distinct`, are different networks: those whose score depends on
    the function alone can share it, which divides the figure again.

    Args:
      proxies: names separated by commas, or 'all'.
      image: height and width of the random images.
      channels: channels of the first stage.
      cells: cells in each stage.
      batch: batch size.
      architectures: distinct architectures, over all rounds.
      rounds: rounds to split them into, a peer's run after each.
      plan: execution plan of the population: auto, map or vmap.
      chunk: with plan vmap, architectures side by side on a device.
      peer: command to time beside ours, which prints `{"ms_per_architecture": {"synflow": …}}`.

    Returns:
      `proxies`, for each `ms_per_architecture` of wall time (`median`, `rounds`), `seconds_to_compile`, milliseconds
      with these over 1,000 architectures, `megabytes`, and of those that the peer knows too `peer` and how many times
      faster than it; `distinct`; the execution `plan`.

    Raises:
      InputError: an option out of range, a peer that fails.
    """
    side_by_side.positive(image=image, channels=channels, cells=cells, batch=batch, rounds=rounds)
    theirs = None if peer is None else side_by_side.peer_program(peer)
    names, random, key = named(proxies), np.random.default_rng(0), jax.random.key(0)
    space, network = spaces.nasbench201(), networks.NasBench201(channels, cells, 10)
    task = side_by_side.random_images(random, image, train=batch, validation=batch, test=batch)
    indices = side_by_side.random_architectures(random, space, architectures, rounds)
    asked = [propose(space.from_index(jnp.asarray(part)), jnp.int32(0)) for part in indices]

    figures, runs = {}, {}
    for name in names:
        options = {"batch_size": batch, "plan": plan, "chunk": chunk}
        evaluator = evaluators.zero_cost(space, network, task, proxies=name, **options)
        with side_by_side.compiled_anew():
            run, figures[name] = _compiled(evaluator, key, asked[0])
        runs[name] = lambda i, run=run: timed(run, asked[i])[0] / indices.shape[1] * 1e3
    if theirs is not None:
        runs["peer"] = lambda i: theirs("ms_per_architecture")

    took = side_by_side.alternate(rounds, runs)
    for name in names:
        peers = [said.get(name, said.get(ALIAS.get(name))) for said in took.get("peer", ())]
        peers = [ms for ms in peers if ms is not None]
        compared = side_by_side.compared("ms_per_architecture", took[name], peers)
        median = statistics.median(peers) if peers else None
        once = figures[name]["seconds_to_compile"]
        figures[name] |= {
            **compared,
            **side_by_side.with_compile(compared["ms_per_architecture"]["median"], once, median),
        }
    return {"proxies": figures, "distinct": _distinct(space), "plan": evaluator.report()["plan"]}


def _compiled(evaluator, key, proposal) -> tuple:
    """The program `proposal -> feedback`, with its seconds to compile and megabytes."""
    state = jax.block_until_ready(jax.jit(evaluator.init)(key))
    compiled = lambda: jax.jit(evaluator.evaluate).lower(key, state, proposal).compile()
    seconds, program = timed(compiled)
    memory = program.memory_analysis()
    megabytes = (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / 1e6
    run = lambda asked: program(key, state, asked)
    return run, {"seconds_to_compile": seconds, "megabytes": megabytes}


def _distinct(space: Space) -> float:
    """The part of the genomes that are one canonical form each."""
    forms = jax.jit(jax.vmap(lambda i: space.canonical(space.from_index(i))))(np.arange(space.size))
    return len(np.unique(np.asarray(forms), axis=0)) / space.size
