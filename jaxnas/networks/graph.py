"""How a growing graph computes: one program for every topology, and a Flax module for one of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxnas import check
from jaxnas.batching import vmap_last_axis
from jaxnas.check import InputError
from jaxnas.spaces import Graph
from jaxnas.types import Space, in_32_bits

ACTIVATIONS: dict[str, Callable] = {
    "sigmoid": lambda x: nn.sigmoid(4.9 * x),  # the paper's, section 4.1
    "tanh": nn.tanh,
    "relu": nn.relu,
    "identity": lambda x: x,
    "sin": jnp.sin,
    "gaussian": lambda x: jnp.exp(-jnp.square(x)),
}
LARGE = 16
"""Examples from which on a matrix product is worth it, where the whole population sees the same."""


@struct.dataclass
class Wired:
    """A graph as dense weights, rows in the order in which nodes are computed: hidden ones by position, then outputs.

    Of I inputs, H places for hidden nodes, R = H + outputs.

    Attributes:
      inward: `[I, R]` weights from the inputs.
      forward: `[R, H]` weights from hidden nodes that were computed before.
      backward: `[R, R]` weights from what was computed one step before; None where the graph is not recurrent.
      hidden: int32, hidden nodes that exist.
    """

    inward: chex.Array
    forward: chex.Array
    backward: chex.Array | None
    hidden: chex.Array


class GraphNetwork:
    """Applies graphs. Pure functions, jittable and vmappable over genomes, inputs or both; differentiable in weights.

    Attributes:
      activation: of hidden nodes, a name of `ACTIVATIONS`.
      output: of outputs; by default as `activation`.
    """

    def __init__(self, activation: str = "sigmoid", output: str | None = None):
        """Raises `InputError` for an unknown activation."""
        output = activation if output is None else output
        check.one_of("activation", activation, ACTIVATIONS)
        check.one_of("output", output, ACTIVATIONS)
        self.activation, self.output = activation, output
        self._run = _differentiable(partial(_computed, ACTIVATIONS[activation], ACTIVATIONS[output]))

    def prepare(self, genome: Graph) -> Wired:
        """The weights as `run` takes them, to be made once for many calls."""
        I, O, H = genome.inputs, genome.outputs, genome.node.shape[0]  # noqa: E741
        R, first = H + O, I * O
        exists = genome.node != 0
        place = jnp.where(exists, genome.position, jnp.iinfo(jnp.int32).max)
        earlier = (place[None] < place[:, None]) | ((place[None] == place[:, None]) & np.tri(H, k=-1, dtype=bool))
        rank = earlier.sum(1, dtype=jnp.int32)
        row = jnp.concatenate([np.zeros(I, np.int32), H + np.arange(O, dtype=np.int32), rank])
        weight = jnp.where(genome.enabled & (genome.innovation != 0), genome.weight, 0.0)
        source, target = genome.source[first:], row[genome.target[first:]]
        late, backward = np.zeros(source.shape, bool), None
        if genome.recurrent:
            positions = genome.positions
            late = positions[source] >= positions[genome.target[first:]]
            backward = (
                jnp.zeros((R, R), jnp.float32)
                .at[target, jnp.where(late, row[source], R)]
                .add(weight[first:], mode="drop")
            )
        column = jnp.concatenate(
            [np.arange(I, dtype=np.int32), np.full(O, I + H, np.int32), I + rank]
        )  # of outputs, past the end
        both = jnp.zeros((R, I + H), jnp.float32)
        both = both.at[target, jnp.where(late, I + H, column[source])].add(weight[first:], mode="drop")
        both = both.at[H:, :I].set(weight[:first].reshape(I, O).T)
        inward, forward = both[:, :I].T, both[:, I:]
        return Wired(inward, forward, backward, genome.hidden)

    def run(self, wired: Wired, inputs: chex.Array, state: chex.Array | None = None):
        """As `apply`, of what `prepare` made."""
        I, R = wired.inward.shape  # noqa: E741
        inputs = jnp.asarray(inputs, jnp.float32)
        if inputs.ndim not in (1, 2) or inputs.shape[-1] != I - 1:
            raise InputError(f"graph: expected inputs [{I - 1}] or [examples, {I - 1}], got {list(inputs.shape)}.")
        if wired.backward is None and state is not None:
            raise InputError("graph: a state is for recurrent graphs only.")
        one = inputs.ndim == 1
        x = jnp.atleast_2d(inputs)
        x = jnp.concatenate([x, jnp.ones((x.shape[0], 1), x.dtype)], 1)
        if wired.backward is None:
            y = self._run(wired, x, None)
            return y[0] if one else y
        before = jnp.zeros((x.shape[0], R), x.dtype) if state is None else jnp.atleast_2d(state)
        values = self._run(wired, x, before)
        y = values[:, wired.forward.shape[1] :]
        return (y[0], values[0]) if one else (y, values)

    def apply(self, genome: Graph, inputs: chex.Array, state: chex.Array | None = None):
        """The outputs `[outputs]`, or `[examples, outputs]`, of `inputs` `[inputs]` or `[examples, inputs]`.

        Where the graph is recurrent, `(outputs, state)`: connections that go backward carry what nodes had at the step
        before, `state`, zeros where it is None.

        Raises:
          InputError: inputs of another size.
        """
        return self.run(self.prepare(genome), inputs, state)

    def static(self, genome: Graph) -> tuple[nn.Module, dict[str, Any]]:
        """(host) The stand-alone Flax module of one graph, with enabled connections only, and its variables.

        It is called as `module.apply(variables, inputs)`, and with a state where the graph is recurrent, as `apply` is;
        its state is that of the nodes that exist.
        """
        nodes = _nodes(genome)
        module = StaticGraph(
            nodes=tuple((name, tuple(link[1:] for link in links)) for name, links in nodes),
            outputs=genome.outputs,
            recurrent=genome.recurrent,
            activation=self.activation,
            output=self.output,
        )
        weight = np.asarray(genome.weight)
        kernels = {name: {"kernel": jnp.asarray(weight[[e for e, *_ in links]])} for name, links in nodes if links}
        return module, {"params": kernels}

    def with_parameters(self, genome: Graph, variables: dict[str, Any]) -> Graph:
        """(host) The genome with the weights that the variables of its stand-alone module have."""
        weight = np.array(genome.weight)
        for name, links in _nodes(genome):
            if links:
                weight[[e for e, *_ in links]] = np.asarray(variables["params"][name]["kernel"])
        return genome.replace(weight=weight)


class StaticGraph(nn.Module):
    """One graph. `nodes` are in the order in which they are computed, each with its `(source, late)`.

    A source is `x` and the number of an input (after the last of which comes the bias), or the name of a node; a late
    one is taken from the step before.
    """

    nodes: tuple
    outputs: int
    recurrent: bool
    activation: str
    output: str

    @nn.compact
    def __call__(self, inputs, state=None):
        inputs = jnp.asarray(inputs, jnp.float32)
        x = jnp.concatenate([inputs, jnp.ones((*inputs.shape[:-1], 1), jnp.float32)], -1)
        values = {f"x{i}": x[..., i] for i in range(x.shape[-1])}
        names = [name for name, _ in self.nodes]
        if state is None:
            state = jnp.zeros((*inputs.shape[:-1], len(names)), jnp.float32)
        before = {name: state[..., i] for i, name in enumerate(names)}
        for i, (name, links) in enumerate(self.nodes):
            terms = [before[source] if late else values[source] for source, late in links]
            total = jnp.zeros(inputs.shape[:-1], jnp.float32)
            if terms:
                total = _Weighted(name=name)(jnp.stack(terms, -1))
            is_output = i >= len(names) - self.outputs
            values[name] = ACTIVATIONS[self.output if is_output else self.activation](total)
        made = jnp.stack([values[name] for name in names], -1)
        y = made[..., -self.outputs :]
        return (y, made) if self.recurrent else y


class _Weighted(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x @ self.param("kernel", nn.initializers.normal(1.0), x.shape[-1:])


def gradient_descent(loss: Callable, *, network: GraphNetwork, steps: int, learning_rate: float) -> Callable:
    """`(key, genome) -> genome` whose weights have descended on `loss(apply, genome, key)`, by Adam.

    Inherited (Lamarckian) where it is part of `mutate`, see `inherited`; not where fitness alone is of its result.

    Raises:
      InputError: steps or a learning rate out of range.
    """
    check.integer("steps", steps, least=1)
    check.real("learning_rate", learning_rate, least=0)
    optimizer = optax.adam(learning_rate)
    update = in_32_bits(optimizer.update)

    def tune(key, genome):
        def down(carry, i):
            weight, state = carry
            one = lambda w: loss(network.apply, genome.replace(weight=w), jax.random.fold_in(key, i))
            updates, state = update(jax.grad(one)(weight), state, weight)
            return (optax.apply_updates(weight, updates), state), None

        carry, _ = jax.lax.scan(down, (genome.weight, optimizer.init(genome.weight)), jnp.arange(steps))
        return genome.replace(weight=jnp.where(jnp.isfinite(carry[0]), carry[0], genome.weight))

    return tune


def inherited(space: Space, tune: Callable) -> Space:
    """The space whose genomes are tuned at birth, by `(key, genome) -> genome`, and so hand on what they learned."""

    def sample(key):
        return tune(jax.random.fold_in(key, 1), space.sample(key))

    def mutate(key, genome):
        return tune(jax.random.fold_in(key, 4), space.mutate(key, genome))

    return space._replace(sample=sample, mutate=mutate)


def _nodes(genome: Graph) -> list[tuple[str, list[tuple[int, str, bool]]]]:
    """(host) Nodes in order of computation, each with its enabled connections: `(number, source, late)`."""
    host = jax.tree.map(np.asarray, genome)
    I, O = host.inputs, host.outputs  # noqa: E741
    order = np.argsort(host.position[: host.hidden], kind="stable")
    names = {**{i: f"x{i}" for i in range(I)}, **{I + o: f"o{o}" for o in range(O)}}
    names |= {I + O + int(h): f"h{h}" for h in order}
    positions = np.asarray(host.positions)
    links: dict[int, list] = {n: [] for n in [*(I + O + int(h) for h in order), *range(I, I + O)]}
    for e in np.flatnonzero(host.enabled & (host.innovation != 0)):
        u, v = int(host.source[e]), int(host.target[e])
        links[v].append((int(e), names[u], bool(positions[u] >= positions[v])))
    return [(names[n], found) for n, found in links.items()]


def _computed(hidden_activation, output_activation, static: bool, wired: Wired, x, before):
    """`[B, R, L]` values of all rows, or of the outputs `[B, O, L]` where nothing is to be kept, of L members.

    The members come last: the steps are sequential, and each is one operation on all of them.

    Args:
      hidden_activation: of hidden rows.
      output_activation: of the others.
      static: for the gradient: all H places are gone through, whether there is a node or not.
      wired: leaves with an axis L at the end; as all others, 1 where members have it in common.
      x: `[B, I, L]`.
      before: `[B, R, L]` or None.
    """
    I, R, own = wired.inward.shape  # noqa: E741
    H, (B, _, L) = wired.forward.shape[1], jnp.broadcast_shapes((x.shape[0], 1, own), (1, 1, x.shape[2]))
    if x.shape[2] == 1 and B >= LARGE:
        total = (x[:, :, 0] @ wired.inward.reshape(I, R * own)).reshape(B, R, own)
    else:
        total = (x[:, :, None] * wired.inward).sum(1)
    if before is not None:
        total = total + (before[:, None] * wired.backward).sum(2)

    def row(r, h):
        return h.at[:, r].set(hidden_activation(total[:, r] + (h * wired.forward[r]).sum(1)))

    h = jax.lax.fori_loop(0, H if static else wired.hidden.max(), row, jnp.zeros((B, H, L), jnp.float32))
    y = output_activation(total[:, H:] + (h[:, None] * wired.forward[H:]).sum(2))
    return y if before is None else jnp.concatenate([h, y], 1)


def _differentiable(computed: Callable) -> Callable:
    """`(wired, x [B, I], before [B, R] or None) -> [B, R or O]`, side by side under vmap, and with a gradient."""

    def pulled(wired, x, before, gradient):
        L = max(leaf.shape[-1] for leaf in jax.tree.leaves((wired, x, before, gradient)))
        every = lambda tree: jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*leaf.shape[:-1], L)), tree)
        weights = {n: getattr(wired, n) for n in ("inward", "forward", "backward") if getattr(wired, n) is not None}
        of = lambda weights, x, before: computed(True, wired.replace(**weights), x, before)
        return jax.vjp(of, *every((weights, x, before)))[1](every(gradient))

    forward, backward = vmap_last_axis(partial(computed, False)), vmap_last_axis(pulled)
    run = jax.custom_vjp(forward)

    def backwards(args, gradient):
        weights, x, before = backward(*args, gradient)
        zero = np.zeros(args[0].hidden.shape, jax.dtypes.float0)
        return Wired(weights["inward"], weights["forward"], weights.get("backward"), zero), x, before

    run.defvjp(lambda *args: (forward(*args), args), backwards)
    return run
