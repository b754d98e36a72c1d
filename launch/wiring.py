"""From a config to the parts it names. Everything else in the project knows only its own part."""

import argparse
import contextlib
import difflib
import importlib
import inspect
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxnas import check, costs, evaluators, networks, processes, spaces, strategies, tables, tasks
from jaxnas.check import InputError
from jaxnas.types import Evaluator, Space, Strategy
from jaxnas.workdir import read_config
from launch.latency import COST, Latency, latency_of


class Parts(NamedTuple):
    """What a search is made of; `network` and `task` are None where the evaluator needs none.

    `warm_up` is the strategy of a first phase, on whose evaluator's state `strategy` goes on; or None. `latency` is
    where the cost comes from; None where it is no latency.
    """

    space: Space
    network: nn.Module | None
    task: tasks.Task | None
    strategy: Strategy
    evaluator: Evaluator
    warm_up: Strategy | None = None
    latency: Latency | None = None


def table_file(
    space: Space,
    path: str,
    fitness: str,
    seeds: str | int = "mean",
    costs: str | Sequence[str] = "",
    named: str = "",
) -> Evaluator:
    """A table evaluator from column `fitness` of a table's file, or of an embedded table by its name.

    `costs` are names of its cost columns, or of training seconds: a sequence, or text separated by commas. Decisions
    and options of the space are found in the table's by name, in whatever order each has them. `named` is the config's
    name of the space, see `space_of`.
    """
    table = opened(path)
    column = table.column(fitness)
    rows = rows_of(table, space, f"config.evaluator.path: {path}", named)
    if space.from_index is None:  # too large to enumerate: what the table knows is all there is
        space, places = space_of(table, named), np.arange(len(table.rows))
    else:
        places = rows(jax.vmap(space.from_index)(np.arange(space.size)))
    values = table.by_genome(fitness)[places] * (1 if column.higher_is_better else -1)
    given = {name: values[places] for name, values in cost_columns(table, costs).items()}
    budgets = column.budgets if len(column.budgets) > 1 else ()
    return evaluators.table(space, values, budgets=budgets, seeds=seeds, costs=given)


def rows_of(table: tables.Table, space: Space, where: str, named: str = "") -> Callable[[Any], np.ndarray]:
    """`genomes [n, D] of the space -> [n]`, their places in the table's enumeration.

    Decisions and options are matched by name (`16` and `16.0` are one), whatever order the two have them in; options
    that the table has besides do no harm.

    Raises:
      InputError: the table is of other decisions, or lacks an option, which it names; `where` begins the message.
    """
    known = space_of(table, named)
    others = sorted(set(space.decisions) ^ set(known.decisions))
    if others:
        raise InputError(
            f"{where} is a table of decisions {', '.join(known.decisions)}, but space {space.name!r} has "
            f"{', '.join(space.decisions)}; they differ in {', '.join(others)}."
        )
    order = [space.decisions.index(name) for name in known.decisions]
    places = []
    for name, options, i in zip(known.decisions, known.options, order, strict=True):
        own = space.options[i]
        lacking = [option for option in own if not any(_same(option, other) for other in options)]
        if lacking:
            raise InputError(
                f"{where} has no option {lacking[0]!r} of decision {name!r}, which space {space.name!r} has; it has "
                f"{', '.join(map(str, options))}."
            )
        places.append(np.array([next(j for j, other in enumerate(options) if _same(o, other)) for o in own], np.int32))

    def rows(genomes) -> np.ndarray:
        genomes = np.asarray(genomes)
        mapped = np.stack([place[genomes[:, i]] for place, i in zip(places, order, strict=True)], 1)
        return np.asarray(jax.vmap(known.index)(jnp.asarray(mapped)))

    return rows


