"""Parts and their specifications: the one language of configs, checkpoints, saved models and zoo cards.

A specification is `{"class_path": "eventzoo.backbones.AEGNN", "init_args": {...}}`, nested where an argument is itself a
part: what LightningCLI reads from YAML. `spec_of` writes it, `build` reads it.
"""

import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from eventzoo import registry
from eventzoo.errors import EventZooError

T = TypeVar("T")

_ALWAYS_ALLOWED = ("eventzoo", "torch")


class Part:
    """Base of all configurable parts: remembers the arguments it was made with, so that it can be saved by name.

    Attributes:
        init_args: The arguments of the constructor by name, without those left at their defaults.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the arguments."""
        part = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind(part, *args, **kwargs)
        except TypeError:  # __init__ will say so itself; unpickling calls without arguments and restores the state
            return part
        given = dict(list(bound.arguments.items())[1:])
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given.update(given.pop(parameter.name, {}))
        object.__setattr__(part, "init_args", given)  # before nn.Module.__init__, which its own __setattr__ asks for
        return part


def spec_of(part: Part) -> dict[str, Any]:
    """The specification that `build` makes the same part from (its weights apart), of plain JSON types.

    Raises:
        EventZooError: An argument is neither a plain value nor a part.
    """
    cls = type(part)
    return {"class_path": class_path(cls), "init_args": {k: _plain(v, cls, k) for k, v in part.init_args.items()}}


def class_path(cls: type) -> str:
    """The stable import path of a class: its registered name where it has one, which survives a move of its module."""
    for group in registry.GROUPS:
        claims = registry.entries(group).get(cls.__name__, [])
        if len(claims) == 1 and claims[0].module == cls.__module__:
            return f"eventzoo.{group}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def packages_of(spec: Any) -> dict[str, str]:
    """The packages besides eventzoo that the parts of a specification come from, with their versions."""
    if isinstance(spec, Mapping):
        found = {package: version for item in spec.values() for package, version in packages_of(item).items()}
        entry = _entry_of(spec["class_path"]) if "class_path" in spec else None
        return dict(sorted({**found, **({entry.package: entry.version} if entry and entry.package != "eventzoo" else {})}.items()))
    return packages_of(dict(enumerate(spec))) if isinstance(spec, list) else {}


def not_installed(packages: Mapping[str, str]) -> str:
    """The sentence on those packages of a saved model that are not installed; empty if all are."""
    missing = [name for name in packages if not any(importlib.metadata.distributions(name=name))]
    if not missing:
        return ""
    named = " and ".join(f"{name} {packages[name]}" for name in missing)
    return f"The model was saved with parts of {named}, not installed here; if you trust it: pip install {' '.join(missing)}"


def _entry_of(path: str) -> registry.Entry | None:
    """The registered part of a class path, or for other classes any part of the same top-level module."""
    claims = [entry for group in registry.GROUPS for claimed in registry.entries(group).values() for entry in claimed]
    exact = (entry for entry in claims if path == f"eventzoo.{entry.group}.{entry.name}")
    return next(exact, next((entry for entry in claims if path.split(".")[0] == entry.module.split(".")[0]), None))


def build(spec: Mapping[str, Any], base: type[T], where: str = "specification") -> T:
    """The part that a specification describes, type-checked argument by argument.

    Safe on specifications from strangers: before anything is imported, every import path in it must lie in eventzoo,
    torch or a package that registers parts, and no text in it is taken for YAML or for the path of a file with more.

    Args:
        spec: `class_path` and `init_args`. A bare class name is looked up in the registries.
        base: The class that the result must be an instance of.
        where: What the specification is part of, for messages.

    Raises:
        EventZooError: The specification names something unknown or forbidden, or an argument is missing or wrong.
    """
    from jsonargparse import ArgumentError, ArgumentParser, set_loader

    set_loader("plain", lambda text: text)  # else import paths could hide in a text, as YAML
    parser = ArgumentParser(exit_on_error=False, parser_mode="plain")
    parser.add_argument("--part", type=base | None, required=True, sub_configs=False)  # add_subclass_arguments would read files
    try:
        parsed = parser.parse_object({"part": _resolved(spec, where)})
        return parser.instantiate(parsed).part  # type: ignore[no-any-return]
    except RecursionError as error:
        raise EventZooError(f"{where}: it is nested too deeply") from error
    except (ArgumentError, ValueError) as error:
        reason = refusal(error) or (str(error) if isinstance(error, ArgumentError) else None)
        if reason is None:
            raise
        raise EventZooError(f"{where}: {reason}") from error


def refusal(error: Exception) -> str | None:
    """What is wrong, if this is jsonargparse's account of it: inside a union of types it wraps every reason in a list of all."""
    found = re.search(r"^ *Errors:\n +- (.*?)\n *(?:- Expected a <class 'NoneType'>|Given value)", str(error), re.MULTILINE | re.DOTALL)
    if found is None:
        return None
    innermost = re.split(r"Errors:\s+- ", found[1])[-1]  # of a union within a part of a union
    return re.sub(r"\n\s*", " ", re.sub(r"^Problem with given class_path '[\w.]*':", "", innermost)).strip()


def _plain(value: Any, owner: type, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Part):
        return spec_of(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, owner, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, owner, name) for item in value]
    kind = type(value).__name__
    raise EventZooError(f"{owner.__name__} cannot be saved: its argument {name!r} is a {kind}, neither a plain value nor a part")


def _resolved(value: Any, where: str) -> Any:
    """`value` with bare registered names made long; refuses import paths outside the allowed packages."""
    if isinstance(value, Mapping):
        resolved = {key: _resolved(item, where) for key, item in value.items()}
        return {key: _named(item) if key == "class_path" and isinstance(item, str) else item for key, item in resolved.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, where) for item in value]
    if isinstance(value, str) and _is_import_path(value) and not allowed(value):
        raise EventZooError(
            f"{where}: refusing to import {value!r}: only eventzoo, torch and packages that register eventzoo parts may be named "
            f"({', '.join(sorted(_plugin_modules()))})"
        )
    return value


def _named(name: str) -> str:
    """The long form of a registered name, which exists; any other name as it is."""
    for group in registry.GROUPS:
        registered = name.removeprefix(f"eventzoo.{group}.")
        if registered != name or name in registry.entries(group):
            registry.find(group, registered).load()  # raises in words where it is unknown, ambiguous or broken
            return f"eventzoo.{group}.{registered}"
    return name


def allowed(import_path: str) -> bool:
    """Whether specifications from elsewhere may name this import path."""
    return import_path.split(".")[0] in {*_ALWAYS_ALLOWED, *_plugin_modules()}


def _plugin_modules() -> set[str]:
    return {entry.module.split(".")[0] for group in registry.GROUPS for claims in registry.entries(group).values() for entry in claims}


def _is_import_path(value: str) -> bool:
    """Whether jsonargparse could import something for this string: dotted, and its first module is installed or imported."""
    first, *rest = value.split(".")
    if not rest or not all(name.isidentifier() for name in (first, *rest)):
        return False
    return first in sys.modules or importlib.util.find_spec(first) is not None
