"""Windows: a stretch of a recording, by number of events or by time.

In detection, boxes say where objects are at one moment, and a window of events is evidence for it only if it ends there.
So a sample with boxes has windows at the position `end` alone, which then end with the boxes' time, included.
"""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, positive
from eventzoo.errors import EventZooError

Position = Literal["start", "middle", "end", "random"]


class WindowByCount(EventTransform):
    """Keep `count` events that follow each other; all of them where there are no more.

    Random in training, anything else in evaluation. asynet (Messikommer et al., ECCV 2020) trains on 25,000 events from a
    random start and evaluates on the first 25,000.

    Args:
        count: Number of events to keep, at least 1.
        position: `start`, `middle` or `end` of the recording, or `random`: every window is equally likely. A sample with
            boxes allows only `end`: the last events up to the boxes' time.

    Raises:
        EventZooError: `count` or `position` is not one of these; when called, a sample with boxes meets another position
            than `end`, or its boxes hold at different times.
    """

    def __init__(self, count: int, position: Position = "end") -> None:
        self.count, self.position = positive(self, "count", count), _checked(self, position)
        self.random = position == "random"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with the events of the window."""
        stop = int(np.searchsorted(sample.events.t, _end(sample, self.position), side="right"))
        first = _start(self.position, max(stop - self.count, 0), rng)
        return replace(sample, events=sample.events[first : min(first + self.count, stop)])


class WindowByTime(EventTransform):
    """Keep the events of a stretch of `duration` microseconds; all of them where the recording is no longer.

    A window is half-open, `start <= t < start + duration`. At the end, it is the one whose last microsecond is the last event's.

    Args:
        duration: Length of the window, microseconds, at least 1.
        position: `start`, `middle` or `end` of the recording, or `random`: every window within it is equally likely. A
            sample with boxes allows only `end`: the window whose last microsecond is the boxes' time.

    Raises:
        EventZooError: `duration` or `position` is not one of these; when called, a sample with boxes meets another position
            than `end`, or its boxes hold at different times.
    """

    def __init__(self, duration: int, position: Position = "end") -> None:
        self.duration, self.position = positive(self, "duration", duration), _checked(self, position)
        self.random = position == "random"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with the events of the window; their times stay what they are."""
        stop = _end(sample, self.position) + 1
        if not len(sample.events):
            return sample
        begin = int(sample.events.t[0])
        start = begin + _start(self.position, max(stop - begin - self.duration, 0), rng)
        return replace(sample, events=sample.events.between(start, min(start + self.duration, stop)))


def _checked(window: EventTransform, position: Position) -> Position:
    if position not in get_args(Position):
        raise EventZooError(f"{type(window).__name__}: a position is {', '.join(get_args(Position))}, not {position!r}")
    return position


def _start(position: Position, room: int, rng: np.random.Generator) -> int:
    """Where the window begins, given the last place at which it can."""
    if position == "random":
        return int(rng.integers(0, room + 1))
    return {"start": 0, "middle": room // 2, "end": room}[position]


def _end(sample: Sample, position: Position) -> int:
    """Time of the last event that a window may hold, microseconds."""
    last = int(sample.events.t[-1]) if len(sample.events) else 0
    if sample.boxes is None:
        return last
    if position != "end":
        raise EventZooError(f"sample {sample.key} has boxes, so a window must end at their time: position must be 'end', not {position!r}")
    times = np.unique(sample.boxes.t)
    if len(times) > 1:
        raise EventZooError(f"sample {sample.key} has boxes at {len(times)} times, and a window can end at one only")
    return int(times[0]) if len(times) else last
