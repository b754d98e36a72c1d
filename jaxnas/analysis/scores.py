"""Scores of many architectures by zero-cost proxies: one program for each group of proxies, one file that fills up."""

import contextlib
import functools
import json
import pathlib
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from tqdm import tqdm

from jaxnas import proxies
from jaxnas.check import InputError
from jaxnas.evaluators._zero_cost import refuse_counting, scorer
from jaxnas.networks.initializers import initialize
from jaxnas.population import CompileMeter, device_memory, over_population, within_memory
from jaxnas.tasks.task import Task
from jaxnas.types import Space
from jaxnas.workdir import writing

PAID = ("scored", "seconds", "compiles", "compile_seconds", "cached")


class Group(NamedTuple):
    """Proxies that share their passes, and how far they are.

    Attributes:
      genomes: `[U, D]` to score.
      of: `[n]` which of these stands for each architecture.
      scores: proxy -> `[U]`, NaN where not scored yet.
      paid: how many are `scored`, and what that took, over all resumed parts; `cached` compiles were read from JAX's
        cache.
    """

    genomes: np.ndarray
    of: np.ndarray
    scores: dict[str, np.ndarray]
    paid: dict[str, Any]

    @property
    def done(self) -> bool:
        return self.paid["scored"] == len(self.genomes)

    @contextlib.contextmanager
    def charged(self):
        """Within, time and compiles are this group's."""
        begin, meter = time.perf_counter(), CompileMeter()
        try:
            yield
        finally:
            self.paid["seconds"] += time.perf_counter() - begin
            self.paid["compiles"] += meter.compiles
            self.paid["compile_seconds"] += meter.seconds
            self.paid["cached"] += meter.cached


class Scores:
    """What is known of `genomes` `[n, D]`, in memory and in the file `path` (see `save`).

    Attributes:
      groups: group of proxies -> `Group`.
      distinct: canonical forms among the genomes. With `deduplicate`, each is scored once by those groups that depend
        on nothing but the function that a network computes.
      setup_seconds: what came before the first program, over all resumed parts, as the next.
      wall_seconds: since `begin`, by `time.perf_counter`.
    """

    def __init__(
        self, path: pathlib.Path, space: Space, genomes: np.ndarray, names: list[str], deduplicate: bool, begin: float
    ):
        self._path, self._genomes, self._names, self._begin = path, genomes, names, begin
        self._about = {"architecture": np.array([space.to_string(genome) for genome in genomes])}
        if space.index is not None:
            self._about["index"] = np.asarray(jax.jit(jax.vmap(space.index))(genomes))
        canonical = np.asarray(jax.jit(jax.vmap(space.canonical))(genomes))
        forms, of = np.unique(canonical, axis=0, return_inverse=True)
        self.distinct, self.setup_seconds, self._earlier = len(forms), 0.0, 0.0
        self.groups: dict[str, Group] = {}
        for key in dict.fromkeys(proxies.PROXIES[name].group for name in names):
            members = [name for name in names if proxies.PROXIES[name].group == key]
            shared = deduplicate and all(proxies.PROXIES[name].by_function for name in members)
            rows, whose = (forms, of.reshape(-1)) if shared else (genomes, np.arange(len(genomes)))
            paid = {**dict.fromkeys(PAID, 0), "megabytes": None, "chunk": None}
            unknown = {name: np.full(len(rows), np.nan, np.float32) for name in members}
            self.groups[key] = Group(rows, whose, unknown, paid)

    @property
    def wall_seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._begin

    def by_proxy(self) -> dict[str, np.ndarray]:
        """proxy -> `[n]`, in the order asked for."""
        known = {name: values[group.of] for group in self.groups.values() for name, values in group.scores.items()}
        return {name: known[name] for name in self._names}

    def save(self) -> None:
        """Writes `genomes`, `architecture`, `index` where there is one, and an array for each proxy."""
        note = {
            "groups": {key: group.paid for key, group in self.groups.items()},
            "setup_seconds": self.setup_seconds,
            "wall_seconds": self.wall_seconds,
        }
        partial = self._path.with_name(self._path.name + ".partial")
        with writing(self._path.parent):
            with partial.open("wb") as file:
                np.savez(file, note=json.dumps(note), genomes=self._genomes, **self._about, **self.by_proxy())
            partial.replace(self._path)

    def resume(self) -> None:
        """Goes on from what the file holds; raises `InputError` where that is damaged."""
        try:
            with np.load(self._path) as saved:
                note = json.loads(str(saved["note"]))
                if not np.array_equal(saved["genomes"], self._genomes):
                    raise InputError("it holds other genomes")
                for key, group in self.groups.items():
                    first = np.unique(group.of, return_index=True)[1]
                    group.scores.update({name: saved[name][first] for name in group.scores})
                    group.paid.update(note["groups"][key])
                self.setup_seconds, self._earlier = note["setup_seconds"], note["wall_seconds"]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"workdir: {self._path} is damaged ({error}). Remove it to score again.") from None


