"""A searchable MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen, 2018): the chain of `spaces.mobilenet`.

Expansion and width are masks of channels (as in FBNetV2, Wan et al., 2020), depth a conditional. A mixture of
depthwise convolutions of one image is one convolution, with the mixture of their kernels, the smaller ones padded by
zeros: kernels are mixed, not images. A kernel is picked in the same way where a population runs under vmap. On the CPU,
where it is a loop, a conditional picks it: faster to run, as only the kernel that was chosen is convolved with, and in
its own size, and slower to compile.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.execution import current
from jaxnas.networks._conv import conv_general_dilated
from jaxnas.networks.choice import Choice, check_decisions, exists, is_static, joint, opened, switch, width
from jaxnas.networks.inference import materialized
from jaxnas.networks.initializers import lecun_normal
from jaxnas.networks.norm import BatchNorm
from jaxnas.networks.ops import conv
from jaxnas.spaces._mobilenet import DEPTHS, EXPANSIONS, KERNELS, WIDTHS, factors


class MobileNet(nn.Module):
    """Stem, a stage for each of `channels`, 1 x 1 convolution, head; called with `(decisions, x, train)`.

    The first block of a stage has the stage's stride, the others a residual connection. By default stages are
    MobileNetV2's second to sixth, with strides for images of 32 x 32. Expansions multiply the channels that a block's
    input really has, its stage's chosen width.

    Attributes:
      channels: of each stage, at width 1.
      strides: of each stage.
      stem: channels of the first convolution.
      features: of the last convolution, which are pooled.
      kernels: as in the space.
      expansions: as in the space.
      depths: as in the space.
      widths: as in the space.
      transforms: whether smaller kernels are the middle of larger ones times a learned matrix (Cai et al., 2020), and
        not parameters of their own; a stand-alone network keeps the largest, of which its own is made.
      classes: outputs.
      dtype: of the computation (`jnp.bfloat16`); parameters and outputs stay float32.
    """

    channels: tuple[int, ...] = (24, 32, 64, 96, 160)
    strides: tuple[int, ...] = (1, 2, 2, 1, 2)
    stem: int = 16
    features: int = 1280
    kernels: tuple[int, ...] = KERNELS
    expansions: tuple[int, ...] = EXPANSIONS
    depths: tuple[int, ...] = DEPTHS
    widths: tuple[float, ...] = WIDTHS
    transforms: bool = False
    classes: int = 10
    dtype: jnp.dtype | None = None

    def __post_init__(self):
        for field in ("stem", "features", "classes"):
            check.integer(field, getattr(self, field), least=1)
        for field in ("channels", "strides"):
            for value in check.sequence(field, getattr(self, field)):
                check.integer(field, value, least=1)
        for field in ("channels", "strides", *(f"{factor}s" for factor in self._options())):
            setattr(self, field, tuple(getattr(self, field)))  # a config's lists cannot be hashed
        if not len(self.strides) == len(self.channels) > 0:
            raise InputError(f"strides: expected one for each of channels {self.channels}, got {self.strides}.")
        for channels in self.channels:
            if len(set(self._widths(channels))) < len(self.widths) or min(self._widths(channels)) < 1:
                raise InputError(f"channels: {channels} are too few for widths {self.widths} to differ.")
        super().__post_init__()

    def _options(self):
        return factors(kernels=self.kernels, expansions=self.expansions, depths=self.depths, widths=self.widths)

    def _widths(self, channels: int) -> tuple[int, ...]:
        return tuple(round(channels * w) for w in self.widths)

    def _chosen(self, decisions) -> list[dict]:
        """For each stage, factor -> decision, 0 where nothing is left to decide."""
        options = self._options()
        named = {f"stage_{i}_{f}": o for i in range(len(self.channels)) for f, o in options.items() if len(o) > 1}
        check_decisions(decisions, named, "stages and options")
        # Only a block that is not there spares anything: the gates of the others need not be conditionals.
        decisions = {name: d if name.endswith("_depth") else opened(d) for name, d in decisions.items()}
        return [{f: decisions.get(f"stage_{i}_{f}", 0) for f in options} for i in range(len(self.channels))]

    @nn.compact
    def __call__(self, decisions, x, train: bool):
        x = conv(self.stem, dtype=self.dtype, name="stem_conv")(x)
        x = nn.relu6(BatchNorm(self.dtype, name="stem_norm")(x, train))
        before, inputs = 0, (self.stem,)  # which of how many channels x has
        for stage, chosen in enumerate(self._chosen(decisions)):
            static = is_static(chosen["kernel"]) and not self.transforms
            kernels = (self.kernels[chosen["kernel"]],) if static else self.kernels
            outputs = self._widths(self.channels[stage])
            features, outer = width(chosen["width"], outputs)
            for i in range(max(self.depths)):
                expanded = [e * c for e in self.expansions for c in inputs]
                hidden, inner = width(joint(chosen["expansion"], before, (len(self.expansions), len(inputs))), expanded)
                stride = 1 if i > 0 else self.strides[stage]
                block = partial(InvertedResidual, features, hidden, kernels, stride, i > 0, self.transforms, self.dtype)
                name, given = f"stage_{stage}_block_{i}", (x, chosen["kernel"], inner, outer)
                if i < min(self.depths):
                    x = block(name=name)(given, train)
                else:
                    there = exists(chosen["depth"], self.depths, i)
                    x = Choice({"absent": Absent, "block": block}, name=name)(there, given, train)
                before, inputs = chosen["width"], outputs
        x = conv(self.features, 1, dtype=self.dtype, name="last_conv")(x)
        x = nn.relu6(BatchNorm(self.dtype, name="last_norm")(x, train))
        return nn.Dense(self.classes, kernel_init=lecun_normal(), name="head")(x.mean((1, 2), dtype=jnp.float32))


class InvertedResidual(nn.Module):
    """1 x 1 expansion, depthwise convolution, 1 x 1 projection, each batch-normalized (Sandler et al., 2018, table 1).

    Called with `((x, kernel, inner, outer), train)`: images `[B, H, W, C]`, a decision among kernels, and masks of
    `hidden` and of `features` channels. Before the projection no hidden channel sees another, so one mask will do.
    """

    features: int
    hidden: int
    kernels: tuple[int, ...]
    stride: int = 1
    residual: bool = True
    transforms: bool = False
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, inputs, train: bool):
        x, kernel, inner, outer = inputs
        x = materialized(x)
        y = conv(self.hidden, 1, dtype=self.dtype, name="expand_conv")(x)
        y = nn.relu6(BatchNorm(self.dtype, name="expand_norm")(y, train))
        y = Depthwise(self.kernels, self.stride, self.transforms, name="depthwise_conv")(y, kernel)
        y = _masked(nn.relu6(BatchNorm(self.dtype, name="depthwise_norm")(y, train)), inner)
        y = conv(self.features, 1, dtype=self.dtype, name="project_conv")(y)
        y = _masked(BatchNorm(self.dtype, name="project_norm")(y, train), outer)
        return x + y if self.residual else y


def _masked(x, mask):
    """Channels that are not there are silenced after their normalization, which gives them its bias."""
    return x * jnp.asarray(mask, x.dtype)


class Depthwise(nn.Module):
    """The depthwise convolution that a decision selects among sizes of kernel, or their mixture."""

    kernels: tuple[int, ...]
    stride: int = 1
    transforms: bool = False

    @nn.compact
    def __call__(self, x, decision):
        if self.transforms:
            least = self.kernels[decision] if is_static(decision) else min(self.kernels)
            of = self._transformed(x.shape[-1], least)
            if is_static(decision):
                return self._convolve(x, of[least])
            taps = [of[size] for size in self.kernels]
        else:
            taps = [Taps(size, name=f"{size}x{size}")(x.shape[-1]) for size in self.kernels]
        if len(taps) == 1:
            return self._convolve(x, taps[0])
        if jnp.ndim(decision) == 0:
            if current().platform == "cpu":
                return switch(decision, [partial(self._convolve_one, i) for i in range(len(taps))], (x, taps))
            decision = jax.nn.one_hot(decision, len(taps), dtype=jnp.float32)
        border = [(max(self.kernels) - size) // 2 for size in self.kernels]
        padded = [jnp.pad(tap, [(n, n)] * 2 + [(0, 0)] * 2) for tap, n in zip(taps, border, strict=True)]
        return self._convolve(x, sum(w * tap for w, tap in zip(decision, padded, strict=True)))

    def _transformed(self, channels: int, least: int) -> dict[int, jnp.ndarray]:
        """Size -> kernel, from the largest down to the `least`, each the middle of the one before times a matrix."""
        sizes = sorted((size for size in self.kernels if size >= least), reverse=True)
        tap = Taps(sizes[0], name=f"{sizes[0]}x{sizes[0]}")(channels)
        made = {sizes[0]: tap}
        for size in sizes[1:]:
            border = (len(tap) - size) // 2
            middle = tap[border : border + size, border : border + size].reshape(size**2, channels)
            matrix = self.param(f"to_{size}x{size}", nn.initializers.zeros, (size**2, size**2), jnp.float32)
            made[size] = tap = (middle + matrix @ middle).reshape(size, size, 1, channels)
        return made

    def _convolve_one(self, i, operands):
        x, taps = operands
        return self._convolve(x, taps[i])

    def _convolve(self, x, kernel):
        return conv_general_dilated(
            x, kernel.astype(x.dtype), (self.stride,) * 2, [(len(kernel) // 2,) * 2] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1],
        )  # fmt: skip


class Taps(nn.Module):
    """A kernel of parameters `[size, size, 1, channels]`."""

    size: int

    @nn.compact
    def __call__(self, channels: int):
        return self.param("kernel", lecun_normal(), (self.size, self.size, 1, channels), jnp.float32)


class Absent(nn.Module):
    """In place of a block that is not there."""

    @nn.compact
    def __call__(self, inputs, train: bool):
        return inputs[0]
