"""One network trains, and every architecture is a path through it or a mixture of its options."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.evaluators.architecture_gradient import ORDERS
from jaxnas.evaluators.curvature import largest_eigenvalue
from jaxnas.evaluators.data_parallel import AXIS, data_parallel
from jaxnas.evaluators.shared_weights import shared_weights
from jaxnas.execution import execution
from jaxnas.networks._extract import extract
from jaxnas.networks.norm import MOMENTUM
from jaxnas.population import ACTIVE
from jaxnas.spaces.skips import skip_connections
from jaxnas.tasks.task import Task
from jaxnas.training import Distillation, Parent, Recipe, fits, loss_dtype
from jaxnas.training.parent import start
from jaxnas.training.start import Initialize
from jaxnas.training.trainer import STEPS
from jaxnas.types import Evaluator, Feedback, Space, member_keys


def supernet(
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    steps: int,
    order: str = "first",
    fitness: str = "loss",
    examples: int | None = None,
    redraw: bool = True,
    recalibrate: int = 4,
    curvature: int = 0,
    together: bool = False,
    in_place: float = 0.0,
    initialize: Initialize = None,
    parent: Parent | None = None,
    distillation: Distillation | Mapping[str, Any] | None = None,
    devices: Sequence[Any] | None = None,
    sync_batch_norm: bool = False,
    **recipe,
) -> Evaluator:
    """One supernet under any strategy: relaxed (DARTS, GDAS, ProxylessNAS) or by sampled paths (ENAS, SPOS).

    An evaluation is, in this order:

    1. Each active member's `budget` weight steps on batches of `task.train`, one member after another: of the mixture
       where the proposal has `weights`, of those options whose `gates` are open where it has gates, else of the path
       `genome`. Parameters that a path or a closed gate leaves out (their gradient is exactly 0) are left as they were,
       without decay or momentum. With `together`, each step is one of all active members, on the same batch along their
       mean gradient: with the strategy `sandwich`, the sandwich rule (Yu and Huang, 2019).
    2. With `weights`, the gradient of the loss on a batch of `task.validation` with respect to them. Fitness is minus
       that loss.
    3. Without, fitness of a path with a budget is minus its last training loss, which is free; of a path without, its
       validation score, batch statistics recalibrated for it on training batches.

    The second-order gradient is of the validation loss after one more weight step, on the training batch that the next
    evaluation's weight step will have (Liu, Simonyan and Yang, 2019, equation 7, with the optimizer's own step: decay,
    momentum and all).

    Metrics: `train_loss`, `loss` (and the task's metric, `accuracy`, of scored paths), and `skip_connections`
    `[P, cells]` of the genome where the space has any: of a relaxed proposal that is what would be derived from it.

    Args:
      space: whose `unpack` hands the network its decisions.
      network: called with `(decisions, x, train)`.
      task: `train` for weights, `validation` for architectures; batches of both are augmented, as published.
      steps: weight steps of the whole run, along which the learning rate falls; it stays at its final value beyond.
      order: "first", "second" (exact), or "finite_difference" (of second order: equation 8, with steps of length .01).
      fitness: of a path: "loss" (negative) or the name of the task's metric ("accuracy"; negative where lower is
        better).
      examples: of `task.validation` for the score of a path; all by default.
      redraw: whether they are others for each score; else the same for all, so that scores differ by their paths alone.
      recalibrate: training batches for a path's batch statistics; 0 keeps those that training left.
      curvature: after how many gradients the largest eigenvalue of the validation loss's Hessian in the architecture
        logits is measured again (Zela et al., 2020); 0 for never. It is `Feedback.curvature`, and NaN in between.
      together: whether a weight step is one of all paths of a proposal, and the first's budget says how many; else each
        path takes its own.
      in_place: share of the loss that all paths but the first learn from the logits of the first, as it is at that
        step, 1 for nothing else: in-place distillation (Yu and Huang, 2019; Yu et al., 2020), which needs `together`.
      initialize: variables to begin with, `{"params": …}` by path, or a function `(key, decisions, variables) ->
        variables`; by default the parent's, or else the network's own.
      parent: a trained network, of which that of the search is made.
      distillation: a teacher to learn from besides, see `jaxnas.training.Distillation`; its fields without a teacher
        where the parent is it; none by default.
      devices: to share each batch, of all processes: what they tell each other are gradients, one all-reduce for each,
        and the scores of paths, each of which is scored by one device. One device by default.
      sync_batch_norm: whether a batch is normalized by its statistics over all devices, so that their number makes no
        difference but rounding; otherwise each share is by its own, and running averages are of all.
      **recipe: fields of `Recipe`: batch_size, learning_rate, clip_norm, …

    Raises:
      InputError: an unknown option, a network that does not fit the space or the task, or a batch that the devices
        cannot share evenly.
    """
    check.integer("steps", steps, least=1)
    check.one_of("order", order, ORDERS)
    check.one_of("fitness", fitness, ("loss", task.metric.name))
    check.integer("recalibrate", recalibrate, least=0)
    check.integer("curvature", curvature, least=0)
    if examples is not None:
        N = task.validation.size
        check.integer("examples", examples, least=1, most=N, because="examples for validation")
    recipe = Recipe.of(**recipe)
    check.real("in_place", in_place, least=0, most=1)
    initialize, distillation = start(parent, initialize, distillation)
    if in_place and not together:
        raise InputError("in_place: paths learn from the first of those that step together; give together=True too.")
    if in_place and distillation is not None:
        raise InputError("in_place: the teacher is the first path, or that of distillation; give one of them.")
    for field, off in {"accumulate": 1, "ema": 0}.items():
        if getattr(recipe, field) != off:
            raise InputError(f"{field}: weights that are shared are trained without it, expected {off}.")
    fits(space, network, task, recipe, initialize)
    parallel = data_parallel(devices)
    for split, held in {"train": task.train, "validation": task.validation}.items():
        B, n = min(recipe.batch_size, held.size), parallel.devices
        if B % n:
            raise InputError(
                f"batch_size: {n} devices cannot share {B} examples of {split} evenly; {B // n * n or n} would do."
            )
    shared = shared_weights(space, network, task, recipe, steps, parallel, initialize, distillation)
    axis = AXIS if sync_batch_norm and parallel.devices > 1 else None
    init_alone, score = _alone(space, task, shared, examples, redraw, recalibrate)
    cells, count_skips = skip_connections(space)

    def train(state, proposal):
        """The state after all members' weight steps, and each one's last training loss."""
        whole = proposal.weights is not None and proposal.gates is None
        if together:
            if proposal.weights is not None:
                raise InputError("together: paths step together, which a mixture of options is not; leave it out.")
            body = lambda _, carry: shared.joint_step(carry[0], proposal.genome, proposal.active, in_place)
            losses = jnp.full(proposal.id.shape, _nan(state))
            count = jnp.where(proposal.active.any(), proposal.budget[jnp.argmax(proposal.active)], 0)
            with jax.named_scope(STEPS):
                state, losses = jax.lax.fori_loop(0, count, body, (state, losses))
            return state, jnp.where(proposal.active, losses, _nan(state))

        def member(state, at):
            choice, count = at
            body = lambda _, carry: shared.train_step(carry[0], shared.decisions(*choice), whole)
            with jax.named_scope(STEPS):
                return jax.lax.fori_loop(0, count, body, (state, _nan(state)))

        choices = proposal.genome, proposal.weights, proposal.gates
        return jax.lax.scan(member, state, (choices, jnp.where(proposal.active, proposal.budget, 0)))

    def differentiate(state, proposal):
        """Loss, gradient and curvature of each mixture on one validation batch."""
        batch = shared.validation_batch(state)

        def gradient(at):
            weights, gates, active = at
            blank = lambda *_: (_nan(state), jnp.zeros_like(weights))
            one = lambda w, g: ORDERS[order](shared, state, w, g, batch)
            with jax.named_scope(ACTIVE):
                return jax.lax.cond(active, one, blank, weights, gates)

        def bend(at):
            weights, due = at
            key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.num_arch_grads)
            logits = jnp.where(space.mask, jnp.log(jnp.maximum(weights, 1e-30)), -1e9)
            of = lambda a: loss(state, jax.nn.softmax(a, -1), batch)
            bent = lambda a: largest_eigenvalue(of, a, key, mean=parallel.mean)
            with jax.named_scope(ACTIVE):
                return jax.lax.cond(due, bent, lambda a: _nan(state), logits)

        found = jax.lax.map(gradient, (proposal.weights, proposal.gates, proposal.active))
        if not curvature or proposal.gates is not None:
            return *found, jnp.full(proposal.id.shape, _nan(state))
        due = proposal.active & (state.num_arch_grads % curvature == 0)
        return *found, jax.lax.map(bend, (proposal.weights, due))

    def scored(key, state, proposal):
        """Validation loss and metric of each path that has no budget."""

        def member(at):
            genome, key, due = at
            with jax.named_scope(ACTIVE):
                return jax.lax.cond(due, score, lambda *_: (_nan(state), _nan(state)), state, genome, key)

        due = proposal.active & (proposal.budget == 0)
        return parallel.each(member, (proposal.genome, member_keys(key, proposal), due))

    def evaluate(key, state, proposal):
        with execution(batch_axis=axis):
            state, train_loss = train(state, proposal)
        metrics, gradient, bent = {"train_loss": train_loss}, None, jnp.full(proposal.id.shape, _nan(state))
        if proposal.weights is not None:
            with execution(batch_axis=axis):
                metrics["loss"], gradient, bent = differentiate(state, proposal)
            value = -metrics["loss"]
            state = state.replace(num_arch_grads=state.num_arch_grads + proposal.active.any())
        else:
            metrics["loss"], metrics[task.metric.name] = scored(key, state, proposal)
            value = task.metric.fitness(metrics, fitness)
            value = jnp.where(proposal.budget > 0, -train_loss, value)
        if cells:
            metrics["skip_connections"] = jax.vmap(count_skips)(proposal.genome)[:, :, 0]
        feedback = Feedback(
            fitness=value,
            cost=jnp.zeros((*value.shape, 0), jnp.float32),
            valid=jnp.isfinite(value),
            gradient=gradient,
            curvature=bent if curvature else None,
            metrics=metrics,
        )
        return feedback, state

    def loss(state, weights, batch):
        return shared.loss(state.params, state, shared.decisions(None, weights, None), batch)[0]

    def inherit(state, genome):
        return extract(shared.variables(state), init_alone(np.asarray(genome)))

    begun = jax.eval_shape(shared.init, jax.random.key(0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves((begun.params, begun.frozen)))
    return Evaluator(
        "supernet",
        init=shared.init,
        evaluate=parallel.run(evaluate),
        gives=frozenset({"fitness", "gradient", "shared"} | ({"curvature"} if curvature else set())),
        loss=loss,
        inherit=inherit,
        variables=shared.variables,
        report=lambda: {"parameters": parameters, "devices": parallel.devices},
    )


def _nan(state):
    return jnp.full((), jnp.nan, loss_dtype(state.params))


def _alone(space, task, shared, examples, redraw, recalibrate):
    """Paths by themselves: `(genome -> shapes of its network, (state, genome, key) -> (loss, metric))`."""

    def shapes(genome):
        return jax.eval_shape(lambda key: shared.trainer.init(key, space.unpack(genome)), jax.random.key(0))

    def statistics(state, decisions):
        if not recalibrate or not state.stats:
            return state.stats
        zeros = jax.tree.map(jnp.zeros_like, state.stats)
        blank = state.replace(stats=zeros)

        def body(total, i):
            stats = shared.loss(state.params, blank, decisions, shared.recalibration_batch(state, i))[1]
            return jax.tree.map(jnp.add, total, stats), None

        # From averages of zero, one batch leaves its own statistics times what a running average takes of it.
        total = jax.lax.scan(body, zeros, jnp.arange(recalibrate, dtype=jnp.int32))[0]
        return jax.tree.map(lambda leaf: leaf / (recalibrate * (1 - MOMENTUM)), total)

    def score(state, genome, key):
        decisions = space.unpack(genome)
        variables = shared.variables(state.replace(stats=statistics(state, decisions)))
        split = task.validation
        if examples is not None:
            drawn = key if redraw else jax.random.key(0)
            chosen = jax.random.permutation(drawn, jnp.arange(split.size, dtype=jnp.int32))[:examples]
            split = split.take(chosen)
        return shared.trainer.score(variables, decisions, split)

    return shapes, score
