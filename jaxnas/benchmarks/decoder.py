"""Training throughput of decoders: the plain one, and a population of different ones."""

import json
import shlex
from typing import Any

import jax
import numpy as np

from jaxnas import evaluators, networks, spaces, strategies, tasks
from jaxnas import training as recipes
from jaxnas.benchmarks import side_by_side
from jaxnas.benchmarks.side_by_side import timed
from jaxnas.population import CompileMeter

VOCABULARY, HEAD_SIZE, RATIO = 256, 32, 4
ACTIVATIONS = ("gelu", "swiglu")


def measure(
    *,
    length: int = 256,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    batch: int = 16,
    architectures: int = 16,
    steps: int = 4,
    rounds: int = 3,
    peer: str | None = None,
) -> dict[str, Any]:
    """Training steps of the plain decoder and of a population that differs in heads, hidden features, activation and
    depth, as one program, beside any other program.

    Milliseconds of the population are wall time divided by steps and architectures, so that two cores at work count as
    the time they take together.

    Args:
      length: tokens of an example.
      width: features.
      layers: of the plain decoder, and the most of the others.
      heads: the most.
      batch: batch size.
      architectures: random ones.
      steps: of training, in a round.
      rounds: a peer's run after each of ours.
      peer: command to time beside ours, `benchmarks/peers/torch_decoder.py` say: it is given the sizes and
        `--architectures=JSON`, and prints `{"ms_per_step": {"plain": …, "masked": …, "sliced": …}}`.

    Returns:
      `plain` and `population`: `ms_per_step` (`median`, `rounds`), with a peer `times_faster`, of the population than
      networks that are `masked` and than those that are `sliced`; `compile_seconds`.

    Raises:
      InputError: an option out of range, a peer that fails.
    """
    sizes = {"length": length, "width": width, "layers": layers, "heads": heads, "batch": batch}
    side_by_side.positive(**sizes, architectures=architectures, steps=steps, rounds=rounds)
    options = {
        "layers": layers,
        "heads": tuple(sorted({max(1, heads // 2), heads})),
        "groups": (heads,),
        "head_sizes": (HEAD_SIZE,),
        "ratios": (RATIO // 2, RATIO),
        "activations": ACTIVATIONS,
        "widths": (width,),
        "depths": tuple(sorted({max(1, layers - 1), layers})),
    }
    space, network = spaces.transformer(**options), networks.Transformer(**options, classes=VOCABULARY)
    plain = networks.Transformer(layers, heads=(heads,), groups=(heads,), widths=(width,), classes=VOCABULARY)
    random = np.random.default_rng(0)
    made = {name: random.integers(0, VOCABULARY, (2, n, length), np.uint8) for name, n in _splits(batch).items()}
    task = tasks.arrays({name: tuple(of) for name, of in made.items()}, outputs=VOCABULARY, prepare=_whole)
    recipe = recipes.Recipe(batch_size=batch, optimizer="adamw", learning_rate=1e-3)
    alone = jax.jit(lambda key, n: recipes.trainer(plain, task, recipe).train(key, {}, n)[1])
    genomes = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), architectures))
    strategy = strategies.random_search(space, proposals=architectures, budget=steps)
    evaluator = evaluators.training(space, network, task, **recipe._asdict())
    proposal = strategy.ask(jax.random.key(0), strategy.init(jax.random.key(0)))[0].replace(genome=genomes)
    evaluate = jax.jit(evaluator.evaluate)
    key = jax.random.key(0)
    with side_by_side.compiled_anew():
        meters = CompileMeter(), CompileMeter()
        timed(alone, key, 0)
        compiled = {"plain": meters[0].seconds}
        timed(evaluate, key, (), proposal.replace(active=np.zeros(architectures, bool)))
        compiled["population"] = meters[1].seconds - compiled["plain"]
        runs = {
            "plain": lambda i: 1e3 * timed(alone, key, steps)[0] / steps,
            "population": lambda i: 1e3 * timed(evaluate, key, (), proposal)[0] / steps / architectures,
        }
        if peer is not None:
            same = {**sizes, "ratio": RATIO, "steps": steps}
            written = " ".join(f"--{name}={value}" for name, value in same.items())
            described = shlex.quote(json.dumps([described(space, options, genome) for genome in np.asarray(genomes)]))
            theirs = side_by_side.peer_program(f"{peer} {written} --architectures={described}")
            runs["peer"] = lambda i: theirs("ms_per_step")
        took = side_by_side.alternate(rounds, runs)
    figures: dict[str, Any] = {"compile_seconds": compiled, "plan": evaluator.report()}
    of_peer = lambda name: [each[name] for each in took.get("peer", ())]
    figures["plain"] = side_by_side.compared("ms_per_step", took["plain"], of_peer("plain"))
    figures["population"] = side_by_side.compared("ms_per_step", took["population"])
    for kind in ("masked", "sliced") if peer is not None else ():
        theirs = side_by_side.compared("ms_per_step", took["population"], of_peer(kind))
        figures["population"][f"peer_{kind}"] = theirs["peer"]
        figures["population"][f"times_faster_than_{kind}"] = theirs["times_faster"]
    return figures


def _splits(batch: int) -> dict[str, int]:
    return {"train": 8 * batch, "validation": batch, "test": 1}


def _whole(tokens):
    return tokens.astype(np.int32)


def described(space, options, genome) -> dict[str, Any]:
    """A path of a transformer as a peer is told it: of each layer that is there, and the width where it is chosen."""
    chosen = dict(zip(space.decisions, [o[g] for o, g in zip(space.options, genome, strict=True)], strict=True))
    depth = chosen.get("depth", options["layers"])
    plurals = {"heads": "heads", "ratio": "ratios", "activation": "activations"}
    of = lambda factor, i: chosen.get(f"layer_{i}_{factor}", options[plurals[factor]][0])
    layers = {plural: [of(factor, i) for i in range(depth)] for factor, plural in plurals.items() if plural in options}
    return layers | {name: chosen[name] for name in ("width",) if name in chosen}