def _same(a: Any, b: Any) -> bool:
    """Whether two options are one: by their text, or as numbers."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return str(a) == str(b) or (numbers and a == b)


def cost_columns(table: tables.Table, names: str | Sequence[str]) -> dict[str, np.ndarray]:
    """name -> `[size of the space]`: costs of each genome, the mean over seeds, of the largest budget; NaN for unknown.

    Raises:
      InputError: a column that is none of costs or seconds, listing those.
    """
    if isinstance(names, str):
        names = [name for name in names.split(",") if name]
    if not isinstance(names, (list, tuple)):
        raise InputError(f"table {table.name!r}, costs: expected names of columns, got {names!r}.")
    known = [name for name, column in table.columns.items() if column.kind != "metric"]
    for name in names:
        check.one_of(f"table {table.name!r}, costs", name, known)
    columns = {name: table.by_genome(name)[:, :, -1] for name in names}
    return {name: mean_of_known(column) for name, column in columns.items()}


def mean_of_known(columns: np.ndarray) -> np.ndarray:
    """`[N]` the mean of each row of `[N, S]` over what is known of it, NaN where nothing is."""
    known = np.isfinite(columns)
    count, total = known.sum(1), np.where(known, columns, 0).sum(1, dtype=np.float64)
    # As precise as the column is: digits beyond would look like differences.
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(columns.dtype)


def opened(name: str) -> tables.Table:
    """The table of a file (also the arrays that `tables.arrays` reads), or the embedded one of that name."""
    path = check.local_path("table", name)
    if not path.suffix and not path.exists():
        path = tables.embedded(name)
    return tables.load(path) if tables.is_table(path) else tables.arrays.read(path)


def looked_up(space: Space, path: str, metric: str, genomes, named: str = "") -> np.ndarray:
    """`[n]` what a table says of `genomes` `[n, D]`: the mean over trainings of the largest budget, NaN for unknown.

    `named` is the config's name of the space, see `space_of`.
    """
    table = opened(path)
    rows = rows_of(table, space, f"table: {path}", named)(genomes)
    values = np.append(mean_of_known(table.by_genome(metric)[:, :, -1]), np.nan)  # the last for genomes without a row
    return values[np.minimum(rows, len(values) - 1)]


def higher_is_better(path: str, metric: str) -> bool:
    """Of a column of a table's file."""
    return opened(path).column(metric).higher_is_better


def known_of(space: Space, config: Mapping[str, Any], genome) -> dict[str, dict[str, float]]:
    """What `config.table` (`path`, `metric`) says of a genome: `{"table": {metric: value}}`; empty without a path."""
    table = config.get("table") or {}
    if not table.get("path"):
        return {}
    named = (config.get("space") or {}).get("name", "")
    value = looked_up(space, table["path"], table["metric"], genome[None], named)[0]
    return {"table": {table["metric"]: float(value)}}


def space_of(table: tables.Table, named: str = "") -> Space:
    """The space whose genomes the table knows.

    A file is data: where it names a user's own space, `package.module:function`, that code is only run if the config
    names it as well.

    Raises:
      InputError: a space of somebody's own that is not `named`; not as many rows as that space has genomes.
    """
    name = table.space["name"]
    if ":" in name and name != named:
        raise InputError(
            f"table {table.name!r} is of space {name!r}, which is code: if you know it, name it in config.space, got "
            f"{named!r} there."
        )
    space = make("space", {**table.space, **({} if table.codes is None else {"codes": table.codes})})
    genomes = space.size if table.codes is None else len(table.codes)
    if len(table.rows) != genomes:
        raise InputError(
            f"table {table.name!r}: {len(table.rows)} rows for the {genomes} genomes of space {space.name!r}."
        )
    return space


