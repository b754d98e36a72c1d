# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Your own space and network
#
# How do I search my own architecture? Name its decisions and their options, and write one Flax module that hands them
# to `Choice`, `width` and `exists`. The same module then is every candidate of a population, compiled once, and the
# small stand-alone network that you deploy.

# %%
from functools import partial

import flax.linen as nn
import jax
import numpy as np

import jaxnas
from jaxnas import evaluators, networks, spaces, strategies, tasks
from jaxnas.networks import Choice, Identity, ReLUConvBN, exists, width

ROUNDS = 6
STEPS = 60  # training steps of each network
WIDTHS, DEPTHS = (4, 8, 16), (1, 2, 3)

jaxnas.configure()

# %%
space = spaces.categorical(
    {"kernel": [1, 3, 5], "width": WIDTHS, "depth": DEPTHS, "pool": ["mean", "max"]}, name="mine"
)
print(f"{space.size} architectures of the decisions {', '.join(space.decisions)}")

# %% [markdown]
# `Choice` applies the chosen option, `width` gives the largest number of channels and a mask of those that are there,
# and `exists` says whether layer `i` is there at that depth. A decision is a Python integer where one network is
# built alone, so only what was chosen exists, and a traced integer where a population shares a program.


# %%
class MyNetwork(nn.Module):
    classes: int = 10

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        features, mask = width(decisions["width"], WIDTHS)
        stems = {f"{k}x{k}": partial(ReLUConvBN, features, k) for k in (1, 3, 5)}
        x = Choice(stems, name="stem")(decisions["kernel"], x, train) * mask
        for i in range(max(DEPTHS)):
            layer = {"skip": Identity, "layer": partial(ReLUConvBN, features, 3)}
            x = Choice(layer, name=f"layer_{i}")(exists(decisions["depth"], DEPTHS, i), x, train) * mask
        pools = {"mean": partial(Pool, "mean"), "max": partial(Pool, "max")}
        x = Choice(pools, name="pool")(decisions["pool"], x, train)
        return nn.Dense(self.classes)(x)


class Pool(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x, train: bool):
        return x.mean((1, 2)) if self.kind == "mean" else x.max((1, 2))


# %%
task = tasks.digits()
network = MyNetwork(classes=task.outputs)
strategy = strategies.regularized_evolution(space, population_size=8, tournament_size=3, proposals=4, budget=STEPS)
evaluator = evaluators.training(space, network, task, fitness="accuracy", batch_size=32)
result = jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, seed=0, progress=False)
print(f"found {result.architecture}: validation accuracy {result.fitness:.2%}")
print(f"{result.evaluations} networks in {result.wall_seconds:.0f} s, {result.compile_seconds:.0f} s of it compiling")

# %% [markdown]
# What was found, alone: a Linen module without decisions, whose parameters are those of the chosen options only.

# %%
genome = np.asarray(result.genome)
alone = networks.stand_alone(network, space.unpack(genome))
variables = alone.init(jax.random.key(0), task.train.inputs[:1], False)
count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
print(f"alone it has {count:,} parameters in {', '.join(sorted(variables['params']))}")

# %% [markdown]
# Beside it, trained alike, the largest network of the space: did the search find something, or is bigger as good?

# %%
largest = np.array([2, 2, 2, 0])
final = evaluators.retrain(space, network, task, [genome, largest], steps=3 * STEPS, seeds=3, batch_size=32)
for i, (name, one) in enumerate({"found": genome, "largest": largest}.items()):
    accuracy, parameters = final["test_accuracy"][i], final["parameters"][i]
    print(f"{name}: {space.to_string(one)}")
    print(f"  test accuracy {accuracy.mean():.2%} ± {accuracy.std(ddof=1):.2%} over 3 seeds, {parameters:,} parameters")

# %% [markdown]
# **Next:** add a decision of your own; give `evaluators.supernet` the same network, so that all candidates share
# weights (`supernet_darts.py`); search a trade-off of accuracy and parameters with NSGA-II (`latency_aware.py`).
