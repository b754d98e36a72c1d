"""A cell of the Evolved Transformer: blocks of two branches, each of which reads one of the states before it.

Decisions that are made build just the chosen layers, of just their sizes. Where they are traced, states are as wide as
any can be, and one block is compiled, for all of a cell, as a loop over a buffer of states.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks.choice import Choice, Decision, is_static
from jaxnas.networks.evolved_layers import ACTIVATIONS, Inputs, factories
from jaxnas.networks.loop import initialized, over_modules
from jaxnas.networks.mixers import Memory, Norm, masked
from jaxnas.spaces._evolved_genome import BASE, COLUMNS, DEAD, FIELDS, IDENTITY, SIDES, Options


class BranchChoice(NamedTuple):
    """What is decided of a branch: positions in the options."""

    input: Decision
    norm: Decision
    layer: Decision
    dim: Decision
    activation: Decision


class BlockChoice(NamedTuple):
    """What is decided of a block."""

    left: BranchChoice
    right: BranchChoice
    combiner: Decision


class Setting(NamedTuple):
    """What blocks of an encoder, or of a decoder, have in common.

    Attributes:
      options: of the search space.
      part: "encoder" or "decoder".
      width: of the network.
      heads: of attention to the encoder.
      epsilon: of normalization.
    """

    options: Options
    part: str
    width: int
    heads: int
    epsilon: float

    @property
    def half(self) -> int:
        """In what widths of states are counted."""
        return self.width // BASE

    @property
    def size(self) -> int:
        """Of the widest state."""
        return self.options.widest * self.half

    @property
    def blocks(self) -> int:
        return self.options.blocks(self.part)

    @property
    def layers(self) -> tuple[str, ...]:
        return self.options.layers_of(self.part)

    def mask(self, width: chex.Array) -> chex.Array:
        """`[size]`, of a state of so many halves."""
        return (jnp.arange(self.size) < width * self.half).astype(jnp.float32)

    def chosen(self, decisions: Mapping[str, Decision], traced: bool) -> list[BlockChoice]:
        """By block; where they are `traced`, all as arrays."""

        def of(block: int, name: str) -> Decision:
            decision = decisions.get(f"{self.part}_{block}_{name}", 0)
            return jnp.asarray(decision, jnp.int32) if traced and is_static(decision) else decision

        n = len(FIELDS)
        rows = ([of(i, name) for name in COLUMNS] for i in range(self.blocks))
        return [BlockChoice(BranchChoice(*row[:n]), BranchChoice(*row[n : 2 * n]), row[-1]) for row in rows]

    def live(self, branch: BranchChoice) -> bool | chex.Array:
        return branch.layer != (self.layers.index(DEAD) if DEAD in self.layers else -1)

    def normalizes(self, branch: BranchChoice) -> bool | chex.Array:
        """Whether it reads a state that is normalized."""
        norms = self.options.norms
        return branch.norm == (norms.index("layer") if "layer" in norms else -1)


class States(NamedTuple):
    """Hidden states of a cell whose decisions are traced.

    Attributes:
      plain: `[n + 1, B, T, size]`.
      widths: `[n + 1]`, in halves of the network's width.
      norms: parameters `[n, size]` of each state's normalization; of the last, which nothing reads, there is none.
    """

    plain: chex.Array
    widths: chex.Array
    norms: Mapping[str, chex.Array]

    def put(self, i: chex.Array, x, width) -> "States":
        return self._replace(plain=self.plain.at[i].set(x), widths=self.widths.at[i].set(width))

    def of(self, inputs: chex.Array) -> tuple[chex.Array, chex.Array, Any]:
        """Those that two branches read, their widths and norms."""
        x = [jax.lax.dynamic_index_in_dim(self.plain, i, 0, keepdims=False) for i in inputs]
        return jnp.stack(x), self.widths[inputs], jax.tree.map(lambda leaf: leaf[inputs], self.norms)


class Branch(nn.Module):
    """Called with `(chosen, x, width, keep, memory, train)`: a layer and an activation; its output and how wide it is.

    `width` is that of x, None where the decisions are made.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: BranchChoice, x, width, keep, memory: Memory | None, train: bool):
        setting, options = self.setting, self.setting.options
        static = width is None
        features = (options.dims[chosen.dim] if static else max(options.dims)) * setting.half
        common = {"features": features, "width": setting.width, "causal": setting.part == "decoder"}
        layers = factories(setting.layers, setting.heads, size=features if static else setting.size, **common)
        x = x if keep is None else x * keep[..., None].astype(x.dtype)
        inputs = Inputs(x, keep, None if static else (width * setting.half).astype(jnp.float32), memory)
        y = Choice(layers, name="layer")(chosen.layer, inputs, train)
        functions = [ACTIVATIONS[name] for name in options.activations]
        if static:
            return functions[chosen.activation](y), None
        own = jnp.asarray(options.dims, jnp.int32)[chosen.dim]
        same = chosen.layer == setting.layers.index(IDENTITY)
        width = jnp.where(setting.live(chosen), jnp.where(same, width, own), 0)
        y = jax.lax.switch(chosen.activation, functions, y)
        return masked(y, setting.mask(width)), width


