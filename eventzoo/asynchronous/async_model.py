"""AsyncModel: a model that is asked after every event."""

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.asynchronous.accounting import Latency, LayerFlops
from eventzoo.asynchronous.capture import Fallback, capture
from eventzoo.asynchronous.converter import Engine, Unsupported, converter_of, engine_converters
from eventzoo.asynchronous.engine import CompiledEngine, DenseEngine, first_capacity
from eventzoo.asynchronous.plan import Plan
from eventzoo.asynchronous.window import Window, with_own_window
from eventzoo.data.transforms import sensor_size_after
from eventzoo.errors import EventZooError
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.model import EventModel
    from eventzoo.tasks.results import Result


def make_asynchronous(model: "EventModel", window: Window | None = None, strict: bool = False) -> "AsyncModel":
    """The asynchronous form of a model: takes events as they come, and answers after each what the model would answer.

    Neither the model's class nor its weights are changed; the asynchronous form has a copy of the weights as they are now.
    What cannot be computed event by event is computed densely, on all that is in the window, and listed in `fallbacks`.

    Args:
        model: The model.
        window: The events that count. Default: those of the window that the model's transforms end with, such as `WindowByTime`; all of
            them if there is none.
        strict: Whether a layer that has to be run densely is an error.

    Raises:
        EventZooError: `strict`, and a layer has to be run densely; or the window's features cannot be final; or it is counted in
            events and the model's own in microseconds, or the other way round.
    """
    return AsyncModel(model, window or Window(), strict)