def by_fitness(
    space: Space,
    task: tasks.Task | tasks.Problem | None = None,
    network: networks.GraphNetwork | None = None,
    tune: Callable | None = None,
    *,
    fitness: Callable | None = None,
    examples: int = 0,
    target: float = 1.0,
) -> Evaluator:
    """A direct evaluator: by the fitness of a problem, of a task's training examples, or by a function of the user's.

    The latter, `package.module:function` in a config, is `(key, genome)`, or with a network `(apply, genome, key)`.
    `tune` is what the weights go through first; `examples` and `target` are of `tasks.supervised`.
    """
    if fitness is not None:
        return evaluators.direct(fitness, network=network)
    if task is None or network is None:
        lacking = "task" if task is None else "network"
        raise InputError(f"config.{lacking}: evaluator 'direct' needs one, or a function config.evaluator.fitness.")
    problem = task if isinstance(task, tasks.Problem) else tasks.supervised(task, examples=examples, target=target)
    genome = jax.eval_shape(space.sample, jax.random.key(0))
    if not isinstance(genome, spaces.Graph):
        raise InputError(f"config.space: network 'graph' needs space 'graph', got {space.name!r}.")
    if problem.memory and not genome.recurrent:
        raise InputError(f"config.space.recurrent: task {problem.name!r} takes memory, give recurrent=True.")
    if tune is None:
        return evaluators.direct(problem.fitness, network=network)
    tuned = lambda apply, genome, key: problem.fitness(apply, tune(key, genome), key)
    return evaluators.direct(tuned, network=network)


def _strategies() -> dict[str, Callable]:
    """The public strategies on a space (not those that wrap another)."""
    factories = {name: getattr(strategies, name) for name in strategies.__all__}
    signatures = {name: inspect.signature(f) for name, f in factories.items()}
    return {
        n: factories[n] for n, s in signatures.items() if s.return_annotation is Strategy and "space" in s.parameters
    }


KNOWN: dict[str, dict[str, Callable]] = {
    "space": {
        "mobilenet": spaces.mobilenet,
        "nasbench101": spaces.nasbench101,
        "nasbench201": spaces.nasbench201,
        "nasnet": spaces.nasnet,
        "darts": spaces.darts,
        "graph": spaces.graph,
        "categorical": spaces.categorical,
    },
    "network": {
        "nasbench201": networks.NasBench201,
        "nasnet": networks.NasNet,
        "darts": networks.Darts,
        "mobilenet": networks.MobileNet,
        "graph": networks.GraphNetwork,
    },
    "task": {
        "digits": tasks.digits,
        "npz": tasks.npz,
        "folder": tasks.folder,
        "tfds": tasks.tfds,
        "xor": tasks.xor,
        "cart_pole": tasks.cart_pole,
    },
    "strategy": _strategies(),
    "evaluator": {
        "training": evaluators.training,
        "supernet": evaluators.supernet,
        "table": table_file,
        "zero_cost": evaluators.zero_cost,
        "direct": by_fitness,
    },
    "objective": {
        "constraint": costs.constraint,
        "penalty": costs.penalty,
        "weighted_product": costs.weighted_product,
    },
}


SEARCH_KEYS = ("space", "strategy", "evaluator", "seed", "rounds")
"""What the config of a search must have."""
PART_KEYS = ("network", "task", "warm_up", "early_stopping", "cost", "objective", "fine_tune")
"""What else its parts are made of."""
LATER_KEYS = ("retrain", "random_search", "reference", "residual", "table", "reference_point")
"""What comes after a search, or is said of it: the run is the same whatever these are."""


