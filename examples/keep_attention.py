# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Which layers of a trained decoder need full attention?
#
# PostNAS (Gu et al., 2025) starts from a decoder whose every layer is attention, puts a linear block beside each, and
# asks where attention must stay. Here the decoder is small, so that all placements can be scored: what the search
# strategies find stands beside the truth.

# %%
import json
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxnas
from jaxnas import Phase, search, strategies
from jaxnas.types import propose

CONFIG = "postnas:small"
SEEDS = 1
EVALUATIONS = 48
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %% [markdown]
# The config's parts: the parent, which is trained the first time and kept; the space of replacements; a supernet whose
# linear blocks learn from the parent, one random placement a step.

# %%
config = jaxnas.get_config(CONFIG)
parts = jaxnas.build(config)
space, metric = parts.space, parts.task.metric
L = len(space.decisions)
every = ((np.arange(2**L)[:, None] >> np.arange(L)) & 1).astype(np.int32)  # 0 where a layer keeps its attention
kept = (every == 0).sum(1)


def uniform(k):
    """Evenly spaced, as far from the ends as from each other."""
    return {int((i + 0.5) * L / k) for i in range(k)}


def best(seen, loss, value):
    """The metric of the placement of least loss among those seen, for each number of attention layers."""
    of = [[i for i in seen if kept[i] == k] for k in range(L + 1)]
    return [float(value[rows[np.argmin(loss[rows])]]) if rows else None for rows in of]


def strategy(name):
    """Each evaluates `EVALUATIONS` placements at most, for the whole curve."""
    if name == "beam search":
        return strategies.beam_search(space, start=np.ones(L, int), goal=np.zeros(L, int), width=1)
    costs = parts.evaluator.cost_names
    if name == "evolution":
        return strategies.nsga2(space, costs=costs, population_size=16, proposals=8)
    return strategies.additive(space, costs=costs)


# %%
curves = {}
for seed in range(SEEDS):
    warm_up = Phase(parts.warm_up, config["warm_up"]["rounds"])
    trained = search(space, [warm_up], parts.evaluator, seed=seed, progress=False).state.evaluator
    scoring = parts.evaluator._replace(init=lambda key, trained=trained: trained)
    loss, value = [], []
    for rows in np.split(every, 8):
        feedback, _ = jax.jit(scoring.evaluate)(jax.random.key(0), trained, propose(jnp.asarray(rows), jnp.int32(0)))
        loss += [-np.asarray(feedback.fitness)]
        value += [np.asarray(feedback.metrics[metric.name])]
    loss, value = np.concatenate(loss), np.concatenate(value)
    row = {tuple(genome): i for i, genome in enumerate(every)}

    found = {"all placements": best(range(2**L), loss, value)}
    found["a random one"] = [float(value[kept == k].mean()) for k in range(L + 1)]
    spaced = [tuple(0 if i in uniform(k) else 1 for i in range(L)) if k else (1,) * L for k in range(L + 1)]
    found["evenly spaced"] = [float(value[row[genome]]) for genome in spaced]
    for name in ("beam search", "evolution", "additive"):
        rounds = L + 1 if name == "beam search" else EVALUATIONS // 8  # of 8 placements at most, in levels
        history = search(space, strategy(name), scoring, rounds=rounds, seed=seed, progress=False).history
        seen = [row[tuple(space.from_string(line["architecture"]).tolist())] for line in history]
        found[name] = best(seen, loss, value)
    singles = [row[tuple(int(i != j) for i in range(L))] for j in range(L)]  # one layer keeps its attention
    gain = loss[row[(1,) * L]] - loss[singles]
    summed = loss[row[(1,) * L]] - (every == 0) @ gain
    ranks = lambda x: np.argsort(np.argsort(x))
    found["rank correlation of the sum"] = float(np.corrcoef(ranks(summed), ranks(loss))[0, 1])
    for name, curve in found.items():
        curves.setdefault(name, []).append(curve)

# %%
unit = "%" if metric.unit == "fraction" else ""
print(f"{metric.name} by the number of layers that keep attention, {SEEDS} seeds:")
for name, runs in curves.items():
    if name != "rank correlation of the sum":
        values = [[run[k] for run in runs if run[k] is not None] for k in range(L + 1)]
        shown = [f"{np.mean(v) * (100 if unit else 1):.3g}{unit}" if v else "-" for v in values]
        print(f"  {name:15}" + "".join(f"{text:>7}" for text in shown))
correlation = curves.pop("rank correlation of the sum")
print(f"  the sum of what single layers gain against the true loss: rank correlation {np.mean(correlation):.2f}")
(FOLDER / "keep_attention.json").write_text(json.dumps({**curves, "correlation": correlation}, indent=1))

# %%
figure, axes = plt.subplots(figsize=(6, 4))
for name, runs in curves.items():
    values = {k: [run[k] for run in runs if run[k] is not None] for k in range(L + 1)}
    mean = {k: np.mean(v) for k, v in values.items() if v}
    error = [np.std(values[k], ddof=1) / len(values[k]) ** 0.5 if len(values[k]) > 1 else 0 for k in mean]
    above = {"linestyle": ":", "color": "black", "zorder": 9} if name == "all placements" else {}
    axes.errorbar(list(mean), list(mean.values()), error, label=name, capsize=2, **above)
axes.set(xlabel="layers that keep attention", ylabel=metric.name.replace("_", " "))
axes.legend()
figure.savefig(FOLDER / "keep_attention.png", dpi=150, bbox_inches="tight")
print(f"picture: {FOLDER}/keep_attention.png")

# %% [markdown]
# **Next:** `CONFIG = "postnas:small,text"`; more seeds; the real thing, `jaxnas search --config=postnas:smollm2`.
