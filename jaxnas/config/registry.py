"""Factories by kind and name, with what each is handed beside its own arguments: declared, not guessed.

`build` makes the parts of a search one after another and offers those it has to the next: `OFFERS`. A registered
factory says which of these it takes, and under what name of its own. One that is not registered
(`package.module:factory` in a config) is handed those that its signature names; with `**kwargs` and none named, what
parts of its kind are made of: `ESSENTIAL`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.references import imported, is_reference

OFFERS: dict[str, tuple[str, ...]] = {
    "space": ("inputs", "outputs", "parent"),
    "task": (),
    "problem": (),
    "parent": ("task",),
    "network": ("classes", "parent"),
    "cost": ("space", "network", "task", "workdir"),
    "objective": (),
    "evaluator": ("space", "network", "task", "problem", "parent", "devices", "fine_tune", "space_name"),
    "strategy": ("space", "costs", "expected_cost", "budgets"),
    "early_stopping": ("strategy",),
    "warm_start": ("strategy", "space"),
    "program": ("workdir", "say", "meter"),
}
"""Kind of part -> what a factory of that kind can be handed:

- inputs, outputs: sizes of a network for the task or the problem; classes: the same as outputs;
- space, network, task, problem, parent: those parts, None where the config has none;
- devices: that share each batch; fine_tune: gradient descent on a genome's weights; space_name: as the config has it;
- costs: names of the evaluator's costs; expected_cost: `probabilities -> [K]`; budgets: the only ones it knows;
- strategy: what is wrapped;
- workdir: folder of the run, or None; say: is told what comes out; meter: what tells how long programs take.
"""
ESSENTIAL = {"strategy": ("space",), "evaluator": ("space", "network", "task"), "cost": ("space", "network", "task")}


class Entry(NamedTuple):
    """A factory and its declaration.

    Attributes:
      factory: what is called, with keywords alone.
      takes: what it is handed (of `OFFERS`) -> the name of its parameter.
      accepts: callables whose keyword arguments its own `**kwargs` stand for,
      without: but for these.
    """

    factory: Callable
    takes: Mapping[str, str]
    accepts: tuple[Callable, ...] = ()
    without: tuple[str, ...] = ()


_ENTRIES: dict[str, dict[str, Entry]] = {kind: {} for kind in OFFERS}


def register(
    kind: str,
    name: str,
    factory: Callable | None = None,
    *,
    takes: Sequence[str] | Mapping[str, str] = (),
    accepts: Sequence[Callable] = (),
    without: Sequence[str] = (),
) -> Any:
    """Makes a factory known by a name that configs can use; a decorator where no factory is given.

    Args:
      kind: one of `OFFERS`.
      name: in configs: `{"name": name, …}`.
      factory: returns the part.
      takes: what it is handed, of `OFFERS[kind]`; a mapping where its parameters are called otherwise.
      accepts: callables whose keyword arguments its `**kwargs` stand for, to check and list them,
      without: but for these, which it gives itself.

    Raises:
      InputError: an unknown kind or offer, or a name that another factory has.
    """
    check.one_of("kind", kind, OFFERS)
    takes = dict(takes) if isinstance(takes, Mapping) else {offer: offer for offer in takes}
    for offer in takes:
        check.one_of(f"takes, of kind {kind!r}", offer, OFFERS[kind])

    def add(factory):
        check.function("factory", factory)
        known = _ENTRIES[kind].get(name)
        if known is not None and known.factory is not factory:
            raise InputError(f"name: {kind} {name!r} is there already, {known.factory}.")
        _ENTRIES[kind][name] = Entry(factory, takes, tuple(accepts), tuple(without))
        return factory

    return add if factory is None else add(factory)


def known(kind: str) -> dict[str, Entry]:
    """Name -> entry of all factories registered for that kind."""
    check.one_of("kind", kind, OFFERS)
    return dict(_ENTRIES[kind])


def entry(kind: str, name: Any) -> Entry:
    """The entry of a registered name, or of `package.module:factory`.

    Raises:
      InputError: neither, with the nearest name.
    """
    if not isinstance(name, str):
        raise InputError(f"config.{kind}.name: expected a name, got {name!r}.")
    if not is_reference(name):
        check.one_of(f"config.{kind}.name", name, _ENTRIES[kind])
        return _ENTRIES[kind][name]
    factory = imported(f"config.{kind}.name", name)
    check.function(f"config.{kind}.name", factory)
    registered = [each for each in _ENTRIES[kind].values() if each.factory is factory]
    return registered[0] if registered else _undeclared(kind, factory)


def _undeclared(kind: str, factory: Callable) -> Entry:
    named = [offer for offer in OFFERS[kind] if offer in parameters(factory)]
    if not named and any_keyword(factory):
        named = ESSENTIAL.get(kind, ())
    return Entry(factory, {offer: offer for offer in named})


def parameters(factory: Callable) -> dict[str, inspect.Parameter]:
    """Name -> parameter of what can be given by keyword; a Flax module's `parent` and `name` are not for configs."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    whole = inspect.signature(factory).parameters
    module = {"parent", "name"} <= set(whole)
    return {n: p for n, p in whole.items() if p.kind in kinds and not (module and n in ("parent", "name"))}


