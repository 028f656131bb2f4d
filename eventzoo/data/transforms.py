"""Transforms: functions from a sample to a sample, whose only source of chance is the generator they are given."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import Sample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part


class EventTransform(Part, ABC):
    """Base of all transforms.

    Attributes:
        random: Whether it draws from the generator. What comes before the first random transform can be prepared once.
    """

    random: bool = True

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

    random = False

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
        right, down = rng.integers(-self.pixels, self.pixels + 1, 2, dtype=np.int64)
        return _moved(sample, sample.events.x + right, sample.events.y + down)


class RandomRotation(EventTransform):
    """Turn all events by one random angle about the sensor's centre; what leaves the sensor is dropped.

    Args:
        degrees: Largest angle, in each direction.
    """

    def __init__(self, degrees: float) -> None:
        if not 0 < degrees <= 180:
            raise EventZooError(f"degrees must be above 0 and at most 180, not {degrees}")
        self.degrees = degrees

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, turned."""
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        x, y = _from_centre(sample.events)
        return _moved_from_centre(sample, x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle))


class RandomScale(EventTransform):
    """Scale all positions by one random factor about the sensor's centre; what leaves the sensor is dropped.

    Args:
        low: Smallest factor.
        high: Largest factor.
    """

    def __init__(self, low: float, high: float) -> None:
        if not 0 < low <= high:
            raise EventZooError(f"factors must be positive, the lower first, not {low} and {high}")
        self.low, self.high = low, high

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, scaled."""
        factor = rng.uniform(self.low, self.high)
        x, y = _from_centre(sample.events)
        return _moved_from_centre(sample, x * factor, y * factor)


def _from_centre(events: Events) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positions relative to the sensor's centre."""
    width, height = events.sensor_size
    return events.x - (width - 1) / 2, events.y - (height - 1) / 2


def _moved_from_centre(sample: Sample, x: NDArray[Any], y: NDArray[Any]) -> Sample:
    """The sample with its events at the pixels nearest to positions relative to the sensor's centre."""
    width, height = sample.events.sensor_size
    column, row = np.floor(x + width / 2), np.floor(y + height / 2)  # half a pixel from the centre's coordinate, then rounded
    return _moved(sample, column.astype(np.int64), row.astype(np.int64))


def _moved(sample: Sample, x: NDArray[Any], y: NDArray[Any]) -> Sample:
    """The sample with its events at other pixels, without those that are outside the sensor."""
    events = sample.events
    width, height = events.sensor_size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    moved = Events(x[inside], y[inside], events.t[inside], events.p[inside], events.sensor_size, trusted=True)
    return replace(sample, events=moved)


def _take(events: Events, kept: NDArray[np.int64]) -> Events:
    """Events at ascending indices."""
    return Events(events.x[kept], events.y[kept], events.t[kept], events.p[kept], events.sensor_size, trusted=True)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise EventZooError(f"{name} must be at least 1, not {value}")
    return value
