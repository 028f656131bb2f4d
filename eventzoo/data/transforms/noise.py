"""Noise: wrong polarities, background activity, hot pixels. Added events come after others of the same microsecond."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, merged, positive, share, tossed
from eventzoo.errors import EventZooError
from eventzoo.events import Events


class RandomPolarityFlip(EventTransform):
    """Negate the polarity of all events with a probability, as if the scene's contrast were inverted.

    Args:
        probability: Of a flip. With 1 every sample is flipped and no chance is involved.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = share(self, "probability", probability)
        self.random = 0 < probability < 1
        self.streams = not self.random

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, negated or not."""
        return replace(sample, events=_negated(sample.events, np.True_)) if tossed(self.probability, rng) else sample


class PolarityNoise(EventTransform):
    """Negate the polarity of each event with a probability, each by itself.

    Event2Vec calls this RandomPolarityFlip, and Tonic describes its RandomFlipPolarity so (which, in release 1.7, negates all or none).

    Args:
        probability: Of an event's being negated.
    """

    def __init__(self, probability: float) -> None:
        self.probability = share(self, "probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with other polarities."""
        return replace(sample, events=_negated(sample.events, rng.random(len(sample.events)) < self.probability))


class ReplaceByNoise(EventTransform):
    """Replace each event with a probability by one of random pixel and polarity at its time, as Event2Vec does.

    Args:
        probability: Of an event's being replaced.
    """

    def __init__(self, probability: float) -> None:
        self.probability = share(self, "probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with as many events, some of them noise."""
        events = sample.events
        replaced = np.flatnonzero(rng.random(len(events)) < self.probability)
        x, y, p = events.x.copy(), events.y.copy(), events.p.copy()
        x[replaced], y[replaced], p[replaced] = _anywhere(len(replaced), events.sensor_size, rng)
        return replace(sample, events=Events(x, y, events.t, p, events.sensor_size, trusted=True))


class BackgroundNoise(EventTransform):
    """Add a sensor's background activity, from the first event to the last: a Poisson process on every pixel, both polarities alike.

    Args:
        rate: Noise events a second and pixel.
    """

    def __init__(self, rate: float) -> None:
        self.rate = _rate(self, rate)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with more events."""
        events = sample.events
        width, height = events.sensor_size
        t = _poisson(self.rate * width * height, events, rng)
        return replace(sample, events=_with(events, *_anywhere(len(t), events.sensor_size, rng), t))


class HotPixels(EventTransform):
    """Add a few defective pixels, which fire all the time, each a Poisson process of one polarity, from the first event to the last.

    Args:
        count: Number of hot pixels, all different; their places and polarities are random.
        rate: Events a second of each.
    """

    def __init__(self, count: int, rate: float) -> None:
        self.count, self.rate = positive(self, "count", count), _rate(self, rate)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with more events."""
        events = sample.events
        width, height = events.sensor_size
        if self.count > width * height:
            raise EventZooError(f"a sensor of {width}×{height} pixels cannot have {self.count:,} hot ones")
        y, x = np.divmod(rng.choice(width * height, self.count, replace=False), width)
        polarity = rng.random(self.count) < 0.5
        t = _poisson(self.rate * self.count, events, rng)
        which = rng.integers(0, self.count, len(t))
        return replace(sample, events=_with(events, x[which], y[which], polarity[which], t))


def _rate(owner: EventTransform, rate: float) -> float:
    if not 0 <= rate < np.inf:
        raise EventZooError(f"{type(owner).__name__}: a rate is a number of events a second, not negative; it is {rate}")
    return rate


def _negated(events: Events, chosen: NDArray[np.bool_] | np.bool_) -> Events:
    return Events(events.x, events.y, events.t, events.p ^ chosen, events.sensor_size, trusted=True)


def _poisson(rate: float, events: Events, rng: np.random.Generator) -> NDArray[np.int64]:
    """Times of a Poisson process of `rate` a second in order, from the first event to the last; none without events."""
    if not len(events):
        return np.empty(0, np.int64)
    return np.sort(rng.integers(events.t[0], events.t[-1], rng.poisson(rate * events.duration * 1e-6), endpoint=True))


def _anywhere(
    count: int, sensor_size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.bool_]]:
    """Columns, rows and polarities, all equally likely."""
    width, height = sensor_size
    x, y = rng.integers(0, width, count).astype(np.int16), rng.integers(0, height, count).astype(np.int16)
    return x, y, rng.random(count) < 0.5


def _with(events: Events, x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], t: NDArray[np.int64]) -> Events:
    """The events and noise, in time order."""
    return merged(events, Events(x, y, t, p, events.sensor_size, trusted=True))