class AsyncModel:
    """A model that is pushed events, and keeps its answer current.

    Made by `make_asynchronous` or `EventModel.asynchronous`.

    Attributes:
        model: The model, as it was when it was made asynchronous. A window at the end of its transforms has become part of `window`.
        window: The events that count.
        fallbacks: Layers that are run densely after every push, and why. Empty where everything runs event by event.
        latency: How long the pushes took.
    """

    def __init__(self, model: "EventModel", window: Window, strict: bool) -> None:
        model = copy.deepcopy(model).cpu().eval()  # what becomes of the original and its weights changes nothing here
        model.transforms, window = with_own_window(model.transforms, window)
        self.model, self.window = model, window
        self._now: int | None = None
        self._answer: tuple[bytes, Result] | None = None  # the head's output, and what was read from it
        self._streamed = all(transform.streams for transform in model.transforms)
        self._engine: Engine
        self.fallbacks: tuple[Fallback, ...]
        try:
            if not self._streamed:
                names = ", ".join(type(transform).__name__ for transform in model.transforms if not transform.streams)
                raise Unsupported(f"the model's {names} cannot be done on a stream; EveryKth thins out a stream")
            self._size = sensor_size_after(model.transforms, model.sensor_size)
            self._engine, self.fallbacks = self._event_by_event()
        except Unsupported as reason:
            if window.history:
                raise EventZooError(f"{type(model.representation).__name__}: {reason}") from reason
            self._size = model.sensor_size
            self._engine, self.fallbacks = DenseEngine(model, window), (Fallback(type(model.representation).__name__, str(reason)),)
        if strict and self.fallbacks:
            raise EventZooError(
                "not all of the model runs event by event: "
                + "; ".join(map(str, self.fallbacks))
                + ". Leave out `strict` to run these layers densely, or install a package with an async converter for them"
            )
        self._begin()

    def _event_by_event(self) -> tuple[Engine, tuple[Fallback, ...]]:
        """What runs the model on a stream, and the layers that it runs densely.

        Raises:
            Unsupported: Nothing of it can be run event by event.
        """
        model, window, size = self.model, self.window, self._size
        whole = converter_of(model.representation, engine_converters())
        if whole is not None:
            return whole.engine(model, size, window), ()
        engine = CompiledEngine(lambda: capture(model, Plan(window, size, first_capacity(window))), self._represent)
        return engine, engine.captured.fallbacks

    def push(self, events: Events) -> "Result":
        """Take the next events of the stream, one or many.

        Returns:
            The model's answer after the last of them: a `ClassificationResult`, or `Detections`.

        Raises:
            EventZooError: They are of a larger sensor than the model's, or earlier than what came before; none of them is taken.
        """
        self._check(events)
        start = time.perf_counter_ns()
        streamed = self._transformed(events)
        self._engine.push(streamed)
        result = self.output()
        self._note(events, start)
        return result

    def push_each(self, events: Events) -> NDArray[np.float32]:
        """Take the next events of the stream one by one.

        Returns:
            The head's output after each event that the model's transforms leave, float32 `[N, …]`: in classification logits
            `[N, classes]`, in detection what the head's class says, which `model.result` turns into boxes.

        Raises:
            EventZooError: As `push`.
        """
        self._check(events)
        start = time.perf_counter_ns()
        outputs = self._engine.push_each(self._transformed(events))
        self._note(events, start)
        return outputs

    def advance(self, now: int) -> "Result":
        """Let time pass without events, to `now` in microseconds: what is too old for the window leaves it.

        Raises:
            EventZooError: It is before the last event.
        """
        if self._now is not None and now < self._now:
            raise EventZooError(f"time runs backwards: {now:,} µs after {self._now:,} µs; reset() begins a new stream")
        self._now = now
        self._engine.advance(now)
        return self.output()

    def output(self) -> "Result":
        """The model's answer for the window as it is. It is one and the same object as long as the head's output stays the same."""
        output = self.head_output()
        said = output.tobytes()
        if self._answer is None or said != self._answer[0]:
            self._answer = said, self.model.result(output)  # to read boxes from a map takes longer than an event
        return self._answer[1]

    def head_output(self) -> NDArray[np.float32]:
        """What the head returns for the window as it is, and the answer is read from: float32, as `EventModel.output` gives it."""
        return self._engine.output()

    def reset(self) -> None:
        """Forget all events, and all that was counted: a new stream begins."""
        self._engine.reset()
        self._begin()

    def _begin(self) -> None:
        self.latency = Latency()
        self.num_events, self._now = 0, None
        self._seen = [0] * len(self.model.transforms)

    def __len__(self) -> int:
        """Number of events in the window, as the network sees them."""
        return len(self._engine)

    @property
    def events(self) -> Events:
        """The events in the window, as the network sees them: after the model's transforms, where those can be done on a stream."""
        return self._engine.events(self._size)

    @property
    def flops(self) -> list[LayerFlops]:
        """Operations by layer, done and saved; layers that are run densely are not counted."""
        pushed = max(self.num_events, 1)
        return [LayerFlops(name, done / pushed, dense, sites / pushed, there) for name, done, dense, sites, there in self._engine.work()]

    def synchronous(self) -> "Result":
        """The answer of the synchronous model on the events in the window: what `output` gives but for rounding.

        Raises:
            EventZooError: The window's features are final: they depend on events that left it.
        """
        if self.window.history:
            raise EventZooError("with final features the answer depends on events that left the window")
        if self._streamed:
            return self.model.result(self.model.output(self.events))
        return self.model.predict(self.events)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The state in the middle of a stream, as arrays by name; to be kept as any arrays are, for instance by `numpy.savez`."""
        stream = np.array([self.num_events, self._now is not None, self._now or 0, *self._seen], np.int64)
        return {"stream": stream, **self._engine.state_dict()}

    def load_state_dict(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state_dict` was made, in a model that was made the same way.

        Raises:
            EventZooError: It is of another network or window, or damaged.
        """
        if "stream" not in saved or len(saved["stream"]) != 3 + len(self._seen):
            raise EventZooError("this is not the state of this model")
        self._engine.load_state_dict({name: array for name, array in saved.items() if name != "stream"})
        self._begin()
        self.num_events, has_time, now, *seen = saved["stream"].tolist()
        self._now, self._seen = now if has_time else None, seen

    def _check(self, events: Events) -> None:
        """Refuse, in words, what cannot be the next part of the stream."""
        if not isinstance(events, Events):
            raise EventZooError(f"push takes Events, not {type(events).__name__}; a file is read with eventzoo.read(path)")
        if events.sensor_size[0] > self.model.sensor_size[0] or events.sensor_size[1] > self.model.sensor_size[1]:
            given, made_for = ("×".join(map(str, size)) for size in (events.sensor_size, self.model.sensor_size))
            raise EventZooError(f"the model is made for a {made_for} sensor, the events are of {given}; crop or scale them first")
        if len(events) == 0:
            return
        if self._now is not None and events.t[0] < self._now:
            raise EventZooError(
                f"time runs backwards: an event at {events.t[0]:,} µs after {self._now:,} µs; push events in order, or reset() first"
            )

    def _transformed(self, events: Events) -> Events:
        """What the model's transforms make of the next events."""
        if len(events):
            self._now = int(events.t[-1])
        self.num_events += len(events)
        if events.sensor_size != self.model.sensor_size:
            events = Events(events.x, events.y, events.t, events.p, self.model.sensor_size, trusted=True)
        if not self._streamed:
            return events
        for number, transform in enumerate(self.model.transforms):
            before = len(events)
            events = transform.on_stream(events, self._seen[number])
            self._seen[number] += before
        return events

    def _represent(self, x: NDArray[Any], y: NDArray[Any], t: NDArray[Any], p: NDArray[Any]) -> Any:
        """The batch that the synchronous model's backbone is given for these events."""
        representation = self.model.representation
        return representation.collate([representation(Events(x, y, t, p, self._size, trusted=True))])

    def _note(self, events: Events, start: int) -> None:
        self.latency.add(time.perf_counter_ns() - start, len(events))

    def __repr__(self) -> str:
        network = type(self.model.backbone).__name__
        dense = f", {len(self.fallbacks)} layers run densely" if self.fallbacks else ""
        return f"AsyncModel({network} on {self.window}{dense}; {self.num_events:,} events so far)"
