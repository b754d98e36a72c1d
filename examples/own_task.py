# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Your own data, loss and metric
#
# Can I search on something other than image classification? A task is arrays, a loss and a metric. This one is a
# regression: how fast does a noisy wave oscillate? The loss is robust (Huber), the metric is an error in hertz, of
# which less is better.

# %%
import numpy as np
import optax

import jaxnas
from jaxnas import evaluators, networks, spaces, strategies, tasks

EXAMPLES = 1500
LENGTH = 48  # samples of each wave, taken within one second
ROUNDS = 8
STEPS = 150  # training steps of each network

jaxnas.configure()

# %%
random = np.random.default_rng(0)
hertz = random.uniform(1, 8, EXAMPLES).astype(np.float32)
time = np.linspace(0, 1, LENGTH)
phase = random.uniform(0, 2 * np.pi, (EXAMPLES, 1))
waves = np.sin(2 * np.pi * hertz[:, None] * time + phase) + random.normal(0, 0.3, (EXAMPLES, LENGTH))
waves = waves[..., None].astype(np.float32)  # [examples, positions, channels]

# %% [markdown]
# Splits are pairs of inputs and targets. The loss and the metric get a batch of outputs and of targets, and give a
# number for each example.

# %%
ends = {"train": (0, 900), "validation": (900, 1200), "test": (1200, EXAMPLES)}
splits = {name: (waves[a:b], hertz[a:b]) for name, (a, b) in ends.items()}
task = tasks.arrays(
    splits,
    loss=lambda outputs, targets: optax.huber_loss(outputs[:, 0], targets),
    metric=tasks.mean_metric(
        lambda outputs, targets: abs(outputs[:, 0] - targets), name="error", unit="Hz", higher_is_better=False
    ),
    outputs=1,
    name="waves",
)

# %% [markdown]
# The space is a sequence of layers, each of which looks at one position, at its neighbours, at the mean of all
# positions, or does nothing. Any optimizer of Optax is a name.

# %%
operations = ("identity", "dense", "conv_3", "conv_5", "average")
space = spaces.layers(operations, depth=4)
network = networks.Layers(operations, depth=4, features=16, classes=task.outputs)
strategy = strategies.regularized_evolution(space, population_size=12, tournament_size=4, proposals=4, budget=STEPS)
evaluator = evaluators.training(
    space, network, task, fitness="error", optimizer="adamw", learning_rate=3e-3, warm_up=10, batch_size=64
)
result = jaxnas.search(space, strategy, evaluator, rounds=ROUNDS, seed=0, progress=False)
print(f"found {result.architecture}: validation error {-result.fitness:.3f} Hz")
print(f"{result.evaluations} networks in {result.wall_seconds:.0f} s")

# %% [markdown]
# Yardsticks without a network: the largest entry of the discrete spectrum, and the largest peak of the spectrum
# between its entries, which is what a textbook would do.

# %%
final = evaluators.retrain(
    space, network, task, [result.genome], steps=3 * STEPS, seeds=3, optimizer="adamw", learning_rate=3e-3, warm_up=10
)
errors = final["test_error"][0]


def peak(waves, points):
    spectrum = abs(np.fft.rfft(waves[:, :, 0], n=points))
    return np.fft.rfftfreq(points, d=time[1])[spectrum.argmax(1)]


inputs, targets = splits["test"]
print(f"test error of the network found {errors.mean():.3f} ± {errors.std(ddof=1):.3f} Hz over 3 seeds")
print(f"of the largest entry of the spectrum {abs(peak(inputs, LENGTH) - targets).mean():.3f} Hz", end=", ")
print(f"of the largest peak between entries {abs(peak(inputs, 16 * LENGTH) - targets).mean():.3f} Hz")
print(f"of always saying the mean {abs(hertz.mean() - targets).mean():.3f} Hz")

# %% [markdown]
# **Next:** your arrays in place of `waves`; a weight for each example or position as a third entry of a split (0 for
# padding); another metric (`tasks.f1`, `tasks.r2`, `tasks.perplexity`).
