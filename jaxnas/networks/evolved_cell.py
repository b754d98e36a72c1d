"""A cell of the Evolved Transformer: blocks of two branches, each of which reads one of the states before it.

Decisions that are made build just the chosen layers, of just their sizes. Where they are traced, states are as wide as
any can be, and one block is compiled, for all of a cell, as a loop over a buffer of states.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.networks.choice import Choice, Decision, is_static
from jaxnas.networks.evolved_layers import ACTIVATIONS, Inputs, factories
from jaxnas.networks.loop import over_modules
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
      normalized: the same, each normalized.
      widths: `[n + 1]`, in halves of the network's width.
    """

    plain: chex.Array
    normalized: chex.Array
    widths: chex.Array

    def put(self, i: chex.Array, plain, normalized, width) -> "States":
        return States(*(of.at[i].set(new) for of, new in zip(self, (plain, normalized, width), strict=True)))


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
        y = jax.lax.select_n(chosen.activation, *(f(y) for f in functions))
        return masked(y, setting.mask(width)), width


class Block(nn.Module):
    """Called with `(chosen, states, keep, memory, train, norm)`: joins two branches.

    `states` are `States`, or where the decisions are made two lists, plain and normalized. It gives the state, which is
    also normalized where `norm`, and its width.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: BlockChoice, states, keep, memory: Memory | None, train: bool, norm: bool = True):
        setting = self.setting
        if isinstance(states, States):
            y, width = self._joined(chosen.combiner, *self._traced(chosen, states, keep, memory, train))
            there = setting.mask(width)
        else:
            made = []
            for side in SIDES:
                own = getattr(chosen, side)
                if setting.live(own):
                    x = states[setting.normalizes(own)][own.input]
                    made.append(Branch(setting, name=side)(own, x, None, keep, memory, train)[0])
            y, width, there = combined(setting.options.combiners[chosen.combiner], made), None, None
        y = y if keep is None else y * keep[..., None].astype(y.dtype)
        return y, Norm(setting.epsilon, name="norm")(y, 1.0, there) if norm else None, width

    def _traced(self, chosen: BlockChoice, states: States, keep, memory: Memory | None, train: bool):
        """Output and width of each branch: of two alike, so that one is compiled."""

        def of(branch, own):
            read = lambda array: jax.lax.dynamic_index_in_dim(array, own.input, 0, keepdims=False)
            x = jnp.where(self.setting.normalizes(own), read(states.normalized), read(states.plain))
            return branch(own, x, read(states.widths), keep, memory, train)

        sides = chosen[:2]
        if self.is_initializing():
            return [of(Branch(self.setting, name=name), own) for name, own in zip(SIDES, sides, strict=True)]
        branch = Branch(self.setting, parent=None)
        run = lambda _, own, variables, mutable: (of(partial(branch.apply, variables), own), {})
        start = jnp.zeros_like(states.plain[0]), jnp.zeros_like(states.widths[0])
        made = over_modules(self, SIDES, run, start, jax.tree.map(lambda *each: jnp.stack(each), *sides), every=True)
        return [jax.tree.map(lambda array, k=k: array[k], made) for k in range(len(SIDES))]

    def _joined(self, combiner, left, right):
        """Two branches of widths that are traced."""
        setting, (a, wide_a), (b, wide_b) = self.setting, left, right
        beyond = lambda y, width: y + (1 - setting.mask(width)).astype(y.dtype)
        moved = (jnp.arange(setting.size) - wide_a * setting.half) % setting.size
        widest = jnp.maximum(wide_a, wide_b)
        ways = {
            "add": (a + b, widest),
            "multiply": (masked(beyond(a, wide_a) * beyond(b, wide_b), setting.mask(widest)), widest),
            "concat": (a + b[..., moved], wide_a + wide_b),
        }
        ys, widths = zip(*(ways[name] for name in setting.options.combiners), strict=True)
        return jax.lax.select_n(combiner, *ys), jax.lax.select_n(combiner, *widths)


class Cell(nn.Module):
    """Called with `(chosen, x, width, keep, memory, train)`: the sum of what its blocks make and none of them reads.

    `x` is state 0, of `width` where decisions are traced; so is what it gives.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: Sequence[BlockChoice], x, width, keep, memory: Memory | None, train: bool):
        norm = Norm(self.setting.epsilon, name="norm")
        if width is None:
            return self._static(chosen, x, norm, keep, memory, train), None
        buffer = lambda x: jnp.zeros((len(chosen) + 1, *jnp.shape(x)), x.dtype)
        states = States(*map(buffer, (x, x, width))).put(0, x, norm(x, 1.0, self.setting.mask(width)), width)
        if self.is_initializing():
            for i, block in enumerate(chosen):
                y, normalized, wide = Block(self.setting, name=f"block_{i}")(block, states, keep, memory, train)
                states = states.put(i + 1, y, normalized, wide)
        else:
            rows = (jnp.arange(1, len(chosen) + 1), jax.tree.map(lambda *each: jnp.stack(each), *chosen))
            block = Block(self.setting, parent=None)

            def run(states, row, variables, mutable):
                del mutable  # there are parameters alone
                i, own = row
                return states.put(i, *block.apply(variables, own, states, keep, memory, train)), {}

            states = over_modules(self, [f"block_{i}" for i in range(len(chosen))], run, states, rows)
        unused = self._unused(chosen)
        y = jnp.einsum("n,nbtw->btw", unused.astype(x.dtype), states.plain)
        return y, jnp.where(unused, states.widths, 0).max()

    def _static(self, chosen: Sequence[BlockChoice], x, norm: Norm, keep, memory, train: bool):
        branches = [side for block in chosen for side in block[:2] if self.setting.live(side)]
        read = {side.input for side in branches}
        normalized = {side.input for side in branches if self.setting.normalizes(side)}
        states = [x], [norm(x, 1.0) if 0 in normalized else None]
        for i, block in enumerate(chosen):
            own = Block(self.setting, name=f"block_{i}")
            for of, made in zip(states, own(block, states, keep, memory, train, i + 1 in normalized)[:2], strict=True):
                of.append(made)
        return combined("add", [state for j, state in enumerate(states[0]) if j not in read])

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
