"""What a transform is, and what all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part

_UNTOUCHED = np.random.default_rng(0)  # for transforms that draw nothing
LEAST_VISIBLE = 0.1
"""A box of which less than this share of its area remains on the sensor is dropped."""


class EventTransform(Part, ABC):
    """Base of all transforms: from a sample to a sample, with a generator as the only source of chance.

    Events stay in time order, on the sensor, with times in whole microseconds; the given sample is never changed. Boxes
    follow the events wherever a transform moves them.

    Attributes:
        random: Whether it draws from the generator. What comes before the first random transform can be prepared once;
            so a transform that says False never touches the generator.
        streams: Whether it treats a stream that comes in pieces as it treats the whole.
    """

    random: bool = True
    streams: bool = False

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The transformed sample; the given one is not changed."""

    def on_stream(self, events: Events, seen: int) -> Events:  # noqa: ARG002  # it matters where events are counted
        """What it makes of the next events of a stream, `seen` of which came before: the same as if they had come at once.

        Raises:
            EventZooError: It does not stream.
        """
        if not self.streams:
            raise EventZooError(
                f"{type(self).__name__} cannot be done on a stream: what it makes of an event depends on the whole recording or on chance. "
                "EveryKth thins out a stream"
            )
        return self(Sample(events, -1, "stream"), _UNTOUCHED).events


def apply(transforms: Sequence[EventTransform], sample: Sample, rng: np.random.Generator) -> Sample:
    """One transform after the other."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def sensor_size_after(transforms: Sequence[EventTransform], sensor_size: tuple[int, int]) -> tuple[int, int]:
    """`(width, height)` of the sensor on which a sample's events are after the transforms, of which crops and `Resize` change it."""
    nothing = Sample(Events.empty(sensor_size), 0, "nothing")
    return apply(transforms, nothing, np.random.default_rng(0)).events.sensor_size


def take(events: Events, kept: NDArray[np.int64] | NDArray[np.bool_]) -> Events:
    """Events at ascending indices, or where a mask is True."""
    return Events(events.x[kept], events.y[kept], events.t[kept], events.p[kept], events.sensor_size, trusted=True)


def in_time_order(
    x: NDArray[np.int16], y: NDArray[np.int16], t: NDArray[np.int64], p: NDArray[np.bool_], sensor_size: tuple[int, int]
) -> Events:
    """Events sorted by time; those with equal times keep their order."""
    order = np.argsort(t, kind="stable")
    return Events(x[order], y[order], t[order], p[order], sensor_size, trusted=True)


def merged(first: Events, second: Events) -> Events:
    """The events of two recordings of one sensor in time order; at equal times, the first's come first."""
    x, y, t, p = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in "xytp")
    return in_time_order(x, y, t, p, first.sensor_size)


def on_sensor(boxes: Boxes, sensor_size: tuple[int, int]) -> Boxes:
    """The parts of the boxes that lie on the sensor, without boxes of which less than `LEAST_VISIBLE` remains."""
    whole = boxes.sizes.prod(1, dtype=np.float64)
    width, height = sensor_size
    visible = (boxes.xyxy[:, 2:].clip(0, (width, height)) - boxes.xyxy[:, :2].clip(0, (width, height))).prod(1, dtype=np.float64)
    return boxes[np.flatnonzero(visible >= LEAST_VISIBLE * whole)].clipped(sensor_size)


def positive(owner: Part, name: str, value: int) -> int:
    """The value, refused in the name of its owner where it is below 1."""
    if value < 1:
        raise EventZooError(f"{type(owner).__name__}: {name} must be at least 1, not {value}")
    return value


def share(owner: Part, name: str, value: float) -> float:
    """The value, refused in the name of its owner where it is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise EventZooError(f"{type(owner).__name__}: {name} must be between 0 and 1, not {value}")
    return value


def factors(owner: Part, low: float, high: float) -> tuple[float, float]:
    """A range of factors, refused in the name of its owner where it is not positive or upside down."""
    if not 0 < low <= high < np.inf:
        raise EventZooError(f"{type(owner).__name__}: factors must be positive, the lower first, not {low} and {high}")
    return low, high


def tossed(probability: float, rng: np.random.Generator) -> bool:
    """True with a probability; certainty, either way, draws nothing."""
    return probability >= 1 or (probability > 0 and rng.random() < probability)
