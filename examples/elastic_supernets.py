# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # How should an elastic supernet be trained?
#
# AutoFormer (Chen et al., 2021) trains one random path of its supernet a step. The sandwich rule (Yu and Huang, 2019)
# trains the largest, the smallest and two random ones together; in-place distillation lets the others learn from the
# largest. Which of them ranks networks as they rank when each is trained alone?

# %%
import json
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxnas
from jaxnas import Phase, evaluators, search, statistics
from jaxnas.types import propose

ARCHITECTURES, SEEDS = 12, 1
STEPS = 2000  # of paths
ALONE = 600  # steps of each network alone
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %% [markdown]
# Networks drawn at random, each trained alone: all in one program.

# %%
config = jaxnas.get_config("autoformer:small")
parts = jaxnas.build(config)
space, network, task = parts.space, parts.network, parts.task
genomes = jax.vmap(space.sample)(jax.random.split(jax.random.key(1), ARCHITECTURES))
recipe = {k: v for k, v in config["evaluator"].items() if k not in ("name", "steps", "fitness")}
training = evaluators.training(space, network, task, **recipe)
losses = []
for seed in range(2):
    proposal = propose(genomes, jnp.int32(0), budget=ALONE)
    losses.append(jax.jit(training.evaluate)(jax.random.key(seed), (), proposal)[0].metrics["loss"])
alone = -np.mean(losses, 0)
noise = statistics.rank_correlation(*(-np.array(losses)), measures=["spearman"])["spearman"]
print(f"loss alone from {-alone.max():.3f} to {-alone.min():.3f}; two seeds of it agree by {noise[0]:.2f}")

# %% [markdown]
# The supernets: the same number of paths is trained with each, one path a step or four together, besides one with as
# many weight steps as the sandwich has.

# %%
KINDS = {
    "one path a step": ("autoformer:small", STEPS),
    "one path a step, a quarter": ("autoformer:small", STEPS // 4),
    "sandwich": ("autoformer:small,sandwich", STEPS // 4),
    "sandwich, distilled": ("autoformer:small,distilled", STEPS // 4),
}
found = {name: [] for name in KINDS}
for name, (kind, steps) in KINDS.items():
    config = jaxnas.get_config(kind)
    config["evaluator"]["steps"] = steps
    paths = config["warm_up"].get("proposals", 1)
    made = jaxnas.build(config)
    score = jax.jit(made.evaluator.evaluate)
    for seed in range(SEEDS):
        phase = Phase(made.warm_up, steps // paths)
        state = search(space, [phase], made.evaluator, seed=seed, progress=False).state.evaluator
        feedback, _ = score(jax.random.key(0), state, propose(genomes, jnp.int32(0)))
        inherited = np.asarray(feedback.fitness)
        value = statistics.rank_correlation(alone, inherited, measures=["spearman"])["spearman"]
        found[name].append({"spearman": value, "loss": -float(inherited.mean()), "inherited": inherited.tolist()})
    shown = ", ".join("{:.2f} ({:.2f} to {:.2f})".format(*run["spearman"]) for run in found[name])
    print(f"{name:28} rank correlation {shown}; mean loss {np.mean([run['loss'] for run in found[name]]):.3f}")
(FOLDER / "elastic_supernets.json").write_text(json.dumps({"alone": alone.tolist(), **found}, indent=1))

# %%
figure, axes = plt.subplots(figsize=(6, 4))
for name, runs in found.items():
    axes.plot(-alone, -np.array(runs[0]["inherited"]), "o", ms=4, label=name)
axes.set(xlabel="loss, trained alone", ylabel="loss, inherited")
axes.legend()
figure.savefig(FOLDER / "elastic_supernets.png", dpi=150, bbox_inches="tight")
print(f"picture: {FOLDER}/elastic_supernets.png")

# %% [markdown]
# **Next:** more architectures and seeds; `jaxnas search --config=autoformer:small,distilled`, which searches such a
# supernet and trains what it finds.
