"""Engines: what runs a model on a stream, compiled and event by event, or densely on the window."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import fx

from eventzoo.asynchronous.capture import Captured, Dense, arguments
from eventzoo.asynchronous.converter import Arrays, Engine
from eventzoo.asynchronous.driver import compile_plan, table
from eventzoo.asynchronous.materialise import PLANNED, materialise, slots
from eventzoo.asynchronous.plan import Step
from eventzoo.asynchronous.state import Domain, Features, State
from eventzoo.asynchronous.window import Window
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import apply
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.asynchronous.sites import Rows

if TYPE_CHECKING:
    from eventzoo.model import EventModel

CHUNK = 1024
"""Most events of one transaction: more are taken in several."""
_NEVER = np.iinfo(np.int64).min


def first_capacity(window: Window) -> int:
    """Slots for events to begin with, a power of two: for a window of moderate size, and a transaction's events beside it."""
    return 1 << math.ceil(math.log2(min(window.events or 0, 1 << 14) + CHUNK))


class CompiledEngine:
    """Runs a captured model: one compiled call for as many events as there are.

    Args:
        capture: Captures the model, with its state as it is before the first event.
        represent: What the model's representation makes of the columns of events: the batch for layers that are run densely.
    """

    def __init__(self, capture: Callable[[], Captured], represent: Callable[..., Any]) -> None:
        self._capture, self._represent = capture, represent
        self.reset()

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledEngine":
        """An engine with arrays of its own: the table holds addresses, which must not be those of another's."""
        copied = CompiledEngine(self._capture, self._represent)
        copied.load_state_dict(self.state_dict())
        return copied

    def reset(self) -> None:
        """Forget all events, and compute the answer to none."""
        self.captured = self._capture()
        self._plan = self.captured.plan
        self._domain = self._plan.source.domain
        self._work = np.zeros((len(self._plan.steps), 3), np.int64)
        recorded = (self.captured.output.rows,) if self.captured.output else self._plan.states
        self._recorded = next(state for state in recorded if isinstance(state.value, Rows))
        self._run = compile_plan(self._plan, self._recorded.name)
        self._taken = 0  # slots that are taken at most
        self._network = self._fingerprint()
        self._hand_over()
        self.advance(_NEVER)
        self._work[:] = 0

    def push(self, events: Events) -> None:
        """Take events, as many at a time as there are."""
        self._take(events, CHUNK, np.empty((0, 0, 0), np.float32))

    def push_each(self, events: Events) -> NDArray[np.float32]:
        """Take events one at a time; what `output` gives after each."""
        if self.captured.output is None:
            return answers(self, events)
        out = np.empty((len(events), *self._recorded.value.rows.shape), np.float32)
        self._take(events, 1, out)
        return _shaped(out, self.captured.output)

    def _take(self, events: Events, every: int, out: NDArray[np.float32]) -> None:
        """Take events, `every` at a time, and write what is recorded after each time to `out`, if it is not empty."""
        columns, done = _columns(events), 0
        while done < len(events):
            stop = min(done + CHUNK, len(events))
            self._make_room(stop - done)
            reached = self._run(self._table, *columns, done, stop, _NEVER, every, out, self._work)
            if reached < stop:
                self._grow()
            done = reached

    def advance(self, now: int) -> None:
        """Put the clock to a time in microseconds."""
        self._run(self._table, *_columns(Events.empty((1, 1))), 0, 0, now, 1, np.empty((0, 0, 0), np.float32), self._work)

    def output(self) -> NDArray[np.float32]:
        """What the head returns for the one sample that the window is."""
        if self.captured.output is None:
            return self._run_densely()
        rows = self.captured.output.rows.value.rows
        output: NDArray[np.float32] = _shaped(rows[None], self.captured.output)[0]
        return output

    def __len__(self) -> int:
        """Number of events in the window."""
        return int(np.count_nonzero(self._domain.sites.value.alive))

    def events(self, sensor_size: tuple[int, int]) -> Events:
        """The events in the window."""
        x, y, t, p = self._plan.source.events()
        return Events(x, y, t, p, sensor_size, trusted=True)

    def work(self) -> list[tuple[str, float, float, int, int]]:
        """Each layer's operations since `reset`, and those of a synchronous forward on the window, a multiply-add being 2; then the
        sites that it computed since `reset`, and those that a synchronous forward computes.
        """
        found: dict[str, tuple[float, float, int, int]] = {}
        for number, step in enumerate(self._plan.steps):
            sites, edges, _ = self._work[step.counter]
            units = self._work[number, 2]
            there, joined = self._in_synchronous_forward(step)
            dense = there * (step.cost.site + step.cost.unit * units / max(sites, 1)) + joined * step.cost.edge
            done = sites * step.cost.site + edges * step.cost.edge + units * step.cost.unit
            before = found.get(step.name, (0.0, 0.0, 0, 0))
            computed = before[2:] if before[2] else (int(sites), there)  # of its steps, the first that computes sites
            found[step.name] = (before[0] + float(done), before[1] + float(dense), *computed)
        return [(name, *operations) for name, operations in found.items()]

    def _in_synchronous_forward(self, step: Step) -> tuple[int, float]:
        """Sites that a synchronous forward on the window computes, and the edges that it reads."""
        if step.domain.ever is not None:  # of those that are forgotten, all were computed, and once
            there = step.domain.ever()
            sites, edges, _ = self._work[step.counter]
            return there, float(edges * there / sites if sites else edges)
        there_now = slots(step.domain)
        return len(there_now), 0.0 if step.graph is None else float(step.graph.edges.value.degree[there_now].sum())

    def state_dict(self) -> Arrays:
        """The state as arrays by name, copied."""
        found = {f"{state.name}.{name}": array.copy() for state, name, array in self._arrays()}
        found["work"] = self._work.copy()
        return sealed(found, self._network)

    def load_state_dict(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state_dict` was made.

        Raises:
            EventZooError: It is of another network or window, or damaged.
        """
        arrays = unsealed(saved, self._network)
        for state in self._plan.states:
            if not state.constant:
                names = state.value._fields
                state.value = state.value._replace(**{name: arrays[f"{state.name}.{name}"].copy() for name in names})
        self._work = arrays["work"].copy()
        for state in self._plan.states:
            if state.domain is not None:
                state.domain.capacity = len(state.domain.sites.value.id)
        self._taken = self._domain.capacity
        self._hand_over()

    def _arrays(self) -> list[tuple[State, str, NDArray[Any]]]:
        mutable = [state for state in self._plan.states if not state.constant]
        return [(state, name, array) for state in mutable for name, array in zip(state.value._fields, state.value, strict=True)]

    def _fingerprint(self) -> NDArray[np.uint64]:
        """A hash of the network, its weights and settings, and its window: of all arrays before the first event."""
        arrays = {f"{state.name}.{name}": array for state in self._plan.states for name, array in state.value._asdict().items()}
        return checksum({f"{self._run.__module__} {self._plan.window}": np.empty(0), **arrays})

    def _hand_over(self) -> None:
        """Give the compiled function the arrays as they are now."""
        self._table = table(self._plan)

    def _make_room(self, coming: int) -> None:
        """See to it that there are slots for the events that come."""
        self._taken += coming
        if self._taken <= self._domain.capacity:
            return
        sites = self._domain.sites.value
        alive = np.sort(sites.id[sites.alive])
        self._taken = len(alive) + coming
        old = new = self._domain.capacity
        while self._taken > new:
            new *= 2
        if new == old:
            return
        self._resize(self._domain, alive, new)
        self._hand_over()

    def _grow(self) -> None:
        """Double the slots for edges, and those of domains that an event of the source might overfill."""
        for state in self._plan.states:
            if state.edge_range is not None:
                first, last = state.edge_range(state.value)
                old = len(getattr(state.value, next(iter(state.per_edge))))
                state.value = _regrown(state.value, state.per_edge, np.arange(first, last), old, 2 * old)
        for domain in {id(state.domain): state.domain for state in self._plan.states}.values():
            if domain is not None and domain.reserve > 0:
                sites = domain.sites.value
                alive = np.sort(sites.id[sites.alive])
                if len(alive) + domain.reserve > domain.capacity:
                    self._resize(domain, alive, 2 * domain.capacity)
        self._hand_over()

    def _resize(self, domain: Domain, alive: NDArray[np.int64], capacity: int) -> None:
        """Give a domain another number of slots; those of `alive`, numbers in order, move."""
        for state in self._plan.states:
            if state.domain is domain:
                state.value = _regrown(state.value, state.per_site, alive, domain.capacity, capacity)
        domain.capacity = capacity

    @torch.inference_mode()
    def _run_densely(self) -> NDArray[np.float32]:
        """The output where layers have no converter: they are run on all there is."""
        graph, values, known = self.captured.graph, self.captured.values, dict[fx.Node, Any]()

        def value_of(node: fx.Node) -> Any:
            if node not in known:
                known[node] = computed(node)
            return known[node]

        def computed(node: fx.Node) -> Any:
            value = values[node]
            if node.op == "placeholder":
                return self._represent(*self._plan.source.events())
            if isinstance(value, PLANNED):
                return materialise(value)
            if node.op == "get_attr":
                return value
            args, kwargs = arguments(node, value_of)
            if node.op == "output":
                return args[0]
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            layer: Any = graph.get_submodule(str(node.target)) if node.op == "call_module" else node.target
            return layer(*args, **kwargs)

        for node in graph.graph.nodes:  # in their order, as some may change tensors in their place
            if isinstance(values[node], Dense):
                value_of(node)
        output: NDArray[np.float32] = value_of(node)[0].float().cpu().numpy()
        return output


class DenseEngine:
    """Runs the whole model on the window whenever it is asked, for models whose representation has no converter.

    Args:
        model: The model.
        window: The events that count.
    """

    def __init__(self, model: "EventModel", window: Window) -> None:
        self._model, self._window = model, window
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
        self._network = checksum({f"{type(model.backbone).__name__} {window}": np.empty(0), **weights})
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        self._events = Events.empty(self._model.sensor_size)

    def push(self, events: Events) -> None:
        """Take events."""
        if len(events) == 0:
            return
        x, y, t, p = (np.concatenate([getattr(self._events, name), getattr(events, name)]) for name in "xytp")
        self._events = Events(x, y, t, p, self._model.sensor_size, trusted=True)
        if self._window.events is not None:
            self._events = self._events[-self._window.events :]
        self.advance(int(t[-1]))

    def push_each(self, events: Events) -> NDArray[np.float32]:
        """Take events one at a time; what `output` gives after each."""
        return answers(self, events)

    def advance(self, now: int) -> None:
        """Put the clock to a time in microseconds."""
        if self._window.microseconds is not None:
            self._events = self._events[self._events.t > now - self._window.microseconds]

    def output(self) -> NDArray[np.float32]:
        """What the head returns for the one sample that the window is."""
        sample = apply(self._model.transforms, Sample(self._events, None, "window"), np.random.default_rng(0))
        return self._model.output(sample.events)

    def __len__(self) -> int:
        """Number of events in the window."""
        return len(self._events)

    def events(self, sensor_size: tuple[int, int]) -> Events:  # noqa: ARG002  # it is the model's
        """The events in the window."""
        return self._events

    def work(self) -> list[tuple[str, float, float, int, int]]:
        """Nothing: dense layers are not counted."""
        return []

    def state_dict(self) -> Arrays:
        """The events in the window."""
        return sealed({name: getattr(self._events, name).copy() for name in "xytp"}, self._network)

    def load_state_dict(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state_dict` was made.

        Raises:
            EventZooError: It is of another network or window, or damaged.
        """
        arrays = unsealed(saved, self._network)
        self._events = Events(arrays["x"], arrays["y"], arrays["t"], arrays["p"], self._model.sensor_size)


def answers(engine: Engine, events: Events) -> NDArray[np.float32]:
    """What an engine says after each event, where it takes them one at a time."""
    outputs = np.empty((len(events), *engine.output().shape), np.float32)
    for i in range(len(events)):
        engine.push(events[i : i + 1])
        outputs[i] = engine.output()
    return outputs


def _shaped(rows: NDArray[np.float32], output: Features) -> NDArray[np.float32]:
    """Recorded rows `[T, sites, C]` as the head returns them, copied: `[T, C]`, or `[T, C, height, width]`."""
    if output.size is None:
        return rows[:, 0].copy()
    return rows.transpose(0, 2, 1).copy().reshape(len(rows), output.channels, *reversed(output.size))


def _columns(events: Events) -> list[NDArray[Any]]:
    """The arrays of events as the compiled function knows them: in one piece and read-only, as `Events` are unless they are sliced."""
    columns = [np.ascontiguousarray(column) for column in (events.x, events.y, events.t, events.p)]
    for column in columns:
        column.flags.writeable = False
    return columns


def _regrown(value: Any, names: Mapping[str, Any], alive: NDArray[np.int64], old: int, new: int) -> Any:
    """A NamedTuple with longer rings; what is alive moves to its new slot."""
    arrays = {}
    for name, empty in names.items():
        before = getattr(value, name)
        arrays[name] = np.full((new, *before.shape[1:]), empty, before.dtype)
        arrays[name][alive & (new - 1)] = before[alive & (old - 1)]
    return value._replace(**arrays)


def sealed(arrays: Arrays, network: NDArray[np.uint64]) -> Arrays:
    """A state with what tells whether it is whole, and of which network."""
    return arrays | {"checksum": checksum(arrays), "network": network}


def unsealed(saved: Mapping[str, NDArray[Any]], network: NDArray[np.uint64]) -> Arrays:
    """The arrays of a state of this network that is whole."""
    arrays = {name: np.asarray(array) for name, array in saved.items() if name not in ("checksum", "network")}
    if "network" not in saved or not np.array_equal(saved["network"], network):
        raise EventZooError("the state is that of another network or window; restore it into a model that was made the same way")
    if "checksum" not in saved or not np.array_equal(saved["checksum"], checksum(arrays)):
        raise EventZooError("the state is damaged: its arrays do not have the checksum that they were saved with")
    return arrays


def checksum(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """xxh3 of all arrays with their names and shapes."""
    digest = xxhash.xxh3_64()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.array([digest.intdigest()], np.uint64)
