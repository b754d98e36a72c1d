"""A pretrained decoder planned for devices that are not there, by its settings, without a weight."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jaxnas import check
from jaxnas.planning._plan import fits, planned
from jaxnas.planning.targets import targets
from jaxnas.pretrained._abstract import abstract, settings_of
from jaxnas.pretrained.placement import check_divides


def plan_decoder(
    decoder: str | os.PathLike | Mapping[str, Any],
    target: str,
    workdir: str | pathlib.Path | None = None,
    *,
    length: int = 2048,
    batch: int = 1,
    dtype: str = "bfloat16",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compiles a pretrained decoder, divided between all devices of a target as `pretrained.partition_spec` says.

    Args:
      decoder: a `config.json` in Hugging Face's layout, the folder that has it, or what is in it. Weights are not read.
      target: names, "v5e:2x4,h100:8".
      workdir: where `plan.json` goes, as each target is there; nowhere by default.
      length: tokens of a sequence, and of the cache.
      batch: sequences.
      dtype: of parameters and of the cache, "float32" or "bfloat16".
      say: is told what comes out, line by line.

    Returns:
      As `planning.plan`, with the programs "prefill", logits `[batch, length, vocabulary]` float32 of whole sequences,
      and "decode", the most probable next token of each sequence after a cache of that length. A step is one of decode.
      `bound`, of each program too, has the least that a device must move and compute (`step_bytes`, `step_flops`,
      `step_ms`), and `collectives_ms`, the least that what it sends takes at its links' published rate. Estimates are
      of kernels, at least `step_ms`; collectives are not in them.

    Raises:
      InputError: what `pretrained.load` refuses of settings; an unknown target, or one whose devices do not divide
        heads, groups of keys and values or hidden features; more positions than the model has; an extra that is not
        installed.
    """
    wanted = targets(target)
    check.integer("batch", batch, least=1)
    check.integer("length", length, least=1)
    model = abstract(decoder, dtype=dtype, length=length)
    for each in wanted:
        if each.platform != "cpu":  # its devices are those of the process that compiles
            check_divides(f"target {each.name}", model.variables, each.count)
    request = {"decoder": dict(settings_of(decoder)[1]), "length": int(length), "batch": int(batch), "dtype": dtype}
    return planned("jaxnas.planning.decoding", request, wanted, workdir, summary, say)


def summary(found: Mapping[str, Any]) -> list[str]:
    """One target in a few lines."""
    if found["bytes"] is None:
        return [f"does not compile: {found['why_not']}"]
    lines = [fits(found)]
    for name, what in (("prefill", "whole sequences"), ("decode", "a token")):
        bound = found["programs"].get(name, {}).get("bound")
        if bound:
            lines.append(
                f"{what}: {bound['estimated_ms']:.3g} ms ({found['estimate']}), {bound['times_the_least']:.1f} times "
                f"the least it could take; bound by {bound['by']}; collectives {bound['collectives_ms']:.2g} ms or more"
            )
    return lines
