"""What the commands that run a model event by event share: its model, its window and its recording."""

import argparse
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read, read_windows
from eventzoo.io.encodings import ENCODINGS, opened
from eventzoo.zoo import load

if TYPE_CHECKING:  # torch takes a second, which --help need not wait for
    from eventzoo.asynchronous import AsyncModel, Window
    from eventzoo.model import EventModel

_ANY_SIZE = (1 << 15, 1 << 15)  # pixels, the most that a recording may have
_PATIENCE = 2.0  # seconds: whoever waits longer is told what for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, recording and window, as all these commands take them."""
    parser.add_argument("--model", required=True, help="what eventzoo.load takes: local-dir:FOLDER for a saved model, or a card's name")
    recording = parser.add_argument_group("recording")
    recording.add_argument("--input", required=True, type=Path, metavar="FILE", help="in any format; `eventzoo inspect FILE` describes it")
    add_reading_arguments(recording)
    window = parser.add_argument_group(
        "window", "the events that the model's answer is about; default: those of the model's own window, or all so far if it has none"
    )
    size = window.add_mutually_exclusive_group()
    size.add_argument("--window-events", type=positive, metavar="N", help="the last N events")
    size.add_argument("--window-us", type=positive, metavar="T", help="those of the last T microseconds")
    window.add_argument(
        "--history",
        action="store_true",
        help="features are final: an event that leaves the window leaves no trace in what is pooled, but its neighbours keep what they saw "
        "of it. A full window then costs no more than a growing one; for causal graphs and event streams",
    )


def add_reading_arguments(parser: Any) -> None:
    """How a recording is read, and how much of it."""
    parser.add_argument("--encoding", choices=list(ENCODINGS), help="where neither the file's suffix nor its beginning tell the format")
    parser.add_argument(
        "--sensor-size",
        type=int,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="of the recording, pixels; default: what its header says, else what the model is made for",
    )
    parser.add_argument("--start", type=int, metavar="US", help="only events at or after this time of the recording, microseconds")
    parser.add_argument("--stop", type=int, metavar="US", help="only events before this time of the recording, microseconds")


