"""From a model to a plan: its operations in order, and for each the converter that puts it into the plan."""

import inspect
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from eventzoo.asynchronous.converter import AsyncConverter, Unsupported, converter_of, converters
from eventzoo.asynchronous.materialise import PLANNED
from eventzoo.asynchronous.plan import Plan
from eventzoo.asynchronous.state import Features
from eventzoo.errors import EventZooError

if TYPE_CHECKING:
    from eventzoo.model import EventModel


@dataclass(frozen=True)
class Fallback:
    """A layer that is run densely, on all that there is, after every push.

    Attributes:
        name: The layer.
        reason: Why it has to be.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Network(nn.Module):
    """A model's backbone and head as one module: from a batch to what the head returns."""

    def __init__(self, model: "EventModel") -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, batch: Any) -> Any:
        """The head's output."""
        return self.head(self.backbone(batch))


class Dense:
    """Stands for a value that is not in the plan: it is computed by the layer itself."""


@dataclass(eq=False)
class Captured:
    """A model in terms of a plan.

    Attributes:
        plan: What runs event by event.
        output: What it ends with; None where the rest is run densely.
        graph: The model's operations.
        values: What each of them is: something of the plan, a plain value, or `Dense`.
        fallbacks: Layers without a converter, and why.
    """

    plan: Plan
    output: Features | None
    graph: fx.GraphModule
    values: dict[fx.Node, Any]
    fallbacks: tuple[Fallback, ...]


class _Proxy(fx.Proxy):
    """Records `x += y` as what it is, a change that whoever else holds x sees, too; torch records `x = x + y`."""


def _recorded(function: Callable[..., Any]) -> Callable[..., fx.Proxy]:
    def record(self: fx.Proxy, other: Any) -> fx.Proxy:
        proxy: fx.Proxy = self.tracer.create_proxy("call_function", function, (self, other), {})
        return proxy

    return record


_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
for _function in _IN_PLACE:
    setattr(_Proxy, f"__{_function.__name__}__", _recorded(_function))


