"""The DARTS network (Liu, Simonyan and Yang, 2019): a chain of cells, two of them reductions.

In a supernet the edges of a cell are one loop, so that each operation is compiled once for a cell and not 14 times; the
parameters of the edges are stacked. In a reduction cell those out of the two inputs, which have strides, are a loop of
their own. Where a stand-alone network has `NAME_3`, a supernet has row 3 of `NAME` (see `extract`).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.execution import current
from jaxnas.networks.choice import Choice, is_static
from jaxnas.networks.initializers import lecun_normal
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
from jaxnas.spaces._darts import EDGES


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
        return nn.Dense(self.classes, kernel_init=lecun_normal(), name="head")(last.mean((1, 2), dtype=jnp.float32))


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
        edges = [(j, i, decisions[f"{kind}_{j}->{i}"]) for j, i in EDGES]
        run = partial(self._alone if is_static(edges[0][2]) else self._together, size, train, rate)
        nodes = jnp.zeros((4, last.shape[0], *size, self.features), states[0].dtype)
        if not self.reduce:
            nodes = run("edge", edges, states, nodes)
        else:
            inputs, rest = [e for e in edges if e[0] < 2], [e for e in edges if e[0] >= 2]
            nodes = run("node_edge", rest, [], run("input_edge", inputs, states, nodes, False))
        return jnp.moveaxis(nodes, 0, -2).reshape(*nodes.shape[1:4], -1)

    def _alone(self, size, train, rate, name, edges, inputs, nodes, joined=True):
        nodes = list(nodes)
        for k, (j, i, op) in enumerate(edges):
            x = inputs[j] if j < 2 else nodes[j - 2]
            options = self._operations(x, size)
            if list(options)[op] != "none":
                nodes[i - 2] = nodes[i - 2] + _dropped(Choice(options, name=f"{name}_{k}"), op, x, train, rate)
        return jnp.stack(nodes)

    def _together(self, size, train, rate, name, edges, inputs, nodes, joined=True):
        """The nodes with what comes along the edges added, one edge after another.

        Where inputs and nodes are `joined`, of one resolution, they are one bank to read from.
        """
        sources, targets, chosen = zip(*edges, strict=True)
        chosen = jax.tree.map(lambda *each: jnp.stack(each), *chosen)
        shift = 0 if inputs else 2
        inputs = jnp.stack(inputs) if inputs else nodes[:0]
        bank = jnp.concatenate([inputs, nodes]) if joined and len(inputs) else nodes
        options = self._operations(inputs[0] if len(inputs) else nodes[0], size)

        def body(edge, bank, at):
            j, i, op = at
            x = jax.lax.dynamic_index_in_dim(bank if joined else inputs, j, 0, False)
            return bank.at[i].add(_dropped(edge, op, x, train, rate).astype(bank.dtype)), None

        scan = nn.scan(
            nn.remat(body) if current().platform == "tpu" else body,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True, "drop_path": True},
        )
        at = jnp.array(sources) - shift, jnp.array(targets) - shift - (0 if joined else 2), chosen
        return scan(Choice(options, name=name), bank, at)[0][-4:]

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
    """What comes along an edge; as published, paths are dropped but for those of the identity."""
    identity = [option is Identity for _, option in edge.options]
    if rate is not None and is_static(choice):
        rate = None if identity[choice] else rate
    elif rate is not None and getattr(choice, "ndim", None) == 0:  # neither a mixture nor gates
        rate = jnp.where(jnp.array(identity)[choice], 0, rate)
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
