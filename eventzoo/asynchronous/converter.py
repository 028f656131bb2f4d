"""What an async converter is, and how the one for a layer is found."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from eventzoo import registry
from eventzoo.data.representation import Representation
from eventzoo.errors import PluginError
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.asynchronous.plan import Plan
    from eventzoo.asynchronous.window import Window
    from eventzoo.model import EventModel

Handled = type[nn.Module] | type[Representation[Any]] | Callable[..., Any]
Arrays = dict[str, NDArray[Any]]
Kind = TypeVar("Kind", "AsyncConverter", "EngineConverter")


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


class Engine(Protocol):
    """What runs a whole model on a stream. `AsyncModel` has checked and transformed the events that it is given."""

    def reset(self) -> None:
        """Forget all events."""

    def push(self, events: Events) -> None:
        """Take events, as many at a time as there are."""

    def push_each(self, events: Events) -> NDArray[np.float32]:
        """Take events one at a time; what `output` gives after each."""

    def advance(self, now: int) -> None:
        """Put the clock to a time in microseconds."""

    def output(self) -> NDArray[np.float32]:
        """What the head returns for the one sample that the window is."""

    def __len__(self) -> int:
        """Number of events in the window."""

    def events(self, sensor_size: tuple[int, int]) -> Events:
        """The events in the window."""

    def work(self) -> list[tuple[str, float, float, int, int]]:
        """Each layer's operations since `reset`, and those of a synchronous forward on the window, a multiply-add being 2; then the
        sites that it computed since `reset`, and those that a synchronous forward computes.
        """

    def state_dict(self) -> Arrays:
        """The state as arrays by name, copied."""

    def load_state_dict(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state_dict` was made.

        Raises:
            EventZooError: It is of another network or window, or damaged.
        """


class EngineConverter(ABC):
    """Base of the async converters that run a whole model themselves, not layer by layer; registered and found as the others.

    Attributes:
        handles: The representations whose models it runs.
    """

    handles: ClassVar[tuple[type[Representation[Any]], ...]]

    @abstractmethod
    def engine(self, model: "EventModel", sensor_size: tuple[int, int], window: "Window") -> Engine:
        """What runs a model on a stream.

        Args:
            model: The model, in evaluation mode.
            sensor_size: `(width, height)` in pixels of the events after the model's transforms.
            window: The events that count.

        Raises:
            Unsupported: It cannot be run event by event with this backbone or window; the reason is shown to users.
        """


def converters() -> dict[Any, AsyncConverter]:
    """Every registered converter of layers, by what it handles.

    Raises:
        PluginError: A converter cannot be imported, or two claim the same layer.
    """
    return _registered(AsyncConverter)


def engine_converters() -> dict[Any, EngineConverter]:
    """Every registered converter of whole models, by the representation that it handles. Raises as `converters` does."""
    return _registered(EngineConverter)


def _registered(kind: type[Kind]) -> dict[Any, Kind]:
    found: dict[Any, AsyncConverter | EngineConverter] = {}
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
    return {handled: converter for handled, converter in found.items() if isinstance(converter, kind)}


def converter_of(layer: Any, known: dict[Any, Kind]) -> Kind | None:
    """The converter of a layer or representation by its type, of a function by itself; None if there is none."""
    if inspect.isroutine(layer):
        return known.get(layer)
    own = type(layer)
    return next((known[base] for base in own.__mro__ if base in known and _compute_the_same(own, base)), None)


def _compute_the_same(own: Any, base: Any) -> bool:
    """Whether a class leaves what a layer or representation computes as its base has it."""
    return all(getattr(own, name, None) is getattr(base, name, None) for name in ("forward", "__call__"))
