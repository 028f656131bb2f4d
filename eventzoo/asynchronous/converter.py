"""What an async converter is, and how the one for a layer is found."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from eventzoo import registry
from eventzoo.data.representation import Representation
from eventzoo.errors import PluginError

if TYPE_CHECKING:
    from eventzoo.asynchronous.plan import Plan

Handled = type[nn.Module] | type[Representation[Any]] | Callable[..., Any]


class Unsupported(Exception):  # noqa: N818  # no error: the layer is run densely
    """Raised by a converter for a layer, or a setting of it, that it cannot run event by event; says why."""


class AsyncConverter(ABC):
    """Base of all async converters: puts one kind of layer, function or representation into an asynchronous network's plan.

    A converter is registered under its class's name in the entry-point group `eventzoo.async_converters`, and has no
    arguments.

    Attributes:
        handles: The layer types, functions and representations that it converts. A layer is converted by the converter of the
            nearest class among its type's bases, if it computes what that class does. A method of tensors is named as in
            `torch.Tensor.flatten`.
    """

    handles: ClassVar[tuple[Handled, ...]]

    @abstractmethod
    def convert(self, plan: "Plan", layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Add what the layer does to the plan.

        Args:
            plan: The plan, with all that comes before the layer.
            layer: The layer, function or representation.
            args: What the layer is called with: what the converters before it returned (`Features` and the like), or plain
                values. A representation has none, and returns the batch that the backbone is given.
            kwargs: The same by name.

        Returns:
            What the layer returns, in terms of the plan.

        Raises:
            Unsupported: It cannot be run event by event with these arguments; the reason is shown to users.
        """


def converters() -> dict[Any, AsyncConverter]:
    """Every registered converter, by what it handles.

    Raises:
        PluginError: A converter cannot be imported, or two claim the same layer.
    """
    found: dict[Any, AsyncConverter] = {}
    for name in registry.entries("async_converters"):
        converter = registry.get("async_converters", name)()
        for handled in converter.handles:
            if handled in found:
                first, second = type(found[handled]), type(converter)
                raise PluginError(
                    f"{getattr(handled, '__qualname__', handled)} is handled by two async converters, {first.__module__}.{first.__name__} "
                    f"and {second.__module__}.{second.__name__}; uninstall one of the packages"
                )
            found[handled] = converter
    return found


def converter_of(layer: Any, known: dict[Any, AsyncConverter]) -> AsyncConverter | None:
    """The converter of a layer or representation by its type, of a function by itself; None if there is none."""
    if inspect.isroutine(layer):
        return known.get(layer)
    own = type(layer)
    return next((known[base] for base in own.__mro__ if base in known and _compute_the_same(own, base)), None)


def _compute_the_same(own: Any, base: Any) -> bool:
    """Whether a class leaves what a layer or representation computes as its base has it."""
    return all(getattr(own, name, None) is getattr(base, name, None) for name in ("forward", "__call__"))
