"""AutoFormer (Chen, Peng, Fu and Ling, 2021): vision transformers whose sizes are prefixes of one supernet's.

    jaxnas search --config=autoformer:small             # digits; one random path a step, as in the paper
    jaxnas search --config=autoformer:small,sandwich    # the largest, two random ones and the smallest, together
    jaxnas search --config=autoformer:small,distilled   # and all others learn from the largest
    jaxnas search --config=autoformer:small,ordered     # and the largest was trained before, its features ordered
    jaxnas search --config=autoformer --config.task.dataset=NAME   # of TensorFlow Datasets; by default ImageNet

Heads and hidden features are chosen by layer, width and depth for all: every smaller one has a prefix of the weights of
a larger. Evolution then scores what each path inherits, accuracy against parameters; what is recommended is the most
accurate with at most half of the largest one's. At `:small` it is trained from scratch, but for `ordered`, where it
begins with the largest one's values; at the paper's sizes it goes on from what it inherits (`retrain.inherit`).

    jaxnas analyse --what=correlate --workdir=DIR --architectures=32

says how inherited accuracy ranks networks that are trained alone.
"""

from ml_collections import ConfigDict

from jaxnas.config import at_scale

from ._elastic import plain

RECIPE = {
    "optimizer": "adamw",
    "weight_decay": 0.05,
    "no_decay": ("*/bias", "*/scale"),
    "clip_norm": 1.0,
}
PATCHES = {"causal": False, "each": False, "vocabulary": 0}


def _config(
    options: dict, patch: int, task: dict, steps: int, rounds: int, strategy: dict, recipe: dict, retrain: dict
) -> dict:
    transformer = {"name": "transformer", **options}
    return {
        "seed": 0,
        "rounds": rounds,
        "space": transformer,
        "task": task,
        "network": {**transformer, **PATCHES, "patch": patch},
        "warm_up": {"name": "random_search", "budget": 1, "proposals": 10, "rounds": steps // 10},
        "strategy": {"name": "nsga2", **strategy},
        "evaluator": {"name": "supernet", "steps": steps, "fitness": "loss", **RECIPE, **recipe},
        "cost": {"name": "parameter_count"},
        "reference": "largest",
        "recommend": {"parameters_k": "50%"},
        "random_search": True,
        "yardstick": {"name": "transformer", **plain(options), **PATCHES, "patch": patch, "scaled": "widths"},
        "retrain": {"seeds": 3, **retrain},
    }


SMALL = _config(
    {
        "layers": 4,
        "heads": (2, 3, 4),
        "groups": (4,),
        "head_sizes": (8,),
        "ratios": (1, 2, 4),
        "widths": (16, 24, 32),
        "depths": (2, 3, 4),
    },
    2,
    {"name": "digits"},
    2000,
    16,
    {"population_size": 32, "proposals": 16},
    {"batch_size": 64, "learning_rate": 5e-3, "warm_up": 50},
    {"steps": 1200},
)
PAPER = _config(
    {
        "layers": 14,
        "heads": (3, 4),
        "groups": (4,),
        "head_sizes": (64,),
        "ratios": (3.5, 4),
        "norms": ("layer",),
        "widths": (192, 216, 240),
        "depths": (12, 13, 14),
    },
    4,
    {"name": "tfds", "dataset": "imagenet_resized/64x64", "test_split": "validation", "stream": True},
    625_000,
    20,
    {"population_size": 50, "proposals": 50},
    {"batch_size": 1024, "learning_rate": 1e-3, "warm_up": 25_000, "examples": 10_000, "label_smoothing": 0.1},
    {"steps": 50_000, "seeds": 1, "inherit": True, "learning_rate": 1e-4, "plan": "bucket"},
)


def _together(config: dict, in_place: float) -> dict:
    """Of the config, what changes where four paths step together; a quarter of the steps, so as many paths."""
    steps = config["evaluator"]["steps"] // 4
    return {
        "warm_up": {"name": "sandwich", "rounds": steps},
        "evaluator": {**config["evaluator"], "steps": steps, "together": True, "in_place": in_place},
    }


def _ordered(config: dict) -> dict:
    """Of the config, what changes where the supernet begins with the largest network, trained first.

    Its hidden features are ordered by importance, so that smaller networks begin with those that matter most.
    """
    yardstick = {k: v for k, v in config["yardstick"].items() if k not in ("name", "scaled")}
    recipe = {k: v for k, v in config["evaluator"].items() if k not in ("name", "steps", "fitness", "examples")}
    steps = config["evaluator"]["steps"] // 4
    return {**_together(config, 1.0), "parent": {"name": "trained", "network": yardstick, "steps": steps, **recipe}}


def get_config(scale: str = "paper") -> ConfigDict:
    of = PAPER if scale.startswith("paper") else SMALL
    return at_scale(
        scale, PAPER, SMALL, sandwich=_together(of, 0.0), distilled=_together(of, 1.0), ordered=_ordered(of)
    )
