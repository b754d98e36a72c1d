"""Shared weights: one network trains, and every architecture is a path through it or a mixture of its options."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from jaxnas import check
from jaxnas.evaluators.curvature import largest_eigenvalue
from jaxnas.evaluators.trainer import Recipe, trainer
from jaxnas.evaluators.training import fits
from jaxnas.networks.choice import Gated
from jaxnas.networks.extract import extract
from jaxnas.networks.norm import MOMENTUM
from jaxnas.spaces.skips import skip_connections
from jaxnas.tasks.task import Split, Task
from jaxnas.types import Evaluator, Feedback, Space, member_keys

ORDERS = ("first", "second", "finite_difference")


@struct.dataclass
class State:
    """`params` `[N]`, batch statistics and optimizer after `steps` weight steps; `looks` gradients were given."""

    params: chex.Array
    stats: Any
    optimizer: Any
    steps: chex.Array
    looks: chex.Array
    key: chex.Array


def supernet(
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    steps: int,
    order: str = "first",
    fitness: str = "loss",
    examples: int | None = None,
    recalibrate: int = 4,
    curvature: int = 0,
    **recipe,
) -> Evaluator:
    """One supernet under any strategy: relaxed (DARTS, GDAS, ProxylessNAS) or by sampled paths (ENAS, SPOS).

    An evaluation is, in this order:

    1. Each active member's `budget` weight steps on batches of `task.train`, one member after another: of the mixture
       where the proposal has `weights`, of those options whose `gates` are open where it has gates, else of the path
       `genome`. Parameters that a path or a closed gate leaves out (their gradient is exactly 0) are left as they were,
       without decay or momentum.
    2. With `weights`, the gradient of the loss on a batch of `task.validation` with respect to them. Fitness is minus
       that loss.
    3. Without, fitness of a path with a budget is minus its last training loss, which is free; of a path without, its
       validation score, batch statistics computed anew for it on training batches.

    The second-order gradient is of the validation loss after one more weight step, on the training batch that the next
    evaluation's weight step will have (Liu, Simonyan and Yang, 2019, equation 7, with the optimizer's own step: decay,
    momentum and all).

    Metrics: `train_loss`, `loss` (and `accuracy` of scored paths), and `skip_connections` `[P, cells]` of the genome
    where the space has any: of a relaxed proposal that is what would be derived from it.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      task: `train` for weights, `validation` for architectures; batches of both are augmented, as published.
      steps: weight steps of the whole run, along which the learning rate falls; it stays at its final value beyond.
      order: "first", "second" (exact), or "finite_difference" (of second order: equation 8, with steps of length .01).
      fitness: of a path: "loss" (negative) or "accuracy".
      examples: of `task.validation`, drawn anew for each score of a path; all by default.
      recalibrate: training batches for a path's batch statistics; 0 keeps those that training left.
      curvature: after how many gradients the largest eigenvalue of the validation loss's Hessian in the architecture
        logits is measured again (Zela et al., 2020); 0 for never. It is `Feedback.curvature`, and NaN in between.
      **recipe: fields of `Recipe`: batch_size, learning_rate, clip_norm, …

    Raises:
      ValueError: an unknown option, or a network that does not fit the space or the task.
    """
    check.integer("steps", steps, least=1)
    check.one_of("order", order, ORDERS)
    check.one_of("fitness", fitness, ("loss", "accuracy"))
    check.integer("recalibrate", recalibrate, least=0)
    check.integer("curvature", curvature, least=0)
    N = len(task.validation.x)
    if examples is not None:
        check.integer("examples", examples, least=1, most=N, because="examples for validation")
    recipe = Recipe.of(**recipe)
    parts = trainer(network, task, recipe)
    validating = trainer(network, task._replace(train=task.validation), recipe)
    fits(space, network, task, recipe)
    optimizer = recipe.optimizer()

    cells, count_skips = skip_connections(space)

    def fresh(key):
        return parts.init(key, space.unpack(space.sample(key)))

    shapes = jax.eval_shape(fresh, jax.random.key(0))
    tree = ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes["params"]))[1]

    def init(key):
        variables = fresh(key)
        params = ravel_pytree(variables.pop("params"))[0]
        count = jnp.int32(0)
        return State(params, variables, optimizer.init(params), count, count, jax.random.key_data(key))

    def decide(genome, weights, gates):
        if weights is None:
            return space.unpack(genome)
        mixed = space.unpack(weights)
        return mixed if gates is None else {n: Gated(mixed[n], g) for n, g in space.unpack(gates).items()}

    def batch(part, state, purpose: int, t) -> Split:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), purpose)
        order_key, augment_key = jax.random.split(key)
        return part.batch(augment_key, part.order(order_key, t // part.per_epoch), t)

    def loss(params, state, decisions, examples):
        """`(loss, batch statistics)` in training, which the batch's own statistics normalize."""
        progress = jnp.minimum(state.steps / steps, 1)
        drop_key = jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(state.key), 2), state.steps)
        return parts.loss({"params": tree(params), **state.stats}, decisions, examples, progress, drop_key)

    def stepped(state, gradient):
        """`(params, optimizer)` after a weight step along the gradient."""
        updates, after = optimizer.update(gradient, state.optimizer, state.params)
        return state.params - recipe.rate(jnp.minimum(state.steps / steps, 1)) * updates, after

    def weight_step(state, choice, whole: bool):
        examples = batch(parts, state, 0, state.steps)
        (value, stats), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params, state, decide(*choice), examples
        )
        params, after = stepped(state, gradient)
        if not whole:
            touched = gradient != 0
            keep = lambda new, old: jnp.where(touched, new, old) if jnp.shape(new) == touched.shape else new
            params, after = jax.tree.map(keep, (params, after), (state.params, state.optimizer))
        return state.replace(params=params, stats=stats, optimizer=after, steps=state.steps + 1), value

    def first(state, weights, gates, examples):
        of = lambda w: loss(state.params, state, decide(None, w, gates), examples)[0]
        return jax.value_and_grad(of)(weights)

    def second(state, weights, gates, examples):
        upcoming = batch(parts, state, 0, state.steps)

        def of(w):
            decisions = decide(None, w, gates)
            gradient = jax.grad(lambda p: loss(p, state, decisions, upcoming)[0])(state.params)
            return loss(stepped(state, gradient)[0], state, decisions, examples)[0]

        return jax.value_and_grad(of)(weights)

    def finite_difference(state, weights, gates, examples):
        upcoming = batch(parts, state, 0, state.steps)
        trained = lambda p, w: loss(p, state, decide(None, w, gates), upcoming)[0]
        validated = lambda p, w: loss(p, state, decide(None, w, gates), examples)[0]
        gradient = jax.grad(trained)(state.params, weights)
        params, pull = jax.vjp(lambda g: stepped(state, g)[0], gradient)
        value, (slope, direct) = jax.value_and_grad(validated, (0, 1))(params, weights)
        (along,) = pull(slope)
        size = 0.01 / jnp.maximum(jnp.linalg.norm(along), 1e-12)
        ends = jax.lax.map(
            lambda sign: jax.grad(trained, 1)(state.params + sign * size * along, weights), jnp.array([1.0, -1.0])
        )
        return value, direct + (ends[0] - ends[1]) / (2 * size)

    architecture_gradient = {"first": first, "second": second, "finite_difference": finite_difference}[order]

    def recalibrated(state, decisions):
        if not recalibrate or not state.stats:
            return state.stats
        zeros = jax.tree.map(jnp.zeros_like, state.stats)

        def body(total, i):
            stats = loss(state.params, state.replace(stats=zeros), decisions, batch(parts, state, 3, i))[1]
            return jax.tree.map(jnp.add, total, stats), None

        # From averages of zero, one batch leaves its own statistics times what a running average takes of it.
        total = jax.lax.scan(body, zeros, jnp.arange(recalibrate))[0]
        return jax.tree.map(lambda leaf: leaf / (recalibrate * (1 - MOMENTUM)), total)

    def scored_path(state, genome, key):
        decisions = space.unpack(genome)
        variables = {"params": tree(state.params), **recalibrated(state, decisions)}
        split = task.validation
        if examples is not None:
            split = jax.tree.map(lambda a: a[jax.random.permutation(key, N)[:examples]], split)
        return parts.score(variables, decisions, split)

    def bend(state, weights, examples):
        logits = jnp.where(space.mask, jnp.log(jnp.maximum(weights, 1e-30)), -1e9)
        of = lambda a: loss(state.params, state, decide(None, jax.nn.softmax(a, -1), None), examples)[0]
        return largest_eigenvalue(of, logits, jax.random.fold_in(jax.random.wrap_key_data(state.key), state.looks))

    def evaluate(key, state, proposal):
        relaxed = proposal.weights is not None
        choices = proposal.genome, proposal.weights, proposal.gates

        def learn(state, member):
            choice, active, budget = member
            whole = relaxed and proposal.gates is None
            body = lambda _, carry: weight_step(carry[0], choice, whole)
            return jax.lax.fori_loop(
                0, jnp.where(active, budget, 0), body, (state, jnp.full((), jnp.nan, state.params.dtype))
            )

        state, train_loss = jax.lax.scan(learn, state, (choices, proposal.active, proposal.budget))
        metrics = {"train_loss": train_loss}
        if cells:
            metrics["skip_connections"] = jax.vmap(count_skips)(proposal.genome)[:, :, 0]
        nothing = jnp.full(proposal.id.shape, jnp.nan)
        bent = nothing
        if relaxed:
            examples = batch(validating, state, 1, state.looks)

            def look(member):
                (_, weights, gates), active = member
                blank = lambda *_: (jnp.full((), jnp.nan, state.params.dtype), jnp.zeros_like(weights))
                return jax.lax.cond(active, architecture_gradient, blank, state, weights, gates, examples)

            metrics["loss"], gradient = jax.lax.map(look, (choices, proposal.active))
            value = -metrics["loss"]
            if curvature and proposal.gates is None:
                due = proposal.active & (state.looks % curvature == 0)
                blank = lambda *_: jnp.full((), jnp.nan, state.params.dtype)
                at = lambda m: jax.lax.cond(m[1], bend, blank, state, m[0], examples)
                bent = jax.lax.map(at, (proposal.weights, due))
            state = state.replace(looks=state.looks + proposal.active.any())
        else:

            def look(member):
                genome, key, due = member
                blank = lambda *_: (
                    jnp.full((), jnp.nan, state.params.dtype),
                    jnp.full((), jnp.nan, state.params.dtype),
                )
                return jax.lax.cond(due, scored_path, blank, state, genome, key)

            due = proposal.active & (proposal.budget == 0)
            found = jax.lax.map(look, (proposal.genome, member_keys(key, proposal), due))
            metrics["loss"], metrics["accuracy"] = found
            value = jnp.where(due, -metrics["loss"] if fitness == "loss" else metrics["accuracy"], -train_loss)
            gradient = None
        feedback = Feedback(
            fitness=value,
            cost=jnp.zeros((*value.shape, 0)),
            valid=jnp.isfinite(value),
            gradient=gradient,
            curvature=bent if curvature else None,
            metrics=metrics,
        )
        return feedback, state

    def weights_loss(state, weights, examples):
        return loss(state.params, state, decide(None, weights, None), examples)[0]

    def inherit(state, genome):
        genome = np.asarray(genome)
        alone = jax.eval_shape(lambda key: parts.init(key, space.unpack(genome)), jax.random.key(0))
        return extract({"params": tree(state.params), **state.stats}, alone)

    return Evaluator(
        "supernet",
        init=init,
        evaluate=evaluate,
        gives=frozenset({"fitness", "gradient", "shared"} | ({"curvature"} if curvature else set())),
        loss=weights_loss,
        inherit=inherit,
        report=lambda: {"parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))},
    )