class _Tracer(fx.Tracer):
    """Records layers that have a converter as one operation each, and looks into all others, if torch can."""

    def __init__(self, known: dict[Any, AsyncConverter]) -> None:
        functions = [
            layer for layer in known if inspect.isfunction(layer) and not layer.__module__.startswith("torch.")
        ]  # torch records its own
        super().__init__(autowrap_functions=tuple(functions))
        # torch looks for them among a forward's globals, which does not find those that it calls as `module.function`
        packages = {".".join(f.__module__.split(".")[:depth]) for f in functions for depth in range(1, f.__module__.count(".") + 2)}
        self._autowrap_search += [sys.modules[package] for package in sorted(packages)]
        self.known = known

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a layer is recorded as one operation."""
        own = type(m).__module__.startswith("torch_geometric.nn")
        return converter_of(m, self.known) is not None or own or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for an operation's result while it is recorded."""
        return _Proxy(node, self)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a layer; one that torch cannot look into, for its control flow, as one operation."""
        self.create_arg((args, kwargs))  # parts of a batch become operations when they are first used: not among those erased below
        before, depth = list(self.graph.nodes), len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # a layer's code may raise anything when it is given a proxy
            for node in reversed([node for node in self.graph.nodes if node not in before]):
                self.graph.erase_node(node)
            while len(self.module_stack) > depth:  # torch leaves there what it was looking into
                self.module_stack.popitem()
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)


def capture(model: "EventModel", plan: Plan) -> Captured:
    """Put a model into a plan, as far as there are converters.

    Raises:
        EventZooError: Its backbone and head cannot be put down as a series of operations at all; or the window has history, and
            a layer of single events has no converter.
        Unsupported: Its representation cannot be made event by event.
    """
    known = converters()
    representation = converter_of(model.representation, known)
    if representation is None:
        raise Unsupported("there is no async converter for it")
    plan.layer = type(model.representation).__name__
    batch = representation.convert(plan, model.representation)
    network = Network(model).eval()
    tracer = _Tracer(known)
    try:
        graph = fx.GraphModule(network, tracer.trace(network))
    except Exception as error:
        raise EventZooError(f"torch.fx cannot trace {type(model.backbone).__name__}: {error}") from error
    _name_what_is_changed_in_place(graph)
    values: dict[fx.Node, Any] = {}
    fallbacks: list[Fallback] = []
    for node in graph.graph.nodes:
        plan.layer = _name(node)
        before = next((given for given in node.all_input_nodes if isinstance(values[given], Dense)), None)
        try:
            if before is not None:
                raise Unsupported(f"it comes after {_name(before)}")
            values[node] = _value(node, graph, batch, values, known, plan)
        except Unsupported as reason:
            if any(_is_forgotten(values[given]) for given in node.all_input_nodes):
                cause = fallbacks[0] if fallbacks else Fallback(plan.layer, str(reason))
                raise Unsupported(f"{cause}, and what it needs has been forgotten") from reason
            if plan.window.history and any(_of_events(values[given], plan) for given in node.all_input_nodes):
                raise EventZooError(
                    f"{plan.layer}: {reason}, so that its events' features cannot be final; leave out the window's history"
                ) from reason
            values[node] = Dense()
            if node.op != "output":
                fallbacks.append(Fallback(plan.layer, str(reason)))
        if isinstance(values[node], Features):
            values[node].shared = len(node.users) > 1 or any(_are_rows_of(values[node], values[given]) for given in node.all_input_nodes)
    last = next(node for node in graph.graph.nodes if node.op == "output")
    output = values[last]
    return Captured(plan, output if isinstance(output, Features) else None, graph, values, tuple(fallbacks))


def _value(
    node: fx.Node, graph: fx.GraphModule, batch: Any, values: dict[fx.Node, Any], known: dict[Any, AsyncConverter], plan: Plan
) -> Any:
    """What an operation is in terms of the plan."""
    if node.op == "placeholder":
        return batch
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(graph)
    args, kwargs = arguments(node, values.__getitem__)
    if node.op == "output":
        return args[0]
    inputs = [values[given] for given in node.all_input_nodes]
    layer: Any = graph.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    if node.op == "call_method":
        layer = getattr(torch.Tensor, str(node.target), None) if inputs and isinstance(inputs[0], PLANNED) else layer
    if layer in (getattr, operator.getitem) and not isinstance(inputs[0], Features):
        try:
            return layer(*args, **kwargs)  # a part of a batch, or of what a layer returned
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise Unsupported("there is no async converter for this part of the batch") from error
    converter = converter_of(layer, known) if layer is not None else None
    if converter is None:
        raise Unsupported("there is no async converter for it")
    return converter.convert(plan, layer, *args, **kwargs)


def arguments(node: fx.Node, value_of: Callable[[fx.Node], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an operation is called with, given the value of every operation before it."""
    args: Any = fx.node.map_arg(node.args, value_of)
    kwargs: Any = fx.node.map_arg(node.kwargs, value_of)
    return args, kwargs


def _of_events(value: Any, plan: Plan) -> bool:
    """Whether something of a plan is of single events, and not of what they are pooled into."""
    domain = getattr(getattr(value, "graph", value), "domain", None)
    return isinstance(value, SimpleNamespace) or (domain is not None and domain is plan.source.domain)


def _are_rows_of(value: Features, given: Any) -> bool:
    """Whether an operation returned rows that it was given, as dropout does, and that others read, too."""
    return isinstance(given, Features) and given.rows is value.rows and given.shared


def _is_forgotten(value: Any) -> bool:
    """Whether something of a plan is of sites that are forgotten, so that it cannot be given to a layer that is run densely."""
    return isinstance(value, Features) and value.domain.ever is not None


def _name_what_is_changed_in_place(graph: fx.GraphModule) -> None:
    """Let what comes after an operation that changes its input in its place read the operation's output instead."""
    nodes = list(graph.graph.nodes)
    for at, node in enumerate(nodes):
        if _in_place(node, graph):
            changed = node.all_input_nodes[0]
            for later in set(nodes[at + 1 :]) & set(changed.users):
                later.replace_input_with(changed, node)


def _in_place(node: fx.Node, graph: fx.GraphModule) -> bool:
    """Whether an operation changes its input."""
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    if node.op != "call_function" or node.target in _IN_PLACE:
        return node.op == "call_function"
    try:
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # written in C, as torch.relu is: has no such argument
        return False
    return bool(given.arguments.get("inplace"))


def _name(node: fx.Node) -> str:
    """What an operation is called to users."""
    if node.op == "call_module":
        return str(node.target).removeprefix("backbone.")
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"{target} ({node.name})" if node.name != target else target
