"""The NASNet network (Zoph, Vasudevan, Shlens and Le, 2018): stages of normal cells, reduction cells between them.

In the population network all operations of a cell are one scan: each option is compiled once for a cell, not once for
each of its 2 * blocks places, and the parameters of the places are stacked. Where a stand-alone network has `NAME_3`,
the population network has row 3 of `NAME` (see `extract`).

What the paper calls concatenation of a cell's unused blocks is never built: each later 1 x 1 convolution, and the
classifier, has a kernel for each block, and the results are added, which is the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks.choice import Choice, Gated, is_static
from jaxnas.networks.initializers import lecun_normal
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import AvgPool, Factorized, MaxPool, ReLUConvBN, SepConv, Skip, avg_pool, conv, drop_path
from jaxnas.spaces._nasnet import OPERATIONS


class NasNet(nn.Module):
    """Stem, `reductions + 1` stages of `cells` normal cells, head; called with `(decisions, x, train)`.

    Filters double at each reduction. With a variable `schedule/drop_path` each path (the result of an operation) is
    dropped with that probability, example by example (needs an RNG `drop_path`). Where the collection "auxiliary" is
    mutable in training, the logits of a second head before the last reduction are sown into it.

    Attributes:
      cells: N, normal cells in each stage.
      filters: F, channels of the first stage's operations.
      blocks: of each cell, as in the space.
      operations: as in the space.
      reductions: reduction cells, each after a stage.
      classes: outputs.
      dtype: of the computation (`jnp.bfloat16`); parameters and outputs stay float32.
    """

    cells: int = 6
    filters: int = 32
    blocks: int = 5
    operations: tuple[str, ...] = OPERATIONS
    reductions: int = 2
    classes: int = 10
    dtype: jnp.dtype | None = None

    def __post_init__(self):
        for field, least in {"cells": 1, "filters": 2, "blocks": 1, "reductions": 0, "classes": 1}.items():
            check.integer(field, getattr(self, field), least=least)
        for operation in check.sequence("operations", self.operations):
            check.one_of("operations", operation, OPERATIONS)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        rate = self.get_variable("schedule", "drop_path") if train else None
        x = conv(3 * self.filters, dtype=self.dtype, name="stem_conv")(x)
        last = Blocks.single(BatchNorm(self.dtype, name="stem_norm")(x, train))
        before = last
        for stage in range(self.reductions + 1):
            make = partial(Cell, self.filters * 2**stage, self.blocks, self.operations, self.dtype)
            if stage > 0:
                if stage == self.reductions and train and self.is_mutable_collection("auxiliary"):
                    self.sow("auxiliary", "logits", AuxiliaryHead(self.classes, self.dtype)(last, train))
                cell = make(reduce=True, name=f"reduction_{stage}")
                before, last = last, cell(decisions, before, last, train, rate)
            for n in range(self.cells):
                cell = make(name=f"stage_{stage}_cell_{n}")
                before, last = last, cell(decisions, before, last, train, rate)
        pooled = last.map(lambda h: nn.relu(h).mean((-3, -2), dtype=jnp.float32))
        bias = self.param("bias", nn.initializers.zeros, (self.classes,), jnp.float32)
        return pooled.product(partial(Kernel, self.classes), "head") + bias


class Blocks(NamedTuple):
    """The output of a cell: blocks that are there for sure, or all of them and which count.

    Attributes:
      parts: block -> `[B, H, W, F]`, of a stand-alone network; or None.
      stacked: `[S, B, H, W, F]`; or None.
      share: `[S]`, 1 for blocks that belong to the output and 0 for those that do not.
    """

    parts: dict[int, Any] | None
    stacked: Any = None
    share: Any = None

    @classmethod
    def single(cls, x) -> "Blocks":
        return cls({0: x})

    @property
    def size(self) -> tuple[int, int]:
        shape = next(iter(self.parts.values())).shape if self.stacked is None else self.stacked.shape[1:]
        return shape[1:3]

    def map(self, fn: Callable) -> "Blocks":
        """`fn` of each block (it may see all at once, stacked in front)."""
        if self.stacked is None:
            return Blocks({j: fn(h) for j, h in self.parts.items()})
        return Blocks(None, fn(self.stacked), self.share)

    def product(self, kernel: Callable[..., nn.Module], name: str):
        """The concatenated blocks times a kernel: `[B, ..., F]` to `[B, ..., O]`."""
        if self.stacked is None:
            return sum(_matmul(h, kernel(name=f"{name}_{j}")(h.shape[-1])) for j, h in self.parts.items())
        S, F = self.stacked.shape[0], self.stacked.shape[-1]
        weights = kernel(name=name)(F, S) * self.share[:, None, None].astype(self.stacked.dtype)
        x = jnp.moveaxis(self.stacked, 0, -2)
        return _matmul(x.reshape(*x.shape[:-2], S * F), weights.reshape(S * F, -1))


class Kernel(nn.Module):
    """A matrix of parameters `[width, features]`, or a stack of `count` of them."""

    features: int

    @nn.compact
    def __call__(self, width: int, count: int | None = None):
        if count is None:
            return self.param("kernel", lecun_normal(), (width, self.features), jnp.float32)
        initializer = lecun_normal(batch_axis=0)
        return self.param("kernel", initializer, (count, width, self.features), jnp.float32)


def _matmul(x, weights):
    """A 1 x 1 convolution on the backend's fastest path, or a plain product."""
    weights = weights.astype(x.dtype)
    if x.ndim != 4:
        return x @ weights
    return conv_general_dilated(
        x, weights[None, None], (1, 1), [(0, 0)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class Fit(nn.Module):
    """ReLU, 1 x 1 convolution, batch normalization: a cell's output as an input `[B, H, W, features]` of another.

    An output of twice the size is halved without loss of what lies between the strides: half of the features see the
    even pixels, half the odd ones.
    """

    features: int
    size: tuple[int, int]
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, blocks: Blocks, train: bool):
        blocks = blocks.map(nn.relu)
        if blocks.size == self.size:
            x = blocks.product(partial(Kernel, self.features), "block")
        else:
            even = blocks.map(lambda h: h[..., ::2, ::2, :])
            odd = blocks.map(lambda h: _like(h[..., 1::2, 1::2, :], self.size))
            half = self.features // 2
            x = [even.product(partial(Kernel, half), "even"), odd.product(partial(Kernel, self.features - half), "odd")]
            x = jnp.concatenate(x, -1)
        return BatchNorm(self.dtype, name="norm")(x, train)


def _like(x, size: tuple[int, int]):
    pad = [(0, 0)] * (x.ndim - 3) + [(0, size[0] - x.shape[-3]), (0, size[1] - x.shape[-2]), (0, 0)]
    return jnp.pad(x, pad)


class Cell(nn.Module):
    """One cell on the outputs of the cell before last and of the last."""

    features: int
    blocks: int
    operations: tuple[str, ...]
    dtype: jnp.dtype | None = None
    reduce: bool = False

    @nn.compact
    def __call__(self, decisions, before: Blocks, last: Blocks, train: bool, rate) -> Blocks:
        inputs = [
            Fit(self.features, last.size, self.dtype, name=name)(h, train)
            for name, h in (("fit_before", before), ("fit_last", last))
        ]
        H, W = last.size
        size = (-(-H // 2), -(-W // 2)) if self.reduce else (H, W)
        options = {name: self._operation(name, size) for name in self.operations}
        kind = "reduction" if self.reduce else "normal"
        slots = [f"{kind}_{i}_{slot}" for i in range(self.blocks) for slot in "ab"]
        sources = [decisions[f"{slot}_input"] for slot in slots]
        chosen = [decisions[f"{slot}_op"] for slot in slots]
        if all(is_static(d) for d in (*sources, *chosen)):
            return self._alone(options, sources, chosen, inputs, train, rate)
        return self._population(options, sources, chosen, inputs, size, train, rate)

    def _operation(self, name: str, size) -> Callable[..., nn.Module]:
        F, dtype = self.features, self.dtype
        known = {
            "identity": partial(Skip, F, dtype),
            "conv_1x3_3x1": partial(Factorized, F, 3, dtype),
            "conv_1x7_7x1": partial(Factorized, F, 7, dtype),
            "dil_conv_3x3": partial(ReLUConvBN, F, 3, dtype=dtype, dilation=2),
            "avg_pool_3x3": partial(AvgPool, 3),
            "max_pool_3x3": partial(MaxPool, 3),
            "max_pool_5x5": partial(MaxPool, 5),
            "max_pool_7x7": partial(MaxPool, 7),
            "conv_1x1": partial(ReLUConvBN, F, 1, dtype=dtype),
            "conv_3x3": partial(ReLUConvBN, F, 3, dtype=dtype),
            "sep_conv_3x3": partial(SepConv, F, 3, dtype),
            "sep_conv_5x5": partial(SepConv, F, 5, dtype),
            "sep_conv_7x7": partial(SepConv, F, 7, dtype),
        }
        return partial(Resized, known[name], size) if self.reduce else partial(known[name], size=size)

    def _alone(self, options, sources, chosen, inputs, train, rate) -> Blocks:
        states = list(inputs)
        for k, (source, op) in enumerate(zip(sources, chosen, strict=True)):
            choice = Choice(options, name=f"operation_{k}")
            x = states[source]
            y = drop_path(choice, choice(op, (x, x, int(source) < 2) if self.reduce else x, train), rate)
            if k % 2 == 0:
                first = y
            else:
                states.append(first + y)
        unused = {j: h for j, h in enumerate(states[2:]) if j + 2 not in set(map(int, sources))}
        return Blocks(unused)

    def _population(self, options, sources, chosen, inputs, size, train, rate) -> Blocks:
        S = self.blocks + 2
        sources = [s.weights if isinstance(s, Gated) else jnp.asarray(s) for s in sources]  # picking costs nothing
        relaxed = sources[0].ndim == 1
        sources = jnp.stack([jnp.pad(s, (0, S - len(s))) for s in sources] if relaxed else sources)
        chosen = jax.tree.map(lambda *ops: jnp.stack(ops), *chosen)
        weights = sources if relaxed else jax.nn.one_hot(sources, S, dtype=jnp.float32)
        inputs = jnp.stack(inputs)
        blocks = jnp.zeros((self.blocks, inputs.shape[1], *size, self.features), inputs.dtype)
        # Of one resolution, inputs and blocks are one bank of states, so that picking one is one slice.
        bank = blocks if self.reduce else jnp.concatenate([inputs, blocks])

        def pick(bank, source):
            return jnp.tensordot(source, bank, 1) if relaxed else jax.lax.dynamic_index_in_dim(bank, source, 0, False)

        def body(choice, bank, at):
            k, source, op = at
            if not self.reduce:
                x = pick(bank, source)
            elif relaxed:
                x = pick(inputs, source[:2]), pick(bank, source[2:]), source[:2].sum()
            else:
                x = pick(inputs, jnp.minimum(source, 1)), pick(bank, jnp.maximum(source - 2, 0)), source < 2
            y = drop_path(choice, choice(op, x, train), rate)
            return bank.at[k // 2 + S - self.blocks - 2 * self.reduce].add(y.astype(bank.dtype)), None

        scan = nn.scan(
            body,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True, "drop_path": True},
            length=2 * self.blocks,
        )
        bank, _ = scan(Choice(options, name="operation"), bank, (jnp.arange(2 * self.blocks), sources, chosen))
        unused = jnp.prod(1 - weights, 0)[2:]
        return Blocks(None, bank if self.reduce else bank[2:], unused)


class Resized(nn.Module):
    """An operation of a reduction cell, on `(large, small, which)`: strided on an input, else on a block.

    `which` is True for the large one, or the large one's weight in a mixture.
    """

    operation: Callable[..., nn.Module]
    size: tuple[int, int]

    @nn.compact
    def __call__(self, x, train: bool):
        large, small, which = x
        operation = self.operation(size=self.size, name="operation")
        if isinstance(which, bool):
            return operation(large if which else small, train)
        if self.is_initializing():
            return operation(large, train)  # has all the variables there are
        if jnp.issubdtype(which.dtype, jnp.floating):
            return self._mixture(large, small, which, train)
        on = lambda i: lambda op, *xs: op(xs[i], train)
        return nn.cond(which, on(0), on(1), operation, large, small)

    def _mixture(self, large, small, weight, train: bool):
        """Both, each from the statistics as they were, which become a mixture too."""
        own = {c: v["operation"] for c, v in self.variables.items() if "operation" in v}
        mutable = [c for c in own if c != "params" and self.is_mutable_collection(c)]
        apply = lambda x: self.operation(size=self.size, parent=None).apply(own, x, train, mutable=mutable)
        mix = lambda a, b: weight * a + (1 - weight) * b
        (y, updated), (z, other) = apply(large), apply(small)
        for c in mutable:
            self.put_variable(c, "operation", jax.tree.map(mix, updated[c], other[c]))
        return mix(y, z)


class AuxiliaryHead(nn.Module):
    """A classifier of an earlier cell's output, whose loss is added in training (Szegedy et al., 2015)."""

    classes: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, blocks: Blocks, train: bool):
        window = min(5, *blocks.size)
        pooled = blocks.map(lambda h: _pooled(nn.relu(h), window))
        x = BatchNorm(self.dtype, name="norm")(pooled.product(partial(Kernel, 128), "block"), train)
        return nn.Dense(self.classes, kernel_init=lecun_normal(), name="head")(
            nn.relu(x).mean((1, 2), dtype=jnp.float32)
        )


def _pooled(x, window: int):
    pool = lambda a: avg_pool(a, window, 3)
    return pool(x) if x.ndim == 4 else jax.vmap(pool)(x)