class Block(nn.Module):
    """Called with `(chosen, states, keep, memory, train)`: joins two branches; the new state and its width.

    `states` are `States`, or where the decisions are made a function of a branch's decisions that gives what it reads.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: BlockChoice, states: States | Callable, keep, memory: Memory | None, train: bool):
        setting = self.setting
        if isinstance(states, States):
            y, width = jax.checkpoint(self._joined)(chosen.combiner, *self._traced(chosen, states, keep, memory, train))
        else:
            sides = {side: own for side, own in zip(SIDES, chosen[:2], strict=True) if setting.live(own)}
            of = lambda side, own: Branch(setting, name=side)(own, states(own), None, keep, memory, train)[0]
            made = [of(side, own) for side, own in sides.items()]
            y, width = combined(setting.options.combiners[chosen.combiner], made), None
        return y if keep is None else y * keep[..., None].astype(y.dtype), width

    def _traced(self, chosen: BlockChoice, states: States, keep, memory: Memory | None, train: bool):
        """Output and width of each branch: of two alike, so that one is compiled."""
        setting = self.setting
        sides = jax.tree.map(lambda *each: jnp.stack(each), *chosen[:2])

        def of(branch, row):
            own, (x, width, norm) = row
            normalized = lambda x: Norm(setting.epsilon, parent=None).apply(
                {"params": norm}, x, 1.0, setting.mask(width)
            )
            x = jax.lax.cond(setting.normalizes(own), normalized, lambda x: x, x)
            return branch(own, x, width, keep, memory, train)

        rows, branch = (sides, states.of(sides.input)), Branch(setting, parent=None)
        if self.is_initializing():
            row = jax.tree.map(lambda leaf: leaf[0], rows)
            initialized(self, SIDES, lambda key: of(partial(branch.init, key), row))
            return [row[1][:2]] * len(SIDES)  # nothing needs what they would compute
        apply = jax.checkpoint(lambda row, variables: of(partial(branch.apply, variables), row))
        run = lambda _, row, variables, mutable: (apply(row, variables), {})
        start = jnp.zeros_like(states.plain[0]), jnp.zeros_like(states.widths[0])
        made = over_modules(self, SIDES, run, start, rows, every=True)
        return [jax.tree.map(lambda array, k=k: array[k], made) for k in range(len(SIDES))]

    def _joined(self, combiner, left, right):
        """Two branches of widths that are traced."""
        setting, (a, wide_a), (b, wide_b) = self.setting, left, right
        widest, start = jnp.maximum(wide_a, wide_b), setting.size - wide_a * setting.half
        beyond = lambda y, width: y + (1 - setting.mask(width)).astype(y.dtype)
        moved = lambda y: jax.lax.dynamic_slice_in_dim(jnp.concatenate([y, y], -1), start, setting.size, -1)
        ways = {
            "add": lambda a, b: (a + b, widest),
            "multiply": lambda a, b: (masked(beyond(a, wide_a) * beyond(b, wide_b), setting.mask(widest)), widest),
            "concat": lambda a, b: (a + moved(b), wide_a + wide_b),
        }
        return jax.lax.switch(combiner, [ways[name] for name in setting.options.combiners], a, b)


class Cell(nn.Module):
    """Called with `(chosen, x, width, keep, memory, train)`: the sum of what its blocks make and none of them reads.

    `x` is state 0, of `width` where decisions are traced; so is what it gives. A state has one normalization, whichever
    branches read it normalized.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: Sequence[BlockChoice], x, width, keep, memory: Memory | None, train: bool):
        if width is None:
            return self._static(chosen, x, keep, memory, train), None
        n = len(chosen)
        names = [f"norm_{j}" for j in range(n)]
        if self.is_initializing():
            for name in names:
                self._norm(name)(x, 1.0)
        norms = jax.tree.map(lambda *each: jnp.stack(each), *(self.variables["params"][name] for name in names))
        buffer = lambda x: jnp.zeros((n + 1, *jnp.shape(x)), x.dtype)
        states = States(buffer(x), buffer(width), norms).put(0, x, width)
        blocks, block = [f"block_{i}" for i in range(n)], Block(self.setting, parent=None)
        if self.is_initializing():
            initialized(self, blocks, lambda key: block.init(key, chosen[0], states, keep, memory, train))
            return x, width

        def run(states, row, variables, mutable):
            del mutable  # there are parameters alone
            i, own = row
            made = block.apply(variables, own, states._replace(norms=norms), keep, memory, train)
            return states.put(i, *made), {}

        rows = (jnp.arange(1, n + 1), jax.tree.map(lambda *each: jnp.stack(each), *chosen))
        states = over_modules(self, blocks, run, states._replace(norms={}), rows)
        unused = self._unused(chosen)
        y = jnp.einsum("n,nbtw->btw", unused.astype(x.dtype), states.plain)
        return y, jnp.where(unused, states.widths, 0).max()

    def _norm(self, name: str) -> Norm:
        return Norm(self.setting.epsilon, name=name)

    def _static(self, chosen: Sequence[BlockChoice], x, keep, memory, train: bool):
        states, normalized, read = [x], {}, set()

        def reads(branch: BranchChoice):
            j = branch.input
            read.add(j)
            if not self.setting.normalizes(branch):
                return states[j]
            if j not in normalized:
                normalized[j] = self._norm(f"norm_{j}")(states[j], 1.0)
            return normalized[j]

        for i, block in enumerate(chosen):
            states.append(Block(self.setting, name=f"block_{i}")(block, reads, keep, memory, train)[0])
        return combined("add", [state for j, state in enumerate(states) if j not in read])

    def _unused(self, chosen: Sequence[BlockChoice]):
        """`[n + 1]` states that no live branch reads."""
        sides = [side for block in chosen for side in block[:2]]
        at = jnp.stack([jnp.where(self.setting.live(side), side.input, -1) for side in sides])
        return ~(at[:, None] == jnp.arange(len(chosen) + 1)).any(0)


def combined(combiner: str, states: Sequence[Any]) -> chex.Array:
    """States of any widths as one; of one, itself."""
    if combiner == "concat":
        return jnp.concatenate(states, -1)
    value, size = int(combiner == "multiply"), max(state.shape[-1] for state in states)
    wide = lambda x: jnp.pad(x, [(0, 0), (0, 0), (0, size - x.shape[-1])], constant_values=value)
    total = wide(states[0])
    for state in map(wide, states[1:]):
        total = total * state if combiner == "multiply" else total + state
    return total
