# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Which strategy is best?
#
# One search with one seed says little about a strategy. On a table of measurements, a search takes microseconds, so
# that every strategy can be run with hundreds of seeds. This compares four on the table that comes with the library,
# and then on your own measurements in a CSV file.

# %%
import csv
import itertools
import math
import pathlib
import random
import tempfile

import jaxnas
from jaxnas import analysis, tables

SEEDS = 200  # searches of each strategy
EVALUATIONS = 100  # of each search
STRATEGIES = "random_search,regularized_evolution,local_search,mcts"
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()
SETTINGS = {"strategies": STRATEGIES, "seeds": SEEDS, "evaluations": EVALUATIONS}
SETTINGS |= {"population_size": 20, "tournament_size": 5}  # of evolution

# %% [markdown]
# ## The embedded table: NAS-Bench-201's cells on handwritten digits
#
# Strategies are names, with arguments of their own where wanted: `local_search,mcts(seeds=50)`. Printed is what each
# reaches, and which strategies are significantly above others by a bootstrap interval and a corrected rank test.

# %%
found = analysis.compare(
    FOLDER / "digits",
    table="nasbench201_digits",
    metric="validation_loss",
    **SETTINGS,
)
print(f"pictures and figures: {FOLDER}/digits/compare.png, compare.json")

# %% [markdown]
# `compare.json`, which the function returns as well, has mean and standard error at several numbers of evaluations.

# %%
for name, figures in found["strategies"].items():
    curve = figures["curve"]
    print(f"  {name:21}", ", ".join(f"{curve[n]['mean']:.4f} after {n}" for n in ("10", "30", "100") if n in curve))

# %% [markdown]
# ## Your own measurements
#
# A CSV with a column for each decision and for each metric is enough; not all combinations need be there. This one is
# made up: accuracy by depth, width, kernel, activation and dropout.

# %%
draw = random.Random(0)
with open(FOLDER / "mine.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["depth", "width", "kernel", "activation", "dropout", "accuracy"])
    options = ([2, 4, 6, 8, 12], [16, 32, 64, 128], [3, 5, 7], ["relu", "gelu", "tanh"], [0.0, 0.1, 0.3])
    for depth, width, kernel, activation, dropout in itertools.product(*options):
        size = math.log2(depth * width * kernel)
        accuracy = 94 - 0.4 * (size - 9.5) ** 2 - 8 * abs(dropout - 0.06 * max(size - 8, 0))
        accuracy += {"relu": 0.0, "gelu": 0.4, "tanh": -1.5 - 0.2 * depth}[activation] + draw.gauss(0, 0.15)
        if draw.random() < 0.9:  # a tenth was never measured
            writer.writerow([depth, width, kernel, activation, dropout, f"{accuracy:.2f}"])

table = tables.csv_file.read(FOLDER / "mine.csv", metrics=["accuracy"])
tables.save(table, FOLDER / "mine.npz")
analysis.compare(
    FOLDER / "mine",
    table=str(FOLDER / "mine.npz"),
    metric="accuracy",
    **SETTINGS,
)
print(f"picture: {FOLDER}/mine/compare.png")

# %% [markdown]
# **Next:** your own CSV (a column `seed` for repeated lines, `budget` for learning curves); `noise="random"`, which
# draws one of the trainings at each look instead of their mean; `costs=` for fronts of two objectives.
