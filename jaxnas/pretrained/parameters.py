"""Parameters of the Llama family: their path in the network, their name in Hugging Face's files, and both layouts.

Hugging Face rotates feature i of a head together with i + D/2, the network with its neighbour, so that what makes
queries and keys has the features of each head in another order. Kernels of files are `[out, in]`.
"""

import re
from typing import NamedTuple

import numpy as np

from jaxnas.pretrained.architecture import Architecture


class Parameter(NamedTuple):
    """One tensor.

    Attributes:
      path: in the network, joined by "/".
      name: Hugging Face's.
      shape: in the network.
      layout: "same", "transposed" (`[in, out]` here), "heads" (`[in, H, D]` here), "joined" (`[H, D, out]` here),
        "bias" (`[H, D]` here), "features" (`[D]`, of every head).
      rotated: whether positions rotate the features of its heads.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    layout: str = "same"
    rotated: bool = False

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape in a file."""
        if self.layout == "transposed":
            return self.shape[::-1]
        if self.layout == "heads":
            return (self.shape[1] * self.shape[2], self.shape[0])
        if self.layout == "joined":
            return (self.shape[2], self.shape[0] * self.shape[1])
        return (self.shape[0] * self.shape[1],) if self.layout == "bias" else self.shape

    def read(self, x: np.ndarray, interleaved: bool = False) -> np.ndarray:
        """The network's, of what is stored; `interleaved` where rotated features are side by side already."""
        pairs = _interleave if self.rotated and not interleaved else lambda x: x
        if self.layout == "transposed":
            return x.T
        if self.layout == "heads":
            return pairs(x.reshape(*self.shape[1:], self.shape[0])).transpose(2, 0, 1)
        if self.layout == "joined":
            return x.T.reshape(self.shape)
        return pairs(x.reshape(-1, self.shape[-1])).reshape(self.shape) if self.rotated else x.reshape(self.shape)

    def write(self, x: np.ndarray) -> np.ndarray:
        """What is stored, of the network's."""
        halves = _halve if self.rotated else lambda x: x
        if self.layout == "transposed":
            return x.T
        if self.layout == "heads":
            return halves(x.transpose(1, 2, 0)).reshape(self.stored)
        if self.layout == "joined":
            return x.reshape(-1, self.shape[2]).T
        return halves(x.reshape(-1, self.shape[-1])).reshape(self.stored) if self.rotated else x.reshape(self.stored)


def _interleave(x: np.ndarray) -> np.ndarray:
    """`[H, D, ...]`, of halves of heads pairs side by side."""
    return x.reshape(len(x), 2, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _halve(x: np.ndarray) -> np.ndarray:
    """The inverse."""
    return x.reshape(len(x), -1, 2, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def parameters(own: Architecture) -> list[Parameter]:
    """All of an architecture's."""
    W, V = own.width, own.vocabulary
    found = [Parameter("embedding/embedding", "model.embed_tokens.weight", (V, W))]
    for i, mixer in enumerate(own.mixers):
        found += _layer(own, f"layer_{i}", f"model.layers.{i}", mixer)
    found.append(Parameter("norm/scale", "model.norm.weight", (W,)))
    if not own.tied:
        found.append(Parameter("head/kernel", "lm_head.weight", (W, V), "transposed"))
    return found


def _layer(own: Architecture, path: str, name: str, mixer: str) -> list[Parameter]:
    W, D, F = own.width, own.head_size, own.hidden
    attention, theirs = f"{path}/mixer/{mixer}", f"{name}.self_attn"
    found = [
        Parameter(f"{path}/mixer_norm/scale", f"{name}.input_layernorm.weight", (W,)),
        Parameter(f"{path}/feed_forward_norm/scale", f"{name}.post_attention_layernorm.weight", (W,)),
        Parameter(f"{attention}/output/kernel", f"{theirs}.o_proj.weight", (own.heads, D, W), "joined"),
    ]
    for part, heads in (("query", own.heads), ("key", own.groups), ("value", own.groups)):
        rotated, letter = part != "value", part[0]
        kernel = Parameter(
            f"{attention}/{part}/kernel", f"{theirs}.{letter}_proj.weight", (W, heads, D), "heads", rotated
        )
        found.append(kernel)
        if own.biases:
            bias = Parameter(f"{attention}/{part}/bias", f"{theirs}.{letter}_proj.bias", (heads, D), "bias", rotated)
            found.append(bias)
        if own.qk_norm and rotated:
            scale = f"{attention}/{part}_norm/scale", f"{theirs}.{letter}_norm.weight"
            found.append(Parameter(*scale, (D,), "features", rotated))
    for part, shape in (("gate", (W, F)), ("up", (W, F)), ("down", (F, W))):
        names = f"{path}/feed_forward/swiglu/{part}/kernel", f"{name}.mlp.{part}_proj.weight"
        found.append(Parameter(*names, shape, "transposed"))
    return found


def computed(name: str) -> bool:
    """Of a tensor of a file, whether it follows from the settings: rotary frequencies of old checkpoints."""
    return re.fullmatch(r"(model\.)?(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq", name) is not None
