# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Your own strategy
#
# I have an idea for a search algorithm. Is it better than evolution and random search? A strategy is four pure
# functions over a state of arrays. This one is simulated annealing, run a few hundred times on a table of trained
# cells that comes with the library, as one program.

# %%
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxnas
from jaxnas import evaluators, spaces, strategies, tables
from jaxnas.strategies.best import unknown
from jaxnas.types import Strategy, propose, usable

SEEDS = 200  # searches of each strategy
EVALUATIONS = 200  # of each search
PICTURES = pathlib.Path(tempfile.mkdtemp(prefix="jaxnas-"))

jaxnas.configure()

# %% [markdown]
# `ask` proposes one neighbour of the current genome. `tell` moves there if it is better, or, with a probability that
# falls with the temperature, if it is worse. What the strategy needs from `ask` in `tell` is in the proposal; members
# that failed are told apart by `usable`.


# %%
def annealing(space, *, start: float = 0.01, end: float = 0.0005, rounds: int = EVALUATIONS):
    def init(key):
        best = unknown(space, key)
        return {"asked": jnp.int32(0), "genome": best.genome, "fitness": -jnp.inf, "best": best}

    def ask(key, state):
        child = space.mutate(key, state["genome"])
        return propose(child[None], state["asked"]), {**state, "asked": state["asked"] + 1}

    def tell(key, state, proposal, feedback):
        temperature = start * (end / start) ** (proposal.id[0] / rounds)
        gain = feedback.fitness[0] - state["fitness"]
        accepted = usable(proposal, feedback)[0] & (jax.random.uniform(key) < jnp.exp(gain / temperature))
        choose = lambda new, old: jnp.where(accepted, new, old)
        return {
            **state,
            "genome": choose(proposal.genome[0], state["genome"]),
            "fitness": choose(feedback.fitness[0], state["fitness"]),
            "best": state["best"].update(proposal, feedback),
        }

    return Strategy("annealing", init, ask, tell, recommend=lambda state: state["best"].genome)


# %% [markdown]
# The table has the validation accuracy of every cell of NAS-Bench-201 on handwritten digits, trained with three
# seeds.

# %%
space = spaces.nasbench201()
table = tables.load(tables.embedded("nasbench201_digits"))
accuracy = table.by_genome("validation_accuracy")[:, :, -1].mean(1)  # of the longest training, by genome
evaluator = evaluators.table(space, accuracy)
contenders = {
    "random search": strategies.random_search(space),
    "regularized evolution": strategies.regularized_evolution(space, population_size=20, tournament_size=5),
    "annealing": annealing(space),
}

# %%
curves = {}
for name, strategy in contenders.items():
    searches = jaxnas.search_many(strategy, evaluator, EVALUATIONS, SEEDS, record=lambda r: r.feedback.fitness[0])
    _, seen = jax.jit(searches)(jax.random.key(0))
    curves[name] = np.maximum.accumulate(np.asarray(seen), 1)  # [seeds, evaluations] best so far

print(f"best cell: {accuracy.max():.2%}. Mean of the best found by {SEEDS} searches, and its standard error:")
for name, best in curves.items():
    last = best[:, -1]
    print(f"  {name:22} {last.mean():.3%} ± {last.std(ddof=1) / np.sqrt(SEEDS):.3%}")

# %%
figure, axes = plt.subplots(figsize=(7, 4))
for name, best in curves.items():
    axes.plot(np.arange(1, EVALUATIONS + 1), 100 * (accuracy.max() - best.mean(0)), label=name)
axes.set(xlabel="evaluations", ylabel="regret (percentage points)", xscale="log")
axes.legend(frameon=False)
figure.savefig(PICTURES / "regret.png", dpi=120, bbox_inches="tight")
print(f"picture: {PICTURES}/regret.png")

# %% [markdown]
# The same strategy runs in every other search, with training in place of the table: `jaxnas.search(space,
# annealing(space), evaluator, rounds=…)`, where `propose(…, budget=STEPS)` says for how long.
#
# **Next:** other temperatures; `jaxnas.analysis.compare` for ranks and significance (`compare_strategies.py`).
