"""The MobileNetV2 chain (Sandler et al., 2018), searched by MnasNet (Tan et al., 2019), ProxylessNAS (Cai, Zhu and Han,
2019) and Once-for-All (Cai et al., 2020): kernel, expansion, depth and width of inverted residual blocks."""

from collections.abc import Sequence
from typing import Any

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.spaces._categorical import categorical
from jaxnas.types import Space

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 6)
DEPTHS = (2, 3, 4)
WIDTHS = (0.75, 1.0, 1.25)


def mobilenet(
    *,
    stages: int = 5,
    kernels: Sequence[int] = KERNELS,
    expansions: Sequence[int] = EXPANSIONS,
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[float] = WIDTHS,
) -> Space:
    """A chain of `stages` stages; decisions are `stage_0_kernel`, `stage_0_expansion`, `_depth`, `_width`, and so on.

    The blocks of a stage are alike, as in MnasNet; the others let kernel and expansion differ from block to block.
    A factor with a single option is fixed: there is no decision of it. The network is given the same options.

    Args:
      stages: how many.
      kernels: sizes of the depthwise convolutions, odd.
      expansions: hidden channels of a block, as a multiple of its input's.
      depths: blocks of a stage.
      widths: multiples of the stage's channels.

    Raises:
      InputError: a factor without options, or with one out of its range.
    """
    check.integer("stages", stages, least=1)
    options = factors(kernels=kernels, expansions=expansions, depths=depths, widths=widths)
    decisions = {f"stage_{i}_{factor}": o for i in range(stages) for factor, o in options.items() if len(o) > 1}
    return categorical(decisions, name="mobilenet")


def factors(
    *, kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int], widths: Sequence[float]
) -> dict[str, tuple[Any, ...]]:
    """What is decided in each stage -> its options; raises `InputError` for those that cannot be built."""
    given = {"kernels": kernels, "expansions": expansions, "depths": depths, "widths": widths}
    for argument, options in given.items():
        if not check.sequence(argument, options):
            raise InputError(f"{argument}: expected at least one option, got none.")
        for option in options:
            if argument == "widths":
                check.real(argument, option, least=0)
            else:
                check.integer(argument, option, least=1)
        if len(set(options)) < len(options):
            raise InputError(f"{argument}: expected options that differ, got {list(options)}.")
    for kernel in kernels:
        if kernel % 2 == 0:
            raise InputError(f"kernels: expected odd sizes, which have a centre, got {kernel}.")
    if min(widths) == 0:
        raise InputError("widths: expected multiples above 0, got 0.")
    return {argument.removesuffix("s"): tuple(options) for argument, options in given.items()}
