"""The DARTS network (Liu, Simonyan and Yang, 2019): a chain of cells, two of them reductions.

The edges out of one state of a cell are one module, their parameters stacked: a relaxed supernet computes them side by
side (and what they share, pooling say, once), a sampled path one after another in a loop that compiles once. Where a
stand-alone network has `NAME_3`, these have row 3 of `NAME` (see `extract`).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.networks.choice import Choice, Gated, is_static
from jaxnas.networks.nasnet import AuxiliaryHead, Blocks
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import (
    DilConv,
    FactorizedReduce,
    Identity,
    ReLUConvBN,
    SepConv,
    Zero,
    avg_pool,
    conv,
    drop_path,
    max_pool,
    stride_to,
)


class Darts(nn.Module):
    """Stem, `cells` cells with reductions at one and two thirds, head; called with `(decisions, x, train)`.

    Attributes:
      channels: C of the first cells' operations; doubled at each reduction.
      cells: how many.
      classes: outputs.
      search: as published, the supernet normalizes without learned scale and bias, and after each pooling; the network
        that is trained in the end (False) has scales and biases, and pools only.
      dtype: of the computation (`jnp.bfloat16`); parameters and outputs stay float32.
    """

    channels: int = 16
    cells: int = 8
    classes: int = 10
    search: bool = True
    dtype: jnp.dtype | None = None

    def __post_init__(self):
        for field, least in {"channels": 2, "cells": 1, "classes": 1}.items():
            check.integer(field, getattr(self, field), least=least)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        rate = self.get_variable("schedule", "drop_path") if train else None
        x = conv(3 * self.channels, dtype=self.dtype, name="stem_conv")(x)
        before = last = BatchNorm(self.dtype, name="stem_norm")(x, train)
        features, reduced = self.channels, False
        for i in range(self.cells):
            reduce = i in (self.cells // 3, 2 * self.cells // 3)
            features *= 1 + reduce
            cell = Cell(features, reduce, reduced, self.search, self.dtype, name=f"cell_{i}")
            before, last, reduced = last, cell(decisions, before, last, train, rate), reduce
            if i == 2 * self.cells // 3 and train and self.is_mutable_collection("auxiliary"):
                logits = AuxiliaryHead(self.classes, self.dtype)(Blocks.single(last), train)
                self.sow("auxiliary", "logits", logits)
        return nn.Dense(self.classes, name="head")(last.mean((1, 2), dtype=jnp.float32))


class Cell(nn.Module):
    """Four nodes on the outputs of the cell before last and of the last; `[B, H, W, 4 * features]`.

    Attributes:
      features: of each node.
      reduce: whether edges out of the two inputs halve the image.
      reduced: whether the last cell did, so that the output of the one before it has twice the size.
      search, dtype: see `Darts`.
    """

    features: int
    reduce: bool
    reduced: bool
    search: bool
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, decisions, before, last, train: bool, rate):
        options = {"dtype": self.dtype, "affine": not self.search}
        fit = FactorizedReduce if self.reduced else partial(ReLUConvBN, kernel=1)
        states = [
            fit(self.features, **options, name="fit_before")(before, train),
            ReLUConvBN(self.features, 1, **options, name="fit_last")(last, train),
        ]
        H, W = states[1].shape[1:3]
        size = (-(-H // 2), -(-W // 2)) if self.reduce else (H, W)
        kind = "reduce" if self.reduce else "normal"
        nodes = {i: jnp.zeros((), last.dtype) for i in range(2, 6)}
        for j in range(5):
            targets = range(max(j + 1, 2), 6)
            choices = [decisions[f"{kind}_{j}->{i}"] for i in targets]
            for i, y in zip(targets, self._edges(f"from_{j}", choices, states[j], size, train, rate), strict=True):
                nodes[i] = nodes[i] + y
            if j >= 1:
                states.append(nodes[j + 1])
        return jnp.concatenate(states[2:], -1)

    def _edges(self, name: str, choices, x, size, train: bool, rate):
        """What goes along the edges out of `x`, by their decisions."""
        options = self._operations(x, size)
        if all(is_static(d) for d in choices):
            zero = jnp.zeros((), x.dtype)
            kept = [(d, Choice(options, name=f"{name}_{k}")) for k, d in enumerate(choices)]
            return [_dropped(edge, d, x, train, rate) if list(options)[d] != "none" else zero for d, edge in kept]
        choices = jax.tree.map(lambda *each: jnp.stack(each), *choices)
        each = dict(variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True, "drop_path": True})
        edges = Choice(options, name=name)
        if isinstance(choices, Gated) or choices.ndim == 1:  # one after another, so that conditionals stay real
            run = nn.scan(lambda edge, _, choice: (None, _dropped(edge, choice, x, train, rate)), **each)
            return list(run(edges, None, choices)[1])
        run = nn.vmap(lambda edge, choice: _dropped(edge, choice, x, train, rate), **each)
        return list(run(edges, choices))

    def _operations(self, x, size) -> dict[str, Callable[..., nn.Module]]:
        F = self.features
        given = {"dtype": self.dtype, "affine": not self.search, "size": size}
        skip = Identity if stride_to(x, size) == 1 else partial(FactorizedReduce, F, self.dtype, not self.search)
        return {
            "none": partial(Zero, size),
            "max_pool_3x3": partial(Pool, max_pool, size, self.search, self.dtype),
            "avg_pool_3x3": partial(Pool, avg_pool, size, self.search, self.dtype),
            "skip_connect": skip,
            "sep_conv_3x3": partial(SepConv, F, 3, **given),
            "sep_conv_5x5": partial(SepConv, F, 5, **given),
            "dil_conv_3x3": partial(DilConv, F, 3, **given),
            "dil_conv_5x5": partial(DilConv, F, 5, **given),
        }


def _dropped(edge: Choice, choice, x, train: bool, rate):
    return drop_path(edge, edge(choice, x, train), rate)


class Pool(nn.Module):
    """Pooling to `size` with a window of 3, normalized in a supernet."""

    pool: Callable
    size: tuple[int, int]
    norm: bool
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        x = self.pool(x, 3, stride_to(x, self.size))
        return BatchNorm(self.dtype, affine=False, name="norm")(x, train) if self.norm else x
