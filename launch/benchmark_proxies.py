"""Zero-cost proxies of a population, compile and memory, beside any other program.

    python -m launch.benchmark_proxies                       # 5 cells of 16 channels, batch 64, 32x32 images
    python -m launch.benchmark_proxies --peer='python peer.py'    # that prints {"ms_per_architecture": {"synflow": …}}
    python -m launch.benchmark_proxies --proxies=snip --plan=vmap --chunk=8

Rounds of ours and of the peer alternate, since machines drift; figures are medians over the rounds, in milliseconds of
wall time an architecture. Random architectures of a space of which `distinct` are different networks: those whose
score depends on the function alone can be shared by the others (`launch.score` does), which divides the figure again.
"""

import json
import shlex
import statistics
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxnas import evaluators, networks, proxies, spaces, tasks
from jaxnas.machine import configure, environment
from jaxnas.types import propose

ALIAS = {"jacov": "jacobian"}
"""What a peer may call it."""


def main(_: list[str]) -> None:
    configure()
    jax.config.update("jax_compilation_cache_dir", None)  # compiles are part of what is measured
    space, key, B = spaces.nasbench201(), jax.random.key(0), _BATCH.value
    network = networks.NasBench201(_CHANNELS.value, _CELLS.value, 10)
    random = np.random.default_rng(0)
    shape = (_IMAGE.value, _IMAGE.value, 3)
    splits = {
        s: (random.normal(size=(B, *shape)).astype("float32"), random.integers(0, 10, B))
        for s in ("train", "validation", "test")
    }
    task = tasks.arrays(splits, outputs=10)
    names, P = proxies.named(_PROXIES.value), _ARCHITECTURES.value // _ROUNDS.value
    rows = random.permutation(space.size)[: _ROUNDS.value * P].reshape(_ROUNDS.value, P)
    asked = [propose(space.from_index(jnp.asarray(part)), jnp.int32(0)) for part in rows]

    programs, result = {}, {}
    for name in names:
        options = {"batch_size": B, "plan": _PLAN.value, "chunk": _CHUNK.value}
        evaluator = evaluators.zero_cost(space, network, task, proxies=name, **options)
        state = jax.block_until_ready(jax.jit(evaluator.init)(key))
        begin = time.perf_counter()
        program = jax.jit(evaluator.evaluate).lower(key, state, asked[0]).compile()
        result[name] = {"seconds_to_compile": time.perf_counter() - begin, "ours": [], "peer": []}
        memory = program.memory_analysis()
        result[name]["megabytes"] = (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / 1e6
        programs[name] = program, state

    for proposal in asked:
        for name, (program, state) in programs.items():
            begin = time.perf_counter()
            jax.block_until_ready(program(key, state, proposal))
            result[name]["ours"].append((time.perf_counter() - begin) / P * 1e3)
        if _PEER.value:
            said = subprocess.run(shlex.split(_PEER.value), capture_output=True, text=True, check=True).stdout
            theirs = json.loads(said)["ms_per_architecture"]
            for name in names:
                if name in theirs or ALIAS.get(name) in theirs:
                    result[name]["peer"].append(theirs[name if name in theirs else ALIAS[name]])
    for figures in result.values():
        figures["median"] = statistics.median(figures["ours"])
        # Seconds over a thousand are milliseconds each.
        figures["with_compile_over_1000"] = figures["median"] + figures["seconds_to_compile"]
        if figures["peer"]:
            figures["peer_median"] = statistics.median(figures["peer"])
            pairs = zip(figures["peer"], figures["ours"], strict=True)
            figures["times_faster"] = statistics.median(theirs / ours for theirs, ours in pairs)
            figures["times_faster_with_compile"] = figures["peer_median"] / figures["with_compile_over_1000"]
    every = np.asarray(jax.jit(jax.vmap(lambda i: space.canonical(space.from_index(i))))(np.arange(space.size)))
    whole = {
        "proxies": result,
        "distinct": len(np.unique(every, axis=0)) / space.size,
        "plan": evaluator.report()["plan"],
        "peer": _PEER.value,
        **{flag.name: flag.value for flag in (_CHANNELS, _CELLS, _BATCH, _IMAGE, _ARCHITECTURES, _CHUNK)},
        **environment(),
    }
    print(json.dumps(whole, indent=2))


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    _PROXIES = flags.DEFINE_string("proxies", "synflow,grad_norm,snip,jacov,nwot", "Names, or 'all'.")
    _IMAGE = flags.DEFINE_integer("image", 32, "Height and width of the images.")
    _CHANNELS = flags.DEFINE_integer("channels", 16, "Channels of the first stage.")
    _CELLS = flags.DEFINE_integer("cells", 5, "Cells in each stage.")
    _BATCH = flags.DEFINE_integer("batch", 64, "Batch size.")
    _ARCHITECTURES = flags.DEFINE_integer("architectures", 96, "Architectures, over all rounds.")
    _ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds to split them into, a peer's run after each.")
    _PLAN = flags.DEFINE_enum("plan", "auto", ("auto", "map", "vmap"), "Execution plan of the population.")
    _CHUNK = flags.DEFINE_integer("chunk", None, "With plan vmap: architectures side by side on a device.")
    _PEER = flags.DEFINE_string("peer", None, "Command to time beside ours.")
    app.run(main)
