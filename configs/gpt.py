"""A decoder on text: heads, key-value groups, feed-forward network and norm of every layer, width and depth.

    jaxnas search --config=gpt:small                                # the source files of Python's own library
    jaxnas search --config=gpt --config.task.source= --config.task.path=FILE_OR_FOLDER   # your own, for an accelerator
    jaxnas search --config=gpt:small,zero_shot                      # by a score at initialization, without training

Bytes are the tokens; `--config.task.level=bpe` joins them. What is found is retrained beside what random search finds
and the plain decoder (attention, GELU of four times the width, RMS norm before) of as many parameters.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

RECIPE = {
    "optimizer": {"name": "adamw", "b2": 0.95},
    "weight_decay": 0.1,
    "no_decay": ("*/scale", "*/embedding"),
    "clip_norm": 1.0,
}
PLAIN = {"name": "transformer", "scaled": "widths", "widths": (64,)}


def _config(
    options: dict, task: dict, network: dict, strategy: dict, evaluator: dict, rounds: int, retrain: dict
) -> dict:
    return {
        "seed": 0,
        "rounds": rounds,
        "space": {"name": "transformer", **options},
        "task": {"name": "text", **task},
        "network": {"name": "transformer", **options, **network},
        "strategy": {"name": "regularized_evolution", **strategy},
        "evaluator": {"name": "training", "fitness": "loss", **RECIPE, **evaluator},
        "random_search": True,
        "yardstick": {
            **PLAIN,
            **{key: options[key] for key in ("layers", "head_sizes")},
            **{key: (max(options["heads"]),) for key in ("heads", "groups")},
        },
        "retrain": retrain,
    }


SMALL = _config(
    {
        "layers": 3,
        "heads": (2, 4),
        "groups": (1, 2, 4),
        "head_sizes": (16,),
        "ratios": (1, 2, 4),
        "activations": ("gelu", "relu2", "swiglu"),
        "norms": ("rms", "layer"),
        "widths": (32, 48, 64),
        "depths": (2, 3),
    },
    {"source": "python", "limit": 400_000, "length": 64},
    {},
    {"population_size": 16, "tournament_size": 5, "proposals": 8, "budget": 100},
    {"batch_size": 16, "learning_rate": 3e-3, "warm_up": 20},
    rounds=8,
    retrain={"steps": 400, "seeds": 3},
)
PAPER = _config(
    {
        "layers": 12,
        "heads": (4, 8, 12),
        "groups": (1, 2, 4, 12),
        "head_sizes": (64,),
        "ratios": (2, 3, 4),
        "activations": ("gelu", "relu2", "swiglu"),
        "norms": ("rms", "layer"),
        "widths": (384, 576, 768),
        "depths": (8, 10, 12),
    },
    {"source": "python", "length": 1024},
    {},
    {"population_size": 100, "tournament_size": 25, "proposals": 16, "budget": 2000},
    {"batch_size": 64, "learning_rate": 6e-4, "warm_up": 200},
    rounds=100,
    retrain={"steps": 50_000, "seeds": 3},
)
ZERO_SHOT = {"name": "zero_cost", "proxies": "snip", "batch_size": 16}


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL, zero_shot={"evaluator": ZERO_SHOT})