def check_keys(config: Mapping[str, Any], required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises `InputError` for a key that the config lacks, or that nothing reads, with the nearest."""
    for key in config:
        check.one_of("config", key, (*required, *optional))
    for key in required:
        if config.get(key) is None:
            raise InputError(f"config.{key}: expected a value, the config has none.")
    check.seed("config.seed", config.get("seed"))


def build(
    config: Mapping[str, Any], workdir: pathlib.Path | None = None, devices: Sequence[Any] | None = None
) -> Parts:
    """Builds the parts that `config.space`, `.network`, `.task`, `.strategy`, `.evaluator` and `.warm_up` name.

    Each is a dict with a `name`, known here or `package.module:factory` of the user's own, and its arguments;
    `.warm_up` has `rounds` besides. `config.early_stopping` has the arguments of that wrapper; a window of 0 is none.
    `config.cost` is the latency on this device (see `launch.latency`), by the workdir's table where it has one; a
    strategy may take its expectation. `config.objective` is how a cost counts in fitness. Both are dicts with a name
    too; without a name, there is none. `devices` are to share the batches of a supernet.

    Raises:
      InputError: an unknown name or argument, with the nearest known one; limits or a target that nobody in the
        evaluator's table meets.
    """
    for kind in ("space", "strategy", "evaluator", *PART_KEYS):
        given = config.get(kind)
        if (not given and kind in ("space", "strategy", "evaluator")) or not isinstance(given or {}, Mapping):
            raise InputError(f"config.{kind}: expected a dict with a name, got {given!r}.")
    task = make("task", config["task"]) if config.get("task") else None
    space = make("space", config["space"], **ends_of(task))
    network = None
    if config.get("network"):
        network = make("network", config["network"], classes=task.outputs if task else None)
    if isinstance(task, tasks.Problem) and config["evaluator"].get("name") in set(KNOWN["evaluator"]) - {"direct"}:
        raise InputError(f"config.evaluator.name: task {task.name!r} has nothing to train on; it is for 'direct'.")
    tune = tuning_of(config, task, network)
    if tune is not None and config["fine_tune"].get("inherited", True):
        space, tune = networks.inherited(space, tune), None
    evaluator = make(
        "evaluator",
        config["evaluator"],
        space=space,
        network=network,
        task=task,
        devices=devices,
        tune=tune,
        named=config["space"]["name"],
    )
    if devices is not None and "shared" not in evaluator.gives:
        raise InputError(
            f"data_parallel: evaluator {evaluator.name!r} splits its population over all devices, not its batches."
        )
    cost = latency_of(config, space, network, task, workdir)
    if cost is not None:
        evaluator = evaluators.with_cost(evaluator, cost.model.latency, COST)
    evaluator = with_objective(evaluator, config.get("objective"))
    strategy = make_strategy(config["strategy"], space, evaluator, cost)
    stopping = config.get("early_stopping") or {}
    if stopping.get("window"):
        strategy = strategies.early_stopping(strategy, **stopping)
    first = config.get("warm_up")
    warm_up = None
    if first:
        warm_up = make_strategy({k: v for k, v in first.items() if k != "rounds"}, space, evaluator)
    return Parts(space, network, task, strategy, evaluator, warm_up, cost)


def ends_of(task: tasks.Task | tasks.Problem | None) -> dict[str, int]:
    """Inputs and outputs of a network for the task."""
    if task is None:
        return {}
    inputs = task.inputs if isinstance(task, tasks.Problem) else int(np.prod(task.input_shape))
    return {"inputs": inputs, "outputs": task.outputs}


def tuning_of(config: Mapping[str, Any], task, network) -> Callable | None:
    """The gradient descent of `config.fine_tune` (`steps`, `learning_rate`, `inherited`); None without steps."""
    given = dict(config.get("fine_tune") or {})
    for argument in given:
        check.one_of("config.fine_tune", argument, ("steps", "learning_rate", "inherited"))
    given.pop("inherited", None)
    if not given.get("steps"):
        return None
    if isinstance(task, tasks.Task):
        task = tasks.supervised(task)
    loss = task.loss if task is not None else None
    if loss is None or not isinstance(network, networks.GraphNetwork):
        raise InputError("config.fine_tune: needs network 'graph' and a task with a loss, which xor and digits have.")
    return networks.gradient_descent(loss, network=network, **given)


def with_objective(evaluator: Evaluator, objective: Mapping[str, Any] | None) -> Evaluator:
    """The evaluator with a cost in its fitness, as `objective` says; as it is where that has no name."""
    if not (objective or {}).get("name"):
        return evaluator
    return evaluators.scalarized(evaluator, make("objective", objective))


def make_strategy(
    arguments: Mapping[str, Any], space: Space, evaluator: Evaluator, cost: Latency | None = None
) -> Strategy:
    """The strategy of those arguments, told the evaluator's costs; refuses `limits` that nobody in its table meets."""
    expected = None if cost is None else cost.model.expected_latency
    budgets = evaluator.budgets or None
    strategy = make(
        "strategy", arguments, space=space, costs=evaluator.cost_names, expected_cost=expected, budgets=budgets
    )
    if strategy.cost_names == evaluator.cost_names:  # else the pair is refused
        evaluators.attainable("config.strategy.limits", evaluator, arguments.get("limits") or {})
    return strategy


def only_random(arguments: Mapping[str, Any], evaluations: int) -> str:
    """A sentence where so few evaluations are all of a strategy's random start; empty where it has begun to search."""
    factory = KNOWN["strategy"].get(arguments.get("name"))
    if factory is None or arguments["name"] in RANDOM:
        return ""
    defaults = {name: p.default for name, p in inspect.signature(factory).parameters.items()}
    given = {name: arguments.get(name, defaults[name]) for name in START if name in defaults}
    start = max((n for n in given.values() if isinstance(n, int)), default=0)
    if evaluations > start:
        return ""
    name = next(name for name, n in given.items() if n == start)
    return (
        f"{arguments['name']} begins with {start} random architectures ({name}): of {evaluations} evaluations all are, "
        "which is random search under another name"
    )


START = ("population_size", "initial", "proposals")
"""Arguments of strategies that say how many architectures are drawn before the first that learned from any."""
RANDOM = (
    "random_search",
    "exhaustive",
    "fair_paths",
    "hyperband",
    "successive_halving",
    "darts",
    "gdas",
    "binary_gates",
)
"""Strategies of which that is no news, or that begin otherwise."""


def make(kind: str, arguments: Mapping[str, Any], **wired) -> Any:
    """Calls the factory `arguments["name"]` with the other arguments, and with those of `wired` that it takes.

    An argument that is text of the form `package.module:name` stands for what has that name, a function say.
    """
    arguments = dict(arguments)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f"config.{kind}.name: expected a name, got {name!r}.")
    factory = _imported(f"{kind}.name", name) if ":" in name else KNOWN[kind].get(name)
    if factory is None:
        check.one_of(f"config.{kind}.name", name, KNOWN[kind])
    parameters = inspect.signature(factory).parameters
    takes = [p for p in parameters if p not in ("parent", "name", "recipe", "images", *wired)]
    if "recipe" in parameters:
        takes += evaluators.Recipe._fields
    if "images" in parameters:
        own = ("name", "where", "num_examples")
        takes += [n for n in inspect.signature(tasks.classification).parameters if n not in own]
    for argument in arguments:
        if argument not in wired or argument not in parameters:
            check.one_of(f"config.{kind}, argument of {name!r}", argument, takes)
    arguments = {k: _imported(f"{kind}.{k}", v) if _is_reference(v) else v for k, v in arguments.items()}
    given = {k: v for k, v in wired.items() if k in parameters and k not in arguments and v is not None}
    required = [k for k in wired if k in parameters and parameters[k].default is inspect.Parameter.empty]
    lacking = [k for k in required if k not in given and k not in arguments]
    if lacking:
        raise InputError(f"config.{lacking[0]}: {kind} {name!r} needs one.")
    some = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty and p.kind not in some]
    missing = [n for n in needed if n not in given and n not in arguments]
    if missing:
        raise InputError(f"config.{kind}: {name!r} needs {', '.join(missing)}.")
    return factory(**given, **arguments)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is not None


