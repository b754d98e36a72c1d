# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # The first search
#
# Which cell should an image classifier repeat? This search samples cells of NAS-Bench-201, trains every one of them
# from scratch on handwritten digits (8 × 8 pixels, part of scikit-learn, no download), and lets regularized evolution
# choose what to try next.

# %%
import pathlib
import tempfile

import jaxnas
from jaxnas import evaluators, networks, plots, spaces, strategies, tasks

ROUNDS = 8  # of PROPOSALS networks each; turn it up
PROPOSALS = 4
STEPS = 60  # training steps of each network
PICTURES = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()  # every CPU core is a device, compiled programs are kept between runs

# %% [markdown]
# A search has five parts. The **space** says what may be built, the **network** turns a genome into a Flax module,
# the **task** has the data, the **strategy** proposes, the **evaluator** says how good a proposal is.

# %%
space = spaces.nasbench201()
task = tasks.digits()
network = networks.NasBench201(channels=8, cells=1, classes=task.outputs)
strategy = strategies.regularized_evolution(
    space, population_size=12, tournament_size=4, proposals=PROPOSALS, budget=STEPS
)
evaluator = evaluators.training(space, network, task, fitness="accuracy", test=True, batch_size=32)
print(f"{space.size:,} cells; {task.train.size} images to train on, {task.validation.size} to choose by")

# %% [markdown]
# All networks share one compiled program, although each has another architecture: compilation is paid for once, in
# the first round.

# %%
result = jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, seed=0, progress=False)
print(f"found {result.architecture}")
print(f"validation accuracy {result.fitness:.2%} after {result.evaluations} networks")
print(f"{result.wall_seconds:.0f} s, {result.compile_seconds:.0f} s of it compiling")

# %% [markdown]
# The history has every evaluation, as columns of arrays and as dictionaries (`pandas.DataFrame(result.history)`).

# %%
accuracy = result.history.column("accuracy")
for row in sorted(result.history, key=lambda row: -row["fitness"])[:3]:
    print(f"  {row['fitness']:.2%}  {row['architecture']}")
print(f"mean of the first {PROPOSALS}, which are random, {accuracy[:PROPOSALS].mean():.2%};", end=" ")
print(f"of the last {PROPOSALS} {accuracy[-PROPOSALS:].mean():.2%}")

# %%
plots.architecture(space, result.genome, PICTURES / "cell.png")
plots.anytime({"regularized evolution": 100 * accuracy}, PICTURES / "progress.png", ylabel="validation accuracy (%)")
print(f"pictures: {PICTURES}/cell.png, progress.png")

# %% [markdown]
# Validation accuracy chose the cell, so it is no fair estimate of it. The evaluator recorded the accuracy on test
# images as well (`test=True`), which the strategy never sees.

# %%
found = result.history.same(result.genome)
print(f"test accuracy of the cell found {result.history.column('test_accuracy')[found].max():.2%}")

# %% [markdown]
# **Next:** more `ROUNDS`; `evaluators.retrain` for a longer last training with several seeds;
# `strategies.random_search` in place of evolution, with the same number of networks, to see what evolution is worth;
# your own space (`own_space_and_network.py`) or data (`own_task.py`).