class Program(NamedTuple):
    """How to score one group, `size` members at a call.

    Attributes:
      lowered: `chunk -> ` `(genomes, active, *arguments) -> {proxy: [size]}`, traced and not compiled yet.
      chunk: to begin with.
      arguments: what all calls share.
      size: P.
    """

    lowered: Callable
    chunk: int | None
    arguments: tuple
    size: int


def programs(
    scores: Scores,
    space: Space,
    network: nn.Module,
    task: Task,
    *,
    batch_size: int,
    members: int,
    plan: str,
    chunk: int,
    seed: int,
) -> dict[str, Program]:
    """Traces the groups that are not done: group -> its program.

    All share one initialization and one batch out of `task.train`. The rest of the arguments is as in the config.

    Raises:
      InputError: a proxy cannot score this network or task.
    """
    names = [name for group in scores.groups.values() for name in group.scores]
    refuse_counting(names, space, network, task)
    begin, keys = time.perf_counter(), [jax.random.fold_in(jax.random.key(seed), i) for i in range(3)]
    init = jax.jit(lambda key, genome: initialize(network, key, space.unpack(genome), task.blank(), False))
    variables = init(keys[0], space.sample(keys[0]))
    batch = task.train.take(jax.random.permutation(keys[1], task.train.size)[:batch_size])
    # Arguments of the programs, as XLA would fold what it can compute of constants.
    arguments = (variables, batch._replace(inputs=task.inputs(batch.inputs)), keys[2])
    scores.setup_seconds += time.perf_counter() - begin

    def lowered(group: Group, size: int, chunk: int | None):
        member = scorer(space, network, list(group.scores), task.loss)
        population = over_population(member, plan=plan, chunk=chunk)
        run = lambda genomes, active, *shared: population.run(genomes, active, shared=shared)
        genomes = jax.ShapeDtypeStruct((size, *group.genomes.shape[1:]), group.genomes.dtype)
        return jax.jit(run).lower(genomes, jax.ShapeDtypeStruct((size,), bool), *arguments)

    found = {}
    for key, group in scores.groups.items():
        if not group.done:
            size = min(members, len(group.genomes))
            share = -(-size // jax.device_count())
            first = min(chunk or share, share) if plan == "vmap" else None
            program = Program(functools.cache(functools.partial(lowered, group, size)), first, arguments, size)
            with group.charged():
                program.lowered(first)
            found[key] = program
    return found


def score_groups(scores: Scores, programs: Mapping[str, Program], *, save_seconds: float) -> None:
    """Scores what is left, and saves it as it goes and in the end, also when interrupted."""
    groups, saved = scores.groups, time.perf_counter()
    bar = tqdm(
        initial=sum(group.paid["scored"] for group in groups.values()),
        total=sum(len(group.genomes) for group in groups.values()),
        unit=" scores",
        dynamic_ncols=True,
        bar_format="{desc}{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left",
        smoothing=0.1,
    )
    try:
        for key, program in programs.items():
            group, say = groups[key], lambda text, key=key: bar.write(f"{key}: {text}")
            bar.set_description_str(f"compiling {key} ")
            with group.charged():
                limit = device_memory(jax.local_devices()[0])
                run, chunk, need = within_memory(program.lowered, program.chunk, limit, say=say)
            group.paid.update(chunk=chunk, megabytes=need / 1e6)
            bar.set_description_str(f"{key} ")
            U = len(group.genomes)
            for begin in range(group.paid["scored"], U, program.size):
                rows = np.arange(begin, begin + program.size)
                with group.charged():
                    found = run(group.genomes[np.minimum(rows, U - 1)], rows < U, *program.arguments)
                    found = {name: np.asarray(values) for name, values in found.items()}
                for name, values in found.items():
                    group.scores[name][begin : begin + program.size] = values[: U - begin]
                group.paid["scored"] = min(begin + program.size, U)
                bar.update(group.paid["scored"] - begin)
                if time.perf_counter() - saved > save_seconds:
                    scores.save()
                    saved = time.perf_counter()
    finally:
        bar.close()
        scores.save()
