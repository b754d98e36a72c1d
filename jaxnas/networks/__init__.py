"""Networks map decisions to Flax modules, called with `(decisions, x, train)`; `x` is the task's inputs.

One definition serves four kinds of decision (see `networks.choice`): static, traced, mixture, gated. Decisions are what
`space.unpack` makes of a genome or of weights. A module of Flax NNX becomes one by `flax.nnx.bridge.to_linen(Module)`,
and takes a `Choice` in by `flax.nnx.bridge.ToNNX`.

| network | of the space |
|---|---|
| `NasBench201` | `spaces.nasbench201` |
| `Darts` | `spaces.darts` |
| `NasNet` | `spaces.nasnet` |
| `Layers` | `spaces.layers`: vectors, sequences, images or tokens |
| `MobileNet` | `spaces.mobilenet` |
| `Transformer` | `spaces.transformer`: tokens, numbers, or images in patches |
| `EncoderDecoder` | `spaces.encoder_decoder`: tokens out of tokens |
| `EvolvedTransformer` | `spaces.evolved_transformer`: tokens out of tokens |
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
| `Functions` | a network of a pure `init` and a pure `apply` |
| `stand_alone`, `as_nnx` | one architecture without decisions, as a Linen module or with its variables as NNX |
| `extract` | the variables of one architecture, out of the population network's or the supernet's |
| `decoder`, `DecodeStep` | a `Transformer` token by token; its next token as a network of its own |
| `gradient_descent`, `inherited` | tune a graph's weights; a space whose children inherit them |
"""

from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks._extract import extract
from jaxnas.networks.choice import Choice, Gated, exists, width
from jaxnas.networks.darts import Darts
from jaxnas.networks.decoding import Decoder, DecodeStep, decoder
from jaxnas.networks.encoder_decoder import EncoderDecoder
from jaxnas.networks.evolved_transformer import EvolvedTransformer
from jaxnas.networks.graph import GraphNetwork, gradient_descent, inherited
from jaxnas.networks.initializers import initialize, lecun_normal
from jaxnas.networks.interop import Functions, as_nnx, stand_alone
from jaxnas.networks.layers import Layers
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
from jaxnas.networks.transformer import Transformer

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Choice",
    "Darts",
    "DecodeStep",
    "Decoder",
    "EncoderDecoder",
    "EvolvedTransformer",
    "Factorized",
    "Functions",
    "Gated",
    "GraphNetwork",
    "Identity",
    "Layers",
    "MaxPool",
    "MobileNet",
    "NasBench201",
    "NasNet",
    "ReLUConvBN",
    "ResNet",
    "SepConv",
    "Skip",
    "Transformer",
    "Zero",
    "as_nnx",
    "avg_pool",
    "conv",
    "conv_general_dilated",
    "decoder",
    "exists",
    "extract",
    "gradient_descent",
    "inherited",
    "initialize",
    "lecun_normal",
    "max_pool",
    "stand_alone",
    "width",
]