def positive(text: str) -> int:
    """A whole number of at least 1, as an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def window_of(given: argparse.Namespace) -> "Window":
    """The window that the arguments describe."""
    from eventzoo.asynchronous import Window

    return Window(given.window_events, given.window_us, given.history)


def compiled(model: "EventModel", window: "Window") -> "AsyncModel":
    """The asynchronous form of a model. Says what takes so long, if it does, and what runs densely."""
    text = "preparing the network; one that is new to this machine is compiled once, which takes about half a minute"
    notice = threading.Timer(_PATIENCE, print, [text], {"file": sys.stderr, "flush": True})
    notice.daemon = True
    notice.start()
    try:
        stream = model.asynchronous(window)
    finally:
        notice.cancel()
    for fallback in stream.fallbacks:
        print(f"runs densely, on the whole window, at every push: {fallback}", file=sys.stderr)
    return stream


@dataclass(frozen=True)
class Recorded:
    """A recording for a model.

    Attributes:
        path: Its file.
        encoding: Its format, None if the file tells.
        given_size: `(width, height)` to read it with.
        sensor_size: `(width, height)` of the model's sensor, which its events are on.
        start: Time of the first event in microseconds, None for the file's.
        stop: Time before which it ends, None for the file's end.
    """

    path: Path
    encoding: str | None
    given_size: tuple[int, int]
    sensor_size: tuple[int, int]
    start: int | None
    stop: int | None

    @classmethod
    def of(cls, given: Any, sensor_size: tuple[int, int]) -> "Recorded":
        """The recording that the arguments describe, for a model of this sensor's size.

        Raises:
            EventZooError: There is none, or it is of a larger sensor than the model's.
        """
        size = None if given.sensor_size is None else (given.sensor_size[0], given.sensor_size[1])
        if size is None:
            with opened(given.input, given.encoding) as recording:
                size = recording.sensor_size
        recorded = cls(given.input, given.encoding, size or _ANY_SIZE, sensor_size, given.start, given.stop)
        if size is not None and (size[0] > sensor_size[0] or size[1] > sensor_size[1]):
            raise recorded.too_large(f"is of a {size[0]}×{size[1]} sensor")
        return recorded

    def too_large(self, what: str) -> EventZooError:
        """The error that it has events where the model has no pixels."""
        width, height = self.sensor_size
        return EventZooError(
            f"{self.path} {what}, the model is made for {width}×{height}; crop or scale the recording first "
            f"(CentreCrop and Resize in eventzoo.data.transforms), or give --sensor-size {width} {height} if all its events are within"
        )

    def empty(self) -> EventZooError:
        """The error that there are no events."""
        between = "" if self.start is None and self.stop is None else " between --start and --stop"
        return EventZooError(f"{self.path} has no events{between}; `eventzoo inspect {self.path}` tells what it has")

    def chunks(self, duration: int | None = None, count: int | None = None) -> Iterator[Events]:
        """The recording in parts of `duration` microseconds or `count` events, as `read_windows` gives them, without empty ones.

        Raises:
            EventFileError: The file is damaged.
            EventZooError: An event is outside the model's sensor.
        """
        for window in read_windows(self.path, duration=duration, count=count, sensor_size=self.given_size, encoding=self.encoding):
            first = 0 if self.start is None else int(np.searchsorted(window.t, self.start))
            last = len(window) if self.stop is None else int(np.searchsorted(window.t, self.stop))
            if first < last:
                yield self._on_sensor(window[first:last])
            if last < len(window):
                return

    def whole(self) -> Events:
        """All events.

        Raises:
            EventFileError: The file is damaged.
            EventZooError: There are no events, or one is outside the model's sensor.
        """
        events = read(self.path, sensor_size=self.given_size, start=self.start, stop=self.stop, encoding=self.encoding)
        if len(events) == 0:
            raise self.empty()
        return self._on_sensor(events)

    def _on_sensor(self, events: Events) -> Events:
        outside = (events.x >= self.sensor_size[0]) | (events.y >= self.sensor_size[1])
        if outside.any():
            at = int(outside.argmax())
            raise self.too_large(f"has an event at (x, y) = ({events.x[at]}, {events.y[at]}), time {events.t[at]:,} µs")
        return Events(events.x, events.y, events.t, events.p, self.sensor_size, trusted=True)


def measured(given: argparse.Namespace) -> tuple[Events, "AsyncModel"]:
    """A recording, and the model that it is to be pushed to, as `prepared` gives them."""
    events, model, window = prepared(given)
    return events, compiled(model, window)


def prepared(given: argparse.Namespace) -> "tuple[Events, EventModel, Window]":
    """A recording and a model, both without what only thins the recording out, and the window that the model is to look at.

    Transforms that can be done on a stream are done beforehand: an event that they drop costs nothing, and would only hide what
    the others cost. A model with other transforms runs densely, as it is.
    """
    from eventzoo.asynchronous.window import with_own_window
    from eventzoo.data.transforms import sensor_size_after
    from eventzoo.model import EventModel

    model = load(given.model)
    events = Recorded.of(given, model.sensor_size).whole()
    transforms, window = with_own_window(model.transforms, window_of(given))
    if transforms and all(transform.streams for transform in transforms):
        count = len(events)
        for transform in transforms:
            events = transform.on_stream(events, 0)
        names = ", ".join(type(transform).__name__ for transform in transforms)
        print(f"the model's {names} leaves {len(events):,} of {count:,} events; the figures are for those", file=sys.stderr)
        if len(events) == 0:
            raise EventZooError("no event is left to measure")
        size = sensor_size_after(transforms, model.sensor_size)
        model = EventModel(model.representation, model.backbone, model.head, model.classes, size)
    return events, model, window


def growing(count: int) -> list[int]:
    """Numbers of events to measure at, evenly spaced on a logarithmic axis: 100, 150, 200, 300, … and the last, `count`."""
    steps = [round(mantissa * 10**power) for power in range(2, 12) for mantissa in (1, 1.5, 2, 3, 5, 7)]
    return [*(step for step in steps if step < count), count]


def progress(done: int, count: int) -> None:
    """Say on a terminal how many events are done; nothing is left of it in the end."""
    if sys.stderr.isatty():
        text = f"{done:,} of {count:,} events" if done < count else "\x1b[K"
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def subject(stream: "AsyncModel", path: Path) -> str:
    """What was measured, as a title."""
    return f"{type(stream.model.backbone).__name__}, {stream.window}, {path.name}"


def axis(stream: "AsyncModel") -> str:
    """What the number of pushed events means for the graph, as an axis' label."""
    if stream.window.events is None and stream.window.microseconds is None:
        return "events in the graph"
    return f"events pushed (in the graph: {stream.window})"
