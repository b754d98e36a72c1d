# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Zero-cost proxies
#
# Can networks be ranked without training them? Zero-cost proxies score a network at initialization by one batch. This
# scores random cells of NAS-Bench-201 by several and correlates the ranks with the accuracy that the same cells reach
# when they are trained, which the table that comes with the library knows.

# %%
import pathlib
import tempfile

import jax
import numpy as np

import jaxnas
from jaxnas import evaluators, networks, plots, spaces, strategies, tables, tasks
from jaxnas.statistics import rank_correlation

CELLS = 256  # to score
AT_ONCE = 64
PROXIES = ("synflow", "nwot", "params")
PICTURES = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %%
space = spaces.nasbench201()
task = tasks.digits()
network = networks.NasBench201(channels=8, cells=1, classes=task.outputs)

# %% [markdown]
# Random search draws the cells; with one seed, it draws the same for every proxy. All of them share one
# initialization and one batch.

# %%
strategy = strategies.random_search(space, proposals=AT_ONCE)
scores = {}
for proxy in PROXIES:
    evaluator = evaluators.zero_cost(space, network, task, proxies=proxy, batch_size=64)
    result = jaxnas.search(space, strategy, evaluator, rounds=CELLS // AT_ONCE, seed=0, progress=False)
    scores[proxy] = result.history.column("fitness")
    print(f"{proxy}: {result.evaluations} cells in {result.wall_seconds:.0f} s,", end=" ")
    print(f"{result.compile_seconds:.0f} s of it compiling")

# %%
table = tables.load(tables.embedded("nasbench201_digits"))
rows = np.asarray(jax.jit(jax.vmap(space.index))(result.history.genomes))
trained = -table.by_genome("validation_loss")[rows, :, -1].mean(1)  # higher is better
correlation = {}
print("Spearman's rank correlation with minus the validation loss after training, and its 95 % interval:")
for name, values in scores.items():
    known = np.isfinite(values)  # a network that is cut off has no score by some
    rho = rank_correlation(values[known], trained[known], measures=("spearman",))["spearman"]
    correlation[name] = rho.value
    print(f"  {name:8} {rho.value:+.2f} ({rho.low:+.2f} to {rho.high:+.2f}), {known.sum()} cells")

# %% [markdown]
# How well could any score do? The table has three trainings of each cell. Two of them do not agree perfectly either.

# %%
seeds = table.by_genome("validation_loss")[rows, :, -1]
noise = rank_correlation(seeds[:, 0], seeds[:, 1], measures=("spearman",))["spearman"]
print(f"two trainings of the same cells agree at {noise.value:.2f}")

# %%
plots.proxies(scores, trained, PICTURES / "proxies.png", spearman=correlation, metric="minus the loss")
print(f"picture: {PICTURES}/proxies.png")

# %% [markdown]
# A proxy is of use where it ranks better than the plain number of parameters, and costs less than a short training.
#
# **Next:** the other names in `jaxnas.proxies.PROXIES`; your own network and space, which every proxy takes as well;
# several at once, `proxies="synflow,nwot"`, whose fitness is the sum of ranks; `strategies.regularized_evolution` in
# place of random search.
