"""Weight steps of an elastic supernet: the largest path, random ones, and a sandwich."""

import json
import shlex
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import evaluators, networks, spaces, strategies
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.decoder import described
from jaxnas.benchmarks.side_by_side import timed

HEAD_SIZE, PATCH = 32, 4
PATHS = ("largest", "random", "sandwich")


def measure(
    *,
    image: int = 32,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    batch: int = 32,
    steps: int = 8,
    rounds: int = 3,
    peer: str | None = None,
) -> dict[str, Any]:
    """Weight steps of a supernet of vision transformers that differ in heads, hidden features, width and depth.

    Beside a program that cuts each path's weights out of the largest's, as AutoFormer's does, the largest path is what
    both compute at equal FLOPs; random ones cost that program less, and here as much.

    Args:
      image: height and width of the random images, cut into patches of 4x4 pixels.
      width: features, the most.
      layers: the most.
      heads: the most.
      batch: batch size.
      steps: weight steps in a round.
      rounds: a peer's run after each of ours.
      peer: command to time beside ours, `benchmarks/peers/torch_elastic.py` say: it is given the sizes, and the paths
        as `--largest=JSON`, `--random=JSON` and `--sandwich=JSON`, and prints `{"ms_per_step": {"largest": …,
        "random": …, "sandwich": …}}`.

    Returns:
      `largest`, `random` (another path each step) and `sandwich` (one step of four: the largest, two random, the
      smallest): `ms_per_step` (`median`, `rounds`) and beside a peer `times_faster`; `compile_seconds`.

    Raises:
      InputError: an option out of range, a peer that fails.
    """
    sizes = {"image": image, "width": width, "layers": layers, "heads": heads, "batch": batch}
    side_by_side.positive(**sizes, steps=steps, rounds=rounds)
    options = {
        "layers": layers,
        "heads": tuple(sorted({max(1, heads // 2), heads})),
        "groups": (heads,),
        "head_sizes": (HEAD_SIZE,),
        "ratios": (2, 4),
        "widths": tuple(sorted({max(1, width // 2), width})),
        "depths": tuple(sorted({max(1, layers // 2), layers})),
    }
    space = spaces.transformer(**options)
    network = networks.Transformer(**options, classes=10, vocabulary=0, each=False, causal=False, patch=PATCH)
    task = side_by_side.random_images(np.random.default_rng(0), image, train=8 * batch, validation=batch, test=1)
    key = jax.random.key(0)

    recipe = {"steps": 1000, "batch_size": batch, "optimizer": "adamw", "learning_rate": 1e-3}
    of = {
        kind: evaluators.supernet(space, network, task, together=kind == "sandwich", **recipe)
        for kind in ("paths", "sandwich")
    }

    def asked(strategy):
        return strategy.ask(key, strategy.init(key))[0]

    random = asked(strategies.random_search(space, proposals=steps, budget=1))
    sandwich = asked(strategies.sandwich(space))
    largest = random.replace(genome=jnp.broadcast_to(sandwich.genome[0], random.genome.shape))
    sandwich = sandwich.replace(budget=jnp.full_like(sandwich.budget, steps))
    proposals = {"largest": largest, "random": random, "sandwich": sandwich}
    states, programs, compiled = {}, {}, {}
    with side_by_side.compiled_anew():
        for kind, proposal in {"paths": random, "sandwich": sandwich}.items():
            states[kind] = jax.jit(of[kind].init)(key)
            lowered = jax.jit(of[kind].evaluate, donate_argnums=1).lower(key, states[kind], proposal)
            compiled[kind], programs[kind] = timed(lowered.compile)
            states[kind] = programs[kind](key, states[kind], proposal)[1]  # the first run of a program is slower

    def run(name):
        kind = name if name in of else "paths"
        seconds, (_, states[kind]) = timed(programs[kind], key, states[kind], proposals[name])
        return 1e3 * seconds / steps

    runs = {name: lambda i, name=name: run(name) for name in PATHS}
    if peer is not None:
        paths = {name: [described(space, options, g) for g in np.asarray(p.genome)] for name, p in proposals.items()}
        given = {**sizes, "steps": steps, **{name: shlex.quote(json.dumps(of)) for name, of in paths.items()}}
        theirs = side_by_side.peer_program(f"{peer} {' '.join(f'--{name}={value}' for name, value in given.items())}")
        runs["peer"] = lambda i: theirs("ms_per_step")
    took = side_by_side.alternate(rounds, runs)
    of_peer = lambda name: [each[name] for each in took.get("peer", ())]
    return {
        "compile_seconds": compiled,
        **{name: side_by_side.compared("ms_per_step", took[name], of_peer(name)) for name in PATHS},
    }
