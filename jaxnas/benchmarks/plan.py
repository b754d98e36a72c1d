"""What the project's main programs need on devices that are not there: compiled, and read, see `jaxnas.planning`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnas import check, tasks
from jaxnas.benchmarks import side_by_side
from jaxnas.check import InputError
from jaxnas.config.files import get_config
from jaxnas.planning import plan, plan_decoder

_SIZES = {"digits": {"image": 8, "channels": 8, "cells": 1}, "full": {"image": 32, "channels": 16, "cells": 5}}


def images(image: int = 32, train: int = 1024, held_out: int = 256) -> tasks.Task:
    """A task of random images, `image` pixels high and wide."""
    return side_by_side.random_images(np.random.default_rng(0), image, train=train, validation=held_out, test=held_out)


def cifar10(path: str = "", train: int = 50_000, test: int = 10_000, **options) -> tasks.Task:
    """Random images of CIFAR-10's number and size, for plans where the data are not.

    Args:
      path: of the file that they stand for, which is not read.
      train: images to train and validate with.
      test: images to test with.
      **options: of `tasks.npz`.
    """
    random = np.random.default_rng(0)
    of = lambda n: (random.integers(0, 256, (n, 32, 32, 3), np.uint8), random.permutation(np.arange(n) % 10))
    return tasks.classification("cifar10", of(train), of(test), where="random images", **options)


def imagenet() -> tasks.Task:
    """Random images of 64x64 pixels and 1,000 classes, few of them, as the whole is streamed; 10,000 to validate."""
    random = np.random.default_rng(0)
    of = lambda n: (random.integers(0, 256, (n, 64, 64, 3), np.uint8), np.arange(n) % 1000)
    return tasks.classification("imagenet", of(12_500), of(1000), where="random images", validation=0.8)


def landmark(name: str) -> dict[str, Any]:
    """A config at its paper's size, on random images in the place of a file or a dataset."""
    config = get_config(name)
    if "dataset" in config["task"]:
        return {**config, "task": {"name": f"{__name__}:imagenet"}}
    if "path" in config["task"]:
        return {**config, "task": {**config["task"], "name": f"{__name__}:cifar10"}}
    return config


def _nasbench201(size: str, networks: int, evaluator: dict, budget: int = 0, **data) -> dict[str, Any]:
    image, channels, cells = _SIZES[size].values()
    return {
        "seed": 0,
        "rounds": 1,
        "space": {"name": "nasbench201"},
        "network": {"name": "nasbench201", "channels": channels, "cells": cells},
        "task": {"name": f"{__name__}:images", "image": image, **data},
        "strategy": {"name": "random_search", "proposals": networks, "budget": budget},
        "evaluator": evaluator,
    }


def _darts(order: str) -> dict[str, Any]:
    return {
        "seed": 0,
        "rounds": 1,
        "space": {"name": "darts"},
        "network": {"name": "darts", "channels": 16, "cells": 8},
        "task": {"name": f"{__name__}:images"},
        "strategy": {"name": "darts"},
        "evaluator": {"name": "supernet", "batch_size": 64, "steps": 1000, "order": order},
    }


_TRAINING = {"name": "training", "batch_size": 64}
_WHOLE = {"train": 50_000, "held_out": 10_000}
DISTINCT, EPOCHS = 6466, 200
"""Networks of NAS-Bench-201 that differ, and epochs of CIFAR-10 that each was trained for."""
PROGRAMS: dict[str, dict[str, Any]] = {
    "training_digits_64": _nasbench201("digits", 64, _TRAINING, 50),
    "training_digits_128": _nasbench201("digits", 128, _TRAINING, 50),
    "training_full_64": _nasbench201("full", 64, _TRAINING, 50),
    "darts_first_order": _darts("first"),
    "darts_second_order": _darts("finite_difference"),
    "synflow_full_128": _nasbench201("full", 128, {"name": "zero_cost", "proxies": "synflow", "batch_size": 64}),
    "synflow_all": _nasbench201(
        "full", 15625, {"name": "zero_cost", "proxies": "synflow", "batch_size": 64, "plan": "vmap", "chunk": 125}
    ),
    "nasbench201_anew": _nasbench201(
        "full", DISTINCT, {"name": "training", "batch_size": 256}, EPOCHS * (50_000 // 256), **_WHOLE
    ),
}
LANDMARKS = (
    *("nasnet", "amoebanet", "random_nasnet", "darts", "enas", "gdas", "spos", "mnasnet", "proxylessnas"),
    *("nasbench201_supernet", "zerocost"),
)
"""Configs at their papers' size, of CIFAR-10's images."""
CONFIGS = (*LANDMARKS, "autoformer", "gpt", "hat", "hybrid", "once_for_all")
DECODERS: dict[str, dict[str, Any]] = {
    "llama_8b": {
        "decoder": {
            "model_type": "llama",
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 14336,
            "vocab_size": 128256,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "tie_word_embeddings": False,
        },
        "length": 2048,
        "batch": 1,
    },
}
"""Arguments of `plan_decoder`, with the settings of Llama 3.1 (Grattafiori et al., 2024)."""
KEPT = (
    *("fits", "bytes", "execution", "devices", "members_per_device", "largest_population", "why_not"),
    *("ms_per_step_estimated", "ms_per_step_and_member_estimated", "seconds_per_round_estimated", "hours_estimated"),
    *("bound", "estimate"),
)


def measure(
    *, programs: Sequence[str] = ("training_digits_64",), target: str = "cpu", chunk: int | None = None
) -> dict[str, Any]:
    """Compiles programs for a device that need not be there: seconds of compiling, memory, code, kernels, estimates.

    Args:
      programs: names of `PROGRAMS`: training_digits_64, training_digits_128, training_full_64, darts_first_order,
        darts_second_order, synflow_full_128, synflow_all, nasbench201_anew; of `CONFIGS`; of `DECODERS`: llama_8b;
        "landmarks" for the papers' configs.
      target: one of them, see `jaxnas.planning.targets`.
      chunk: members side by side on a device, of programs that train them so; all by default.

    Returns:
      `{program: {fits, bytes, ms_per_step_and_member_estimated, …, evaluate: {trace_seconds, compile_seconds, …}}}`; of
      a decoder with `prefill` and `decode` in the place of `evaluate`.

    Raises:
      InputError: an unknown program or target, or a missing extra.
    """
    figures: dict[str, Any] = {}
    programs = [each for name in programs for each in (LANDMARKS if name == "landmarks" else (name,))]
    for name in programs:
        check.one_of("programs", name, (*PROGRAMS, *CONFIGS, *DECODERS, "landmarks"))
    for name in programs:
        try:
            (found,) = _planned(name, target, chunk)["targets"].values()
        except InputError as error:
            figures[name] = {"error": str(error)}
            continue
        figures[name] = {k: found[k] for k in KEPT if found.get(k) is not None}
        main = ("evaluate", "call", "warm_up evaluate", "warm_up call", "prefill", "decode")
        figures[name] |= {each: found["programs"][each] for each in main if each in found["programs"]}
        print(f"{name}: {figures[name]}", flush=True)
    return figures


def _planned(name: str, target: str, chunk: int | None) -> dict[str, Any]:
    say = lambda text: None
    if name in DECODERS:
        return plan_decoder(target=target, say=say, **DECODERS[name])
    config = PROGRAMS.get(name) or landmark(name)
    if chunk is not None and config["evaluator"]["name"] == "training":
        config = {**config, "evaluator": {**config["evaluator"], "plan": "vmap", "chunk": chunk}}
    return plan(config, target, say=say)
