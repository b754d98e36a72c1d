"""How a genome becomes a Flax module, called with `(decisions, x, train)`."""

from jaxnas.networks.choice import Choice, exists, width
from jaxnas.networks.conv import conv_general_dilated
from jaxnas.networks.extract import extract
from jaxnas.networks.nasbench201 import NasBench201
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import AvgPool, Identity, ReLUConvBN, Zero, avg_pool, conv

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Choice",
    "Identity",
    "NasBench201",
    "ReLUConvBN",
    "Zero",
    "avg_pool",
    "conv",
    "conv_general_dilated",
    "exists",
    "extract",
    "width",
]
