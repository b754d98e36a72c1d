"""Networks map decisions to Flax modules, called with `(decisions, x, train)`; `x` is `[B, H, W, channels]`.

One definition serves four kinds of decision (see `networks.choice`): static, traced, mixture, gated. Decisions are what
`space.unpack` makes of a genome or of weights.

| network | of the space |
|---|---|
| `NasBench201` | `spaces.nasbench201` |
| `Darts` | `spaces.darts` |
| `NasNet` | `spaces.nasnet` |
| `MobileNet` | `spaces.mobilenet` |
| `GraphNetwork` | `spaces.graph`: no Flax module, as weights are part of the genome |
| `ResNet` | none: a yardstick |

| to write one's own | what it does |
|---|---|
| `Choice` | applies the option that a decision selects |
| `Gated` | a mixture of those options whose gates are open |
| `width`, `exists` | a choice of channels, by a mask; a choice of depth |
| `conv`, `avg_pool`, `max_pool`, `conv_general_dilated` | in the form that is fastest on the platform that is said |
| `ReLUConvBN`, `SepConv`, `Factorized` | convolutions with ReLU and norm, called with `(x, train)` |
| `AvgPool`, `MaxPool`, `Skip`, `Identity`, `Zero` | the other operations of cells, likewise |
| `BatchNorm` | batch normalization |
| `initialize`, `lecun_normal` | initial parameters by their path, all kernels in one draw |
| `extract` | the variables of one architecture, out of the population network's or the supernet's |
| `gradient_descent`, `inherited` | tune a graph's weights; a space whose children inherit them |
"""

from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks._extract import extract
from jaxnas.networks.choice import Choice, Gated, exists, width
from jaxnas.networks.darts import Darts
from jaxnas.networks.graph import GraphNetwork, gradient_descent, inherited
from jaxnas.networks.initializers import initialize, lecun_normal
from jaxnas.networks.mobilenet import MobileNet
from jaxnas.networks.nasbench201 import NasBench201
from jaxnas.networks.nasnet import NasNet
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import (
    AvgPool,
    Factorized,
    Identity,
    MaxPool,
    ReLUConvBN,
    SepConv,
    Skip,
    Zero,
    avg_pool,
    conv,
    max_pool,
)
from jaxnas.networks.resnet import ResNet

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Choice",
    "Darts",
    "Factorized",
    "Gated",
    "GraphNetwork",
    "Identity",
    "MaxPool",
    "MobileNet",
    "NasBench201",
    "NasNet",
    "ReLUConvBN",
    "ResNet",
    "SepConv",
    "Skip",
    "Zero",
    "avg_pool",
    "conv",
    "conv_general_dilated",
    "exists",
    "extract",
    "gradient_descent",
    "inherited",
    "initialize",
    "lecun_normal",
    "max_pool",
    "width",
]
