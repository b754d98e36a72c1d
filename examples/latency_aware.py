# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Accuracy and latency on this device
#
# Which network is the best within my latency? FLOPs do not tell how long a network takes, so this measures some
# networks of NAS-Bench-201 on the device that it runs on, predicts the latency of every cell from them, and searches
# the front of accuracy and latency with NSGA-II.

# %%
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

import jaxnas
from jaxnas import costs, evaluators, networks, pareto, plots, spaces, strategies, tables

BATCH = 64  # images at once, when latency is measured
NETWORKS = 20  # to measure, drawn at random
ROUNDS = 15  # of 20 cells each
PICTURES = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %%
space = spaces.nasbench201()
network = networks.NasBench201(channels=8, cells=1)
images = jax.ShapeDtypeStruct((BATCH, 8, 8, 1), jnp.float32)
measured = costs.table_from_networks(space, network, images, networks=NETWORKS, say=print)
about = measured.calibration
print(f"predictions are off by {about['mape']:.1%} on networks that they were not fitted to;", end=" ")
print(f"two measurements differ by {about['noise_floor']:.1%}")
if about["noise_floor"] > 0.04:
    print("this machine is busy; measure on a quiet one before you rely on it")

# %% [markdown]
# The model is pure JAX: a latency for a genome, so that all 15,625 cells are one call. Accuracy is looked up in the
# table that comes with the library (`evaluators.training` in its place trains each candidate; the rest stays as it
# is).

# %%
latency = costs.cost_model(space, network, measured).cost
table = tables.load(tables.embedded("nasbench201_digits"))
accuracy = 100 * table.by_genome("validation_accuracy")[:, :, -1].mean(1)
evaluator = evaluators.with_cost(evaluators.table(space, accuracy), latency, "latency_ms")
strategy = strategies.nsga2(space, costs=["latency_ms"], population_size=20)
result = jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, seed=0, progress=False)

# %% [markdown]
# The front is whatever no other evaluated cell beats in both. As all cells are known here, so is the true front.

# %%
fitness = result.history.column("fitness")
cost = np.array([row["cost"]["latency_ms"] for row in result.history])
front = np.asarray(pareto.front(fitness, cost[:, None]))
every = np.asarray(jax.jit(jax.vmap(lambda i: latency(space.from_index(i))))(jnp.arange(int(space.size))))
best = np.asarray(jax.jit(pareto.front)(accuracy, every[:, None]))
print(f"front after {result.evaluations} evaluations:")
lines = {(float(cost[i]), float(fitness[i])): result.history[int(i)]["architecture"] for i in np.flatnonzero(front)}
for (milliseconds, percent), name in sorted(lines.items()):
    print(f"  {percent:.2f} %  {milliseconds:.3f} ms  {name}")
plots.front(
    fitness,
    cost[:, None],
    front,
    PICTURES / "front.png",
    names=["latency_ms"],
    true=(accuracy[best], every[best][:, None]),
    ylabel="validation accuracy (%)",
)
print(f"picture: {PICTURES}/front.png")

# %% [markdown]
# What to build: the most accurate cell of the front within a limit. It is measured again, as its latency was a
# prediction.

# %%
limit = float(np.quantile(every, 0.3))
inside = np.where(front & (cost <= limit), fitness, -np.inf)
chosen = result.history[int(inside.argmax())]
genome = space.pruned(space.from_string(chosen["architecture"]))
again = 1000 * costs.measure_networks(costs.compile_networks(space, network, [genome], images))[0].median
print(f"within {limit:.3f} ms: {chosen['fitness']:.2f} %, {chosen['architecture']}")
print(f"predicted {chosen['cost']['latency_ms']:.3f} ms, measured {again:.3f} ms; the best there is has", end=" ")
print(f"{accuracy[every <= limit].max():.2f} %")

# %% [markdown]
# **Next:** more `NETWORKS`; `limits={"latency_ms": 2.0}` of `strategies.nsga2`, for which all within come before all
# others; `costs.profile`, which times every operation alone (`jaxnas profile` on the command line);
# `costs.weighted_product` with `evaluators.scalarized`, which makes one number of accuracy and latency for strategies
# that read fitness alone; `expected_cost=` of `strategies.darts`, which descends on the expected latency.