def _imported(where: str, name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"config.{where}: {name!r} cannot be imported ({error}).") from error


def define_workdir_config(argv: list[str]):
    """The flag `--config`: a file where one is given, else what the workdir's search ran with."""
    about = "Configuration file; by default the config of the search in the workdir."
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)  # absl's flags are not parsed yet
    early.add_argument("--workdir", "-workdir", default=".")
    early.add_argument("--config", "-config")
    given = early.parse_known_args(argv[1:])[0]
    try:
        path = check.local_path("workdir", given.workdir) / "config.json"
        if given.config or not path.is_file():
            return define_config(None, about)
        saved = read_config(path)
    except InputError as error:
        sys.exit(f"launch.{pathlib.Path(argv[0]).stem}: {error}")
    return config_flags.DEFINE_config_dict("config", ConfigDict(saved), about, lock_config=True)


def define_config(default: str | None, about: str = "Configuration file."):
    """The flag `--config`, a file."""
    with _keys_in_words(sys.argv):  # the default's are looked up here
        return config_flags.DEFINE_config_file("config", default, about, lock_config=True)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses absl flags; what is wrong with a config, or a `--config.KEY` that it lacks, is answered in words."""
    with _keys_in_words(argv):
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        early.add_argument("--config", "-config", default="")
        given = early.parse_known_args(argv[1:])[0].config
        file = pathlib.Path(given.partition(":")[0])
        if given and not file.is_file():
            beside = sorted(map(str, file.parent.glob("[!_]*.py"))) if file.parent.is_dir() else []
            near = difflib.get_close_matches(str(file), beside, n=1)
            raise InputError(f"config: no file {file}." + (f" Did you mean {near[0]!r}?" if near else ""))
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:  # has the traceback in its text of what `get_config` refused
            refused = re.findall(rf"{InputError.__module__}.{InputError.__name__}: (.*)", str(error))
            raise InputError(f"config, {given}: {refused[-1]}" if refused else str(error)) from error


@contextlib.contextmanager
def _keys_in_words(argv: list[str]):
    try:
        yield
    except InputError as error:  # of the config itself
        sys.exit(f"launch.{pathlib.Path(argv[0]).stem}: {error}")
    except (AttributeError, KeyError) as error:  # with the nearest key in its message, by ml_collections
        message = re.sub(r"\\n|\n", " ", str(error.args[0])).replace("\\", "").strip("\"'")
        message += "" if "'" in message else "'"
        sys.exit(f"launch.{pathlib.Path(argv[0]).stem}: the config has no key '{message}")


def workdir_of(program: str, given: str | None, name: str) -> pathlib.Path:
    """The folder that `--workdir` names, by default `runs/NAME`; ends the program where it cannot be one."""
    try:
        return check.local_path("workdir", given or f"runs/{name}")
    except InputError as error:
        sys.exit(f"{program}: {error}")


def define_processes() -> Callable[[], processes.Peers]:
    """Flags of a program that several processes can run together; what is returned reads them."""
    given = (
        flags.DEFINE_bool("multihost", False, "Run with other processes that are started with the same flags."),
        flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0. Cloud TPU, Slurm and MPI say it themselves."),
        flags.DEFINE_integer("process_count", None, "How many processes, with --coordinator.", lower_bound=1),
        flags.DEFINE_integer("process_index", None, "Which of them this is, with --coordinator.", lower_bound=0),
        flags.DEFINE_integer("connect_seconds", 300, "How long to wait for the other processes.", lower_bound=1),
    )
    return lambda: processes.Peers(*(flag.value for flag in given))


@contextlib.contextmanager
def ending_together(program: str):
    """Within, what is wrong ends the program with a message, and with it those of the other processes."""
    try:
        yield
    except InputError as error:
        processes.end(f"{program}: {error}")
    except Exception as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, jax.errors.JaxRuntimeError):  # most likely a collective whose other end is gone
            reason = str(error).splitlines()[0]
            processes.end(f"{program}: lost another process ({reason}); the same command on all resumes.")
        traceback.print_exc()
        processes.end(f"{program}: process {jax.process_index()} failed ({error!r}).")
