"""The one list of parts: Python entry points, four groups, imported only when asked for.

A package registers a part in its `pyproject.toml`, under the name of its class:

    [project.entry-points."eventzoo.backbones"]
    MyNet = "my_package.my_net:MyNet"

The built-in parts come in through eventzoo's own `pyproject.toml` the same way.
"""

import difflib
import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from eventzoo.errors import PluginError, PluginWarning, UnknownPartError

GROUPS = ("datasets", "representations", "backbones", "async_converters")


@dataclass(frozen=True)
class Entry:
    """One registered part: where it is, and who brings it. Nothing is imported before `load`."""

    group: str
    name: str
    module: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.group.removesuffix('s').replace('_', ' ')} {self.name!r} of package {self.package} {self.version}"

    def load(self) -> type[Any]:
        """Import the part's class.

        Raises:
            PluginError: The import fails for whatever reason, or does not give a class of this name.
        """
        try:
            part = getattr(importlib.import_module(self.module), self.name)
        except Exception as error:  # a third party's module may raise anything while it is imported
            raise PluginError(f"{self} could not be imported: {type(error).__name__}: {error}") from error
        if not isinstance(part, type):
            raise PluginError(f"{self} is not a class; an entry point's name must be its class's name")
        return part


@cache
def entries(group: str) -> dict[str, list[Entry]]:
    """The registered parts of a group by name, sorted; a name has several entries if several packages claim it."""
    found: dict[str, list[Entry]] = {}
    for point in importlib.metadata.entry_points(group=f"eventzoo.{group}"):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "?")
        found.setdefault(point.name, []).append(Entry(group, point.name, point.module, package, version))
    return dict(sorted(found.items()))


def find(group: str, name: str) -> Entry:
    """The one entry of a name.

    Raises:
        UnknownPartError: No package registers it; the message suggests near misses and says where it was looked for.
        PluginError: More than one package does.
    """
    known = entries(group)
    if name not in known:
        raise UnknownPartError(unknown(group, name))
    claims = known[name]
    if len(claims) > 1:
        packages = " and ".join(f"{entry.package} {entry.version} ({entry.module})" for entry in claims)
        raise PluginError(f"the name {name!r} in eventzoo.{group} is claimed by {packages}; uninstall one, or give the full import path")
    return claims[0]


def unknown(group: str, name: str) -> str:
    """The sentence for a name that nobody has registered."""
    known = entries(group)
    lowered = {known_name.lower(): known_name for known_name in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(lowered[match] for match in close)}?" if close else ""
    packages = sorted({entry.package for claims in known.values() for entry in claims})
    kind = group.removesuffix("s").replace("_", " ")
    return (
        f"no {kind} named {name!r}.{hint} Registered: {', '.join(known) or 'none'} "
        f"(searched the entry points eventzoo.{group} of {', '.join(packages) or 'all installed packages'})."
    )


@cache
def get(group: str, name: str) -> type[Any]:
    """The class registered as `name`, imported now if it was not yet. Raises as `find` and `Entry.load` do."""
    return find(group, name).load()


def load_all() -> None:
    """Import every part, so that bare class names resolve. What cannot be used is warned about and left out."""
    for group in GROUPS:
        for name in entries(group):
            try:
                get(group, name)
            except PluginError as error:
                _warn_once(str(error))


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=3)


def namespace(group: str) -> tuple[Callable[[str], type[Any]], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a lazy module such as `eventzoo.backbones` (PEP 562)."""

    def module_getattr(name: str) -> type[Any]:
        if name.startswith("_"):  # Python and its tools ask modules for __path__, __wrapped__ and the like
            raise AttributeError(name)
        try:
            return get(group, name)
        except UnknownPartError as error:
            raise AttributeError(str(error)) from error

    return module_getattr, lambda: list(entries(group))
