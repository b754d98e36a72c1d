"""A residual network for small images (He, Zhang, Ren and Sun, 2016, section 4.2), a yardstick for what is found."""

import flax.linen as nn
import jax.numpy as jnp

from jaxnas import check
from jaxnas.networks.initializers import lecun_normal
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import ReLUConvBN, conv


class ResNet(nn.Module):
    """Stem, three stages of residual blocks with 1, 2 and 4 times the filters, head.

    Called with `(decisions, x, train)` as all networks are, but nothing is left to decide. Blocks are pre-activation
    (two `ReLUConvBN`), shortcuts that change shape are 1 x 1 convolutions.

    Attributes:
      blocks: in each stage.
      filters: of the first stage.
      classes: outputs.
      dtype: of the computation; parameters and outputs stay float32.
    """

    blocks: int = 3
    filters: int = 16
    classes: int = 10
    dtype: jnp.dtype | None = None

    def __post_init__(self):
        for field in ("blocks", "filters", "classes"):
            check.integer(field, getattr(self, field), least=1)
        super().__post_init__()

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = conv(self.filters, dtype=self.dtype, name="stem_conv")(x)
        x = BatchNorm(self.dtype, name="stem_norm")(x, train)
        for stage in range(3):
            features = self.filters * 2**stage
            for block in range(self.blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                name = f"stage_{stage}_block_{block}"
                y = ReLUConvBN(features, 3, stride, self.dtype, name=f"{name}_a")(x, train)
                y = ReLUConvBN(features, 3, 1, self.dtype, name=f"{name}_b")(y, train)
                if stride == 2:
                    x = conv(features, 1, 2, dtype=self.dtype, name=f"{name}_shortcut")(x)
                x = x + y
        return nn.Dense(self.classes, kernel_init=lecun_normal(), name="head")(
            nn.relu(x).mean((1, 2), dtype=jnp.float32)
        )
