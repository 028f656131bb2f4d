"""eventzoo: datasets, representations, models and asynchronous inference for event cameras."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventzoo import async_converters, backbones, datasets, representations
    from eventzoo.asynchronous import make_asynchronous
    from eventzoo.errors import EventZooError
    from eventzoo.events import Events
    from eventzoo.io import read, read_windows, write
    from eventzoo.zoo import info, list_models, load

__version__ = version("eventzoo")

_HOME = {
    "Events": "eventzoo.events",
    "EventZooError": "eventzoo.errors",
    "read": "eventzoo.io",
    "read_windows": "eventzoo.io",
    "write": "eventzoo.io",
    "load": "eventzoo.zoo",
    "list_models": "eventzoo.zoo",
    "info": "eventzoo.zoo",
    "make_asynchronous": "eventzoo.asynchronous",
}
_MODULES = ("datasets", "representations", "backbones", "async_converters")

__all__ = [
    "EventZooError",
    "Events",
    "__version__",
    "async_converters",
    "backbones",
    "datasets",
    "info",
    "list_models",
    "load",
    "make_asynchronous",
    "read",
    "read_windows",
    "representations",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `import eventzoo` stays instant (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"eventzoo.{name}")
    raise AttributeError(f"module 'eventzoo' has no attribute {name!r}; public: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