def any_keyword(factory: Callable) -> bool:
    """Whether it has `**kwargs`."""
    kinds = [p.kind for p in inspect.signature(factory).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def arguments_of(each: Entry) -> dict[str, inspect.Parameter]:
    """Name -> parameter of what a config may give: its own that it is not handed, and those it accepts."""
    found = {n: p for n, p in parameters(each.factory).items() if n not in each.takes.values()}
    for accepted in each.accepts:
        found |= {n: p for n, p in parameters(accepted).items() if p.default is not inspect.Parameter.empty}
    return {n: p for n, p in found.items() if n not in each.without}


def make(kind: str, arguments: Mapping[str, Any], offered: Mapping[str, Any] | None = None) -> Any:
    """Calls the factory `arguments["name"]` with the other arguments, and with what it takes of what is offered.

    An argument that is text of the form `package.module:name` stands for what has that name, a function say. What the
    config gives itself is not handed over.

    Raises:
      InputError: an unknown name or argument, with the nearest; one that is missing.
    """
    check.mapping(f"config.{kind}", arguments)
    given = dict(arguments)
    name = given.pop("name", None)
    where = f"config.{kind}"
    each = entry(kind, name)
    _refuse_unknown(each, given, f"{where}, argument of {name!r}")
    given = {k: imported(f"{where}.{k}", v) if is_reference(v) else v for k, v in given.items()}
    return each.factory(**given, **_handed(kind, name, each, given, offered or {}))


def run_program(name: str, config: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """Calls the program of that name with a config's values as arguments, texts as they are.

    Raises:
      InputError: an unknown program or key, with the nearest; one that is missing.
    """
    check.mapping("config", config)
    each = entry("program", name)
    _refuse_unknown(each, config, "config")
    return each.factory(**config, **_handed("program", name, each, config, offered))


def _refuse_unknown(each: Entry, given: Mapping[str, Any], where: str) -> None:
    if any_keyword(each.factory) and not each.accepts:
        return
    for argument in given:
        if argument not in each.takes.values():
            check.one_of(where, argument, arguments_of(each))


def _handed(kind: str, name: str, each: Entry, given: Mapping[str, Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """What of the offered it takes and the config does not give; raises `InputError` where anything is missing then."""
    handed = {
        parameter: offered[offer]
        for offer, parameter in each.takes.items()
        if parameter not in given and offered.get(offer) is not None
    }
    required = [n for n, p in parameters(each.factory).items() if p.default is inspect.Parameter.empty]
    offers = {parameter: offer for offer, parameter in each.takes.items()}
    missing = [n for n in required if n not in handed and n not in given]
    parts = [offers[n] for n in missing if offers.get(n) in OFFERS]
    if parts:
        raise InputError(f"config.{parts[0]}: {kind} {name!r} needs one.")
    if missing:
        raise InputError(f"{'config' if kind == 'program' else f'config.{kind}'}: {name!r} needs {', '.join(missing)}.")
    return handed
