"""The factories that come with the library, and what each is handed."""

from jaxnas import costs, evaluators, networks, pretrained, problems, spaces, strategies, tasks, training
from jaxnas.config import carried, lookup
from jaxnas.config.registry import register
from jaxnas.costs import on_device, sizes

for space in (spaces.mobilenet, spaces.nasbench101, spaces.nasbench201, spaces.nasnet, spaces.darts):
    register("space", space.__name__, space)
register("space", "categorical", spaces.categorical)
register("space", "layers", spaces.layers)
register("space", "transformer", spaces.transformer)
register("space", "encoder_decoder", spaces.encoder_decoder)
register("space", "evolved_transformer", spaces.evolved_transformer)
register("space", "replacements", pretrained.replacement_space, takes=("parent",))
register("space", "graph", spaces.graph, takes=("inputs", "outputs"))

register("network", "nasbench201", networks.NasBench201, takes=("classes",))
register("network", "nasnet", networks.NasNet, takes=("classes",))
register("network", "darts", networks.Darts, takes=("classes",))
register("network", "mobilenet", networks.MobileNet, takes=("classes",))
register("network", "layers", networks.Layers, takes=("classes",))
register("network", "transformer", networks.Transformer, takes=("classes",))
register("network", "encoder_decoder", networks.EncoderDecoder, takes=("classes",))
register("network", "evolved_transformer", networks.EvolvedTransformer, takes=("classes",))
register("network", "replacements", pretrained.replacement_network, takes=("parent",))
register("network", "resnet", networks.ResNet, takes=("classes",))
register("network", "graph", networks.GraphNetwork)

for task in (tasks.npz, tasks.folder, tasks.tfds):
    register("task", task.__name__, task, accepts=(tasks.classification,), without=("num_examples",))
for task in (tasks.digits, tasks.digit_properties, tasks.digit_rows, tasks.diabetes, tasks.breast_cancer):
    register("task", task.__name__, task)
for task in (tasks.text, tasks.sums, tasks.shapes, tasks.recall, tasks.copying, tasks.number_words, tasks.spans):
    register("task", task.__name__, task)
register(
    "task",
    "text_for_model",
    pretrained.text_for_model,
    accepts=(tasks.text,),
    without=("level", "vocabulary", "tokens"),
)
for problem in (problems.xor, problems.cart_pole):
    register("problem", problem.__name__, problem)

register("parent", "checkpoint", pretrained.checkpoint, takes=("task",))
register("parent", "trained", pretrained.trained, takes=("task",), accepts=(training.Recipe,), without=("say",))

for strategy in (
    strategies.bananas,
    strategies.beam_search,
    strategies.enas,
    strategies.exhaustive,
    strategies.fair_paths,
    strategies.local_search,
    strategies.mcts,
    strategies.neat,
    strategies.ppo,
    strategies.random_search,
    strategies.regularized_evolution,
    strategies.reinforce,
    strategies.sandwich,
):
    register("strategy", strategy.__name__, strategy, takes=("space",))
for strategy in (strategies.darts, strategies.gdas, strategies.binary_gates):
    register("strategy", strategy.__name__, strategy, takes=("space", "expected_cost"))
for strategy in (strategies.hurdles, strategies.hyperband, strategies.successive_halving):
    register("strategy", strategy.__name__, strategy, takes=("space", "budgets"))
register("warm_start", "warm_start", strategies.warm_start, takes=("strategy", "space"))
register("early_stopping", "curvature", strategies.early_stopping, takes=("strategy",))
for strategy in (strategies.additive, strategies.nsga2):
    register("strategy", strategy.__name__, strategy, takes=("space", "costs"))

NETWORK = ("space", "network", "task")
TRAINED = {"takes": (*NETWORK, "parent"), "accepts": (training.Recipe,)}
register("evaluator", "training", evaluators.training, **TRAINED)
register("evaluator", "supernet", evaluators.supernet, **{**TRAINED, "takes": (*TRAINED["takes"], "devices")})
register("evaluator", "zero_cost", evaluators.zero_cost, takes=NETWORK)
register("evaluator", "table", lookup.from_table, takes=("space", "space_name"))
register("evaluator", "direct", carried.by_fitness, takes=(*NETWORK, "problem", "fine_tune"))

register("cost", "latency", on_device.latency, takes=(*NETWORK, "workdir"))
register("cost", "estimated_latency", on_device.estimated_latency, takes=NETWORK)
for cost in (on_device.prefill_latency, on_device.decode_latency):
    register("cost", cost.__name__, cost, takes=(*NETWORK, "workdir"))
for cost in (sizes.cache_size, sizes.parameter_count):
    register("cost", cost.__name__, cost, takes=NETWORK)
register("cost", "peak_memory", on_device.peak_memory, takes=(*NETWORK, "workdir"))
for objective in (costs.constraint, costs.penalty, costs.weighted_product):
    register("objective", objective.__name__, objective)
