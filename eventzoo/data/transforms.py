"""Transforms: functions from a sample to a sample, whose only source of chance is the generator they are given."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eventzoo.data.dataset import Sample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part


class EventTransform(Part, ABC):
    """Base of all transforms."""

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The transformed sample; the given one is not changed."""


def apply(transforms: Sequence[EventTransform], sample: Sample, rng: np.random.Generator) -> Sample:
    """One transform after the other."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


class RandomSubsample(EventTransform):
    """Keep `count` events drawn without replacement, in time order; all of them where there are no more.

    Args:
        count: Number of events to keep, at least 1.
    """

    def __init__(self, count: int) -> None:
        self.count = _positive("count", count)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        total = len(sample.events)
        if total <= self.count:
            return sample
        kept = np.sort(rng.choice(total, self.count, replace=False))
        return replace(sample, events=_take(sample.events, kept))


class EvenSubsample(EventTransform):
    """Keep `count` events evenly spaced in their order, the first and the last among them. No chance is involved.

    Args:
        count: Number of events to keep, at least 1; all of them where there are no more.
    """

    def __init__(self, count: int) -> None:
        self.count = _positive("count", count)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample with fewer events."""
        total = len(sample.events)
        if total <= self.count:
            return sample
        kept = np.linspace(0, total - 1, self.count).astype(np.int64)
        return replace(sample, events=_take(sample.events, kept))


class RandomShift(EventTransform):
    """Move all events by one random offset; what leaves the sensor is dropped.

    Args:
        pixels: Largest shift, in each direction and each axis; every whole shift up to it is equally likely.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = _positive("pixels", pixels)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, moved."""
        events = sample.events
        right, down = rng.integers(-self.pixels, self.pixels + 1, 2, dtype=np.int64)
        x, y = events.x + right, events.y + down
        width, height = events.sensor_size
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        moved = Events(x[inside], y[inside], events.t[inside], events.p[inside], events.sensor_size, trusted=True)
        return replace(sample, events=moved)


def _take(events: Events, kept: np.ndarray) -> Events:
    """Events at ascending indices."""
    return Events(events.x[kept], events.y[kept], events.t[kept], events.p[kept], events.sensor_size, trusted=True)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise EventZooError(f"{name} must be at least 1, not {value}")
    return value
