"""How a genome becomes a Flax module, called with `(decisions, x, train)`."""

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
