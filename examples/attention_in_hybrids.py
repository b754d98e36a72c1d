# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Where does a hybrid need attention?
#
# A linear recurrence remembers what its state has room for; attention remembers everything, and its cache grows with
# the context. Which layers of three must be attention, if the others are recurrences by the gated delta rule? This
# trains every placement, with states of several sizes, on recall of key-value pairs, as one program.

# %%
import itertools
import json
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxnas
from jaxnas import evaluators, networks, spaces, tasks
from jaxnas.types import propose

LAYERS = 3
STATES = (4, 16)  # of a recurrence: this squared, numbers for each of two heads
HEAD_SIZE = 16  # of attention
PAIRS = 6
STEPS = 800
SEEDS = 1
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %% [markdown]
# The space decides mixer and head size of each layer. Recurrences take the sizes above, attention always the same.

# %%
options = {
    "layers": LAYERS,
    "mixers": ("delta", "attention"),
    "heads": (2,),
    "groups": (2,),
    "head_sizes": tuple(sorted({*STATES, HEAD_SIZE})),
    "ratios": (2,),
    "widths": (64,),
}
space = spaces.transformer(**options)
task = tasks.recall(pairs=PAIRS, vocabulary=16, held_out=500)
network = networks.Transformer(**options, classes=task.outputs)
evaluator = evaluators.training(
    space,
    network,
    task,
    optimizer={"name": "adamw", "b2": 0.95},
    learning_rate=7e-3,
    warm_up=STEPS // 10,
    weight_decay=0.01,
    no_decay=("*/scale", "*/embedding"),
    clip_norm=1.0,
    batch_size=32,
)

# %%
placements = list(itertools.product((0, 1), repeat=LAYERS))  # 1 where a layer is attention
runs = [(placement, state) for placement in placements for state in STATES if 0 in placement or state == STATES[0]]


def genome(placement, state):
    """In the order of `space.decisions`."""
    sizes = [HEAD_SIZE if attention else state for attention in placement]
    chosen = {f"layer_{i}_mixer": attention for i, attention in enumerate(placement)}
    chosen |= {f"layer_{i}_head_size": options["head_sizes"].index(size) for i, size in enumerate(sizes)}
    return [chosen[decision] for decision in space.decisions]


genomes = jnp.asarray([genome(*run) for run in runs for _ in range(SEEDS)], jnp.int32)
feedback = jax.jit(evaluator.evaluate)(jax.random.key(0), (), propose(genomes, jnp.int32(0), budget=STEPS))[0]
accuracy = np.asarray(feedback.metrics["accuracy"]).reshape(len(runs), SEEDS)

# %%
name = lambda placement: "".join("DA"[attention] for attention in placement)
found = {state: {name(p): accuracy[i].tolist() for i, (p, s) in enumerate(runs) if s == state} for state in STATES}
for state in STATES:
    found[state].setdefault(name((1,) * LAYERS), found[STATES[0]][name((1,) * LAYERS)])
print(f"recall of {PAIRS} pairs after {STEPS} steps, {SEEDS} seeds; D a recurrence, A attention:")
for state, by_placement in found.items():
    print(f"  state {state} x {state}: " + ", ".join(f"{p} {np.mean(a):.0%}" for p, a in by_placement.items()))
sizes = {"steps": STEPS, "seeds": SEEDS, "pairs": PAIRS}
(FOLDER / "attention_in_hybrids.json").write_text(json.dumps({**sizes, "accuracy": found}, indent=1))

# %% [markdown]
# A point for each seed, a line through the means of each size of state.

# %%
order = sorted(found[STATES[0]], key=lambda p: (p.count("A"), p))
figure, axes = plt.subplots(figsize=(6, 4))
for state, by_placement in found.items():
    (line,) = axes.plot([np.mean(by_placement[p]) for p in order], label=f"state {state} x {state}")
    for at, placement in enumerate(order):
        axes.plot([at] * SEEDS, by_placement[placement], "o", color=line.get_color(), alpha=0.5)
axes.set(ylabel="accuracy of recall", ylim=(0, 1.05), xlabel="layers: D a recurrence, A attention")
axes.set_xticks(range(len(order)), order)
axes.legend()
figure.savefig(FOLDER / "attention_in_hybrids.png", dpi=150, bbox_inches="tight")
print(f"picture: {FOLDER}/attention_in_hybrids.png")

# %% [markdown]
# With a state that holds the pairs no layer needs attention. With one that is too small attention helps, if a
# recurrence is before it: it finds a key's value only after a layer before it has put each key beside its value, which
# the recurrence's short convolution does, and which layers of attention alone do not learn in as many steps.
#
# **Next:** more seeds and steps; more pairs than the large state holds; `mixers=("ssm", "attention")`; the search over
# five mixers by layer, `jaxnas search --config=hybrid:small`.
