"""The NAS-Bench-201 network (Dong and Yang, 2020): a cell of four nodes, repeated in three stages.

But for a stand-alone network the cells of a stage are one loop. The edges of a relaxed cell are one too, or stand side
by side: see `loop`.
"""

from functools import partial, reduce

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.execution import current
from jaxnas.networks.choice import Choice, Gated, Options, is_mixture, is_static
from jaxnas.networks.inference import materialized
from jaxnas.networks.initializers import lecun_normal
from jaxnas.networks.loop import beside_each_other, over_modules
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import AvgPool, Identity, ReLUConvBN, Zero, avg_pool, conv
from jaxnas.spaces._nasbench201 import EDGES, OPERATIONS


class Cell(nn.Module):
    """Every node is the sum over its incoming edges of the operation chosen there."""

    features: int
    dtype: jnp.dtype | None = None
    affine: bool = True

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        convolution = partial(ReLUConvBN, self.features, dtype=self.dtype, affine=self.affine)
        options = Options(
            {
                "none": Zero,
                "skip_connect": Identity,
                "nor_conv_1x1": partial(convolution, 1),
                "nor_conv_3x3": partial(convolution, 3),
                "avg_pool_3x3": AvgPool,
            }
        )
        first, said = decisions["0->1"], current()
        if not is_static(first) and not isinstance(first, Gated) and not self.is_initializing():
            mixture = is_mixture(first)
            if said.side_by_side or (mixture and said.platform != "cpu"):
                return self._by_source(options, decisions, x, train)
            if mixture:
                return self._looped(options, decisions, x, train)
        nodes = [x]
        for j in (1, 2, 3):
            terms = []
            for i, to in EDGES:
                if to != j:
                    continue
                edge = f"{i}->{to}"
                y = Choice(options, name=edge)(decisions[edge], nodes[i], train)
                # A stand-alone cell adds no zeros.
                if not (is_static(decisions[edge]) and decisions[edge] == OPERATIONS.index("none")):
                    terms.append(jnp.broadcast_to(y, x.shape))
            # What is 0 everywhere is a single pixel: an operation on it costs nothing.
            nodes.append(reduce(jnp.add, terms) if terms else jnp.zeros_like(x[:, :1, :1]))
        return jnp.broadcast_to(nodes[-1], x.shape)

    def _by_source(self, options, decisions, x, train: bool):
        """The cell with the edges out of a node side by side, which read the same: their kernels make one convolution
        with as many outputs, and a pool is computed once for all."""
        edge, nodes = Choice(options, parent=None), [x, 0.0, 0.0, 0.0]
        for i in range(3):
            targets = [to for source, to in EDGES if source == i]
            names = [f"{i}->{to}" for to in targets]
            chosen = jnp.stack([decisions[name] for name in names])
            apply = lambda decision, own, mutable, x=nodes[i]: edge.apply(own, decision, x, train, mutable=mutable)
            for to, y in zip(targets, beside_each_other(self, names, apply, chosen), strict=True):
                nodes[to] = nodes[to] + y
        return nodes[-1]

    def _looped(self, options, decisions, x, train: bool):
        """The relaxed cell as a loop over edges: compiled once for a cell and not six times, and XLA:CPU, which would
        compute the sums at a node again for each of its uses, runs it faster. A TPU copies all nodes at each edge."""
        names = [f"{i}->{j}" for i, j in EDGES]
        edge = Choice(options, parent=None)

        def apply(nodes, row, variables, mutable):
            (i, j), decision = row
            h = jax.lax.dynamic_index_in_dim(nodes, i, 0, False)
            y, updates = edge.apply(variables, decision, h, train, mutable=mutable)
            return nodes.at[j].add(y.astype(nodes.dtype)), updates

        nodes = jnp.zeros((4, *x.shape), x.dtype).at[0].set(x)
        chosen = jax.tree.map(lambda *each: jnp.stack(each), *[decisions[name] for name in names])
        return over_modules(self, names, apply, nodes, (tuple(jnp.array(EDGES).T), chosen))[-1]


class Reduction(nn.Module):
    """The residual block that halves the image between stages."""

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        x = materialized(x)
        y = ReLUConvBN(self.features, 3, 2, self.dtype, name="a")(x, train)
        y = ReLUConvBN(self.features, 3, 1, self.dtype, name="b")(y, train)
        return y + conv(self.features, 1, dtype=self.dtype, name="shortcut")(avg_pool(x, 2, 2))


class NasBench201(nn.Module):
    """Stem, three stages of `cells` cells with a reduction between, head; called with `(decisions, x, train)`.

    Attributes:
      channels: of the first stage; doubled at each reduction.
      cells: in each stage.
      classes: outputs.
      dtype: of the computation (`jnp.bfloat16`); parameters and outputs stay float32.
      affine: whether the cells' batch normalization learns a scale and a bias; not in supernets, as published.
    """

    channels: int = 16
    cells: int = 5
    classes: int = 10
    dtype: jnp.dtype | None = None
    affine: bool = True

    def __post_init__(self):
        for field in ("channels", "cells", "classes"):
            check.integer(field, getattr(self, field), least=1)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        alone = is_static(decisions["0->1"]) or self.is_initializing()
        x = conv(self.channels, dtype=self.dtype, name="stem_conv")(x)
        x = BatchNorm(self.dtype, name="stem_norm")(x, train)
        for stage in range(3):
            features = self.channels * 2**stage
            if stage > 0:
                x = Reduction(features, self.dtype, name=f"reduction_{stage}")(x, train)
            names = [f"stage_{stage}_cell_{i}" for i in range(self.cells)]
            if alone or self.cells == 1:
                for name in names:
                    x = Cell(features, self.dtype, self.affine, name=name)(decisions, x, train)
            else:
                cell = Cell(features, self.dtype, self.affine, parent=None)
                apply = lambda x, _, own, mutable, cell=cell: cell.apply(own, decisions, x, train, mutable=mutable)
                x = over_modules(self, names, apply, x)
        x = nn.relu(BatchNorm(self.dtype, name="head_norm")(x, train))
        return nn.Dense(self.classes, kernel_init=lecun_normal(), name="head")(x.mean((1, 2), dtype=jnp.float32))
