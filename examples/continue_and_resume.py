# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Interrupted, resumed, continued
#
# What happens to my search when the machine is taken away? With a `workdir` it is saved as it goes, and the same call
# resumes it. This interrupts a search, resumes it, compares it bit by bit with one that nobody interrupted, and then
# gives it more rounds.

# %%
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

import jaxnas
from jaxnas import evaluators, networks, spaces, strategies, tasks

ROUNDS = 8
STEPS = 40  # training steps of each network
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %% [markdown]
# A small search: one hidden layer on the digits, its activation and learning rate. The network is two pure functions,
# and the learning rate a number that differs by genome and is traced, so that all candidates share one program.

# %%
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sine": jnp.sin, "square": jnp.square}
space = spaces.categorical({"activation": list(ACTIVATIONS), "learning_rate": RATES})
task = tasks.digits(augment=False)


def init_fn(key, decisions, x):
    first, second = jax.random.split(key)
    return {"in": jax.random.normal(first, (64, 32)) / 8, "out": jax.random.normal(second, (32, 10)) / 6}


def apply_fn(params, decisions, x, train):
    hidden = x.reshape(len(x), -1) @ params["in"]
    chosen = jax.lax.switch(decisions["activation"], list(ACTIVATIONS.values()), hidden)
    return chosen @ params["out"]


evaluator = evaluators.training(
    space,
    networks.Functions(init_fn, apply_fn),
    task,
    hyperparameters=lambda genome: {"learning_rate": jnp.array(RATES)[genome[1]]},
)
strategy = strategies.regularized_evolution(space, population_size=8, tournament_size=3, proposals=4, budget=STEPS)


def search(workdir=None, rounds=ROUNDS, **options):
    return jaxnas.search(space, strategy, evaluator, rounds=rounds, workdir=workdir, progress=False, **options)


# %% [markdown]
# Ctrl-C saves and leaves; so does SIGTERM, which preempted machines and batch systems send. After `kill -9` the
# search goes on from the last checkpoint (`checkpoint_seconds`). Here a callback stands for the user at the keyboard.


# %%
def interrupt(metrics):
    if metrics["round"] == 3:
        raise KeyboardInterrupt


try:
    search(FOLDER / "mine", on_round=interrupt)
except KeyboardInterrupt:
    print(f"interrupted; {len(jaxnas.read_history(FOLDER / 'mine', space))} evaluations are on disk")

resumed = search(FOLDER / "mine")
print(f"resumed: {resumed.evaluations} evaluations, {resumed.architecture}, fitness {resumed.fitness:.4f}")

# %%
uninterrupted = search()
fitness = [one.history.column("fitness") for one in (resumed, uninterrupted)]  # NaN where a training diverged
print(f"as if nothing had happened, to the bit: {np.array_equal(*fitness, equal_nan=True)}")

# %% [markdown]
# A finished search continues when it is given more rounds, or more `seconds`: wall-clock time over all of its parts,
# after which a search ends with the round that runs then.

# %%
longer = search(FOLDER / "mine", rounds=2 * ROUNDS)
print(f"continued: {longer.evaluations} evaluations, {longer.architecture}, fitness {longer.fitness:.4f}")
print("in the folder:", ", ".join(sorted(path.name for path in (FOLDER / "mine").iterdir())))

# %% [markdown]
# A `workdir` belongs to one search. What cannot be told from the names of parts (a tournament's size, say) belongs in
# `config=`, so that a changed search is refused instead of resumed.
#
# **Next:** kill this script with `kill -9` after you have given `FOLDER` a fixed name, and run it again;
# `seconds=3600`; `jaxnas.run(config, workdir)`, which does the same for a whole config with all that comes after the
# search.
