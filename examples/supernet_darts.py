# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Shared weights: DARTS
#
# Can one training replace thousands? A supernet holds every operation, DARTS trains a weighted mixture of them and
# moves the weights by gradient descent. This does it on NAS-Bench-201's cells, takes the network found out of the
# supernet with its weights, and asks the table of trained cells how good the cell really is.

# %%
import pathlib
import tempfile

import jax
import numpy as np

import jaxnas
from jaxnas import evaluators, networks, plots, spaces, strategies, tables, tasks

ROUNDS = 300  # one step of the weights and one of the architecture each
FINE_TUNING = 30  # steps of the network found, alone
PICTURES = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %%
space = spaces.nasbench201()
task = tasks.digits()
network = networks.NasBench201(channels=8, cells=1, classes=task.outputs)
strategy = strategies.darts(space, learning_rate=0.02)
evaluator = evaluators.supernet(space, network, task, steps=ROUNDS, batch_size=32, learning_rate=0.05)
result = jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, seed=0, progress=False)
print(f"found {result.architecture}")
print(f"{ROUNDS} steps in {result.wall_seconds:.0f} s, {result.compile_seconds:.0f} s of it compiling")

# %% [markdown]
# The strategy's state has the architecture's logits. Their softmax is how much each operation counts in the mixture.

# %%
weights = jax.nn.softmax(result.state.strategy.logits, -1)
operations = space.options[0]
print(f"{'edge':6}" + "".join(f"{name:>14}" for name in operations))
for edge, row in zip(space.decisions, np.asarray(weights), strict=True):
    print(f"{edge:6}" + "".join(f"{value:14.2f}" for value in row))

# %%
plots.architecture(space, result.genome, PICTURES / "cell.png")
plots.shared_weights(result.history, PICTURES / "search.png", cells=("cell",))
print(f"pictures: {PICTURES}/cell.png, search.png")

# %% [markdown]
# `inherit` gives the variables that the found network has in the supernet. `stand_alone` is that network as a module
# without decisions. Its weights were trained within a mixture, whose activations and batch statistics are others: as
# they are, they are of no use.

# %%
genome = np.asarray(result.genome)
variables = evaluator.inherit(result.state.evaluator, genome)
alone = networks.stand_alone(network, space.unpack(genome))
predict = jax.jit(lambda variables, images: alone.apply(variables, images, False).argmax(-1))
accuracy = (predict(variables, task.test.inputs) == task.test.targets).mean()
print(f"test accuracy with inherited weights {accuracy:.2%}")

# %% [markdown]
# As a start for a training of its own they may be worth something. `plan="bucket"` compiles this one network alone.

# %%
for name, start in {"inherited weights": variables, "random weights": None}.items():
    options = {"initialize": start, "plan": "bucket", "batch_size": 32, "learning_rate": 0.05}
    final = evaluators.retrain(space, network, task, [genome], steps=FINE_TUNING, seeds=3, **options)["test_accuracy"]
    print(f"  {FINE_TUNING} steps from {name}: {final.mean():.2%} ± {final.std(ddof=1):.2%} over 3 seeds")

# %% [markdown]
# The table has every cell trained alone, in the same network. DARTS is known to end in skip connections in many
# spaces (Zela et al., 2020): `search.png` counts those of the cell that would be derived at each step.

# %%
table = tables.load(tables.embedded("nasbench201_digits"))
trained = table.by_genome("test_accuracy")[:, :, -1].mean(1)
mine = trained[int(space.index(result.genome))]
print(
    f"trained alone the cell reaches {mine:.2%}, more than {(trained < mine).mean():.0%} of all {space.size:,} cells;"
)
print(f"their median is {np.median(trained):.2%}, the best {trained.max():.2%}")

# %% [markdown]
# **Next:** more `ROUNDS`, with an eye on the skip connections; `strategies.early_stopping`; `strategies.gdas`, which
# samples one operation for each edge; uniform paths and then evolution (`configs/spos.py`); `order="second"` of
# `evaluators.supernet`; its `initialize=` and `frozen=`, to begin with pretrained weights.
