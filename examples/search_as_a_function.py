# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # A search is a function
#
# Can I put an architecture search inside my own JAX program? A strategy is pure functions, `ask` and `tell`, so a
# whole search can be jitted, vmapped over seeds and called from other jitted code. Here: an own objective in one
# `jit`, then a thousand searches on a table as one program.

# %%
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxnas
from jaxnas import evaluators, spaces, strategies, tables
from jaxnas.types import scored

ROUNDS = 40
SEEDS = 1000  # searches side by side
EVALUATIONS = 150  # of each of them

jaxnas.configure()

# %% [markdown]
# ## ask and tell in your own loop
#
# The objective is any JAX function. This one is made up: the time of a kernel that is tiled and unrolled, with a
# penalty for tiles that do not fit a cache.

# %%
TILES, UNROLLS = (8, 16, 32, 64, 128, 256), (1, 2, 4, 8)
space = spaces.categorical({"rows": TILES, "columns": TILES, "unroll": UNROLLS, "prefetch": [False, True]})
strategy = strategies.regularized_evolution(space, population_size=16, tournament_size=5, proposals=4)


def milliseconds(genome):
    rows, columns = jnp.array(TILES)[genome[0]], jnp.array(TILES)[genome[1]]
    loads = 4096 / rows + 4096 / columns
    spilled = jnp.maximum(rows * columns / 4096 - 1, 0)
    return loads / (1 + 0.2 * genome[3]) + 200 * spilled + 20 * abs(jnp.array(UNROLLS)[genome[2]] - 4)


@jax.jit
def tune(key):
    def body(t, state):
        ask_key, tell_key = jax.random.split(jax.random.fold_in(key, t))
        proposal, state = strategy.ask(ask_key, state)
        fitness = -jax.vmap(milliseconds)(proposal.genome)
        return strategy.tell(tell_key, state, proposal, scored(fitness))

    return strategy.recommend(jax.lax.fori_loop(0, ROUNDS, body, strategy.init(key)))


found = jax.vmap(tune)(jax.random.split(jax.random.key(0), 5))  # five seeds at once
for genome in found:
    print(f"  {float(milliseconds(genome)):.1f} ms  {space.to_string(genome)}")
everything = jax.vmap(milliseconds)(jax.vmap(space.from_index)(jnp.arange(space.size)))
print(f"the best of all {space.size}: {float(everything.min()):.1f} ms, found with {4 * ROUNDS} evaluations a seed")

# %% [markdown]
# ## A thousand searches as one program
#
# `search_many` is such a loop around any evaluator that can be jitted, split over all devices. The table has the
# accuracy of NAS-Bench-201's cells on handwritten digits.

# %%
cells = spaces.nasbench201()
table = tables.load(tables.embedded("nasbench201_digits"))
accuracy = table.by_genome("validation_accuracy")[:, :, -1].mean(1)
evaluator = evaluators.table(cells, accuracy)
evolution = strategies.regularized_evolution(cells, population_size=30, tournament_size=8)
many = jax.jit(jaxnas.search_many(evolution, evaluator, EVALUATIONS, SEEDS, record=lambda r: r.feedback.fitness[0]))
compiled = many.lower(jax.random.key(0)).compile()
begin = time.perf_counter()
states, seen = jax.block_until_ready(compiled(jax.random.key(0)))
seconds = time.perf_counter() - begin
best = np.asarray(seen).max(1)
print(f"{SEEDS:,} searches of {EVALUATIONS} evaluations in {seconds:.2f} s")
print(f"best found: {np.median(best):.2%} in the median, {best.min():.2%} to {best.max():.2%}", end="; ")
print(f"the best cell has {accuracy.max():.2%}")

# %% [markdown]
# Search `i` has the key `fold_in(key, i)`, so it is the same whether it runs alone or beside others.

# %%
alone = jax.jit(jaxnas.search_scan(evolution, evaluator, EVALUATIONS, record=lambda r: r.feedback.fitness[0]))
_, seen_alone = alone(jax.random.fold_in(jax.random.key(0), 7))
print(f"search 7 alone is the same to the bit: {bool((seen_alone == seen[7]).all())}")

# %% [markdown]
# **Next:** your own objective in place of `milliseconds`; `jax.vmap` over what the objective depends on (a batch of
# cache sizes, say), which tunes for all of them at once; a strategy of your own (`own_strategy.py`).
