"""Dropping: events that are lost at random, over time or in a part of the view. Boxes stay, as the objects are still there."""

from dataclasses import replace

import numpy as np

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, positive, share, take, tossed
from eventzoo.data.transforms.time import in_chunks
from eventzoo.errors import EventZooError


class EventDrop(EventTransform):
    """Drop each event with a probability, each by itself.

    With `TimeDrop` and `RandomErasing` in a `RandomChoice`, this is the augmentation EventDrop (Gu et al., IJCAI 2021).

    Args:
        probability: Of an event's being dropped.
    """

    def __init__(self, probability: float) -> None:
        self.probability = share(self, "probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        return replace(sample, events=take(sample.events, np.flatnonzero(rng.random(len(sample.events)) >= self.probability)))


class TimeDrop(EventTransform):
    """Drop all events of one random interval of time.

    Args:
        fraction: Length of the interval, as a share of the recording's duration.
    """

    def __init__(self, fraction: float) -> None:
        self.fraction = share(self, "fraction", fraction)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        duration = sample.events.duration
        start = rng.uniform(0, (1 - self.fraction) * duration)
        since = sample.events.t - sample.events.t[:1]
        return replace(sample, events=take(sample.events, (since < start) | (since >= start + self.fraction * duration)))


class ChunkDrop(EventTransform):
    """Drop a few random runs of events.

    Args:
        chunks: Number of runs, at least 1; they may overlap.
        longest: Largest number of events in a run; every length from 1 to it is equally likely.
    """

    def __init__(self, chunks: int, longest: int) -> None:
        self.chunks, self.longest = positive(self, "chunks", chunks), positive(self, "longest", longest)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        return replace(sample, events=take(sample.events, ~in_chunks(len(sample.events), self.chunks, self.longest, rng)))


class RandomErasing(EventTransform):
    """Drop all events of one random rectangle with a probability.

    As in Event2Vec, the rectangle's centre lies anywhere on the sensor, and each side has every length up to its largest.

    Args:
        width: Largest width, pixels.
        height: Largest height, pixels.
        probability: Of an erasing.
    """

    def __init__(self, width: float, height: float, probability: float = 0.5) -> None:
        if not (width > 0 and height > 0):
            raise EventZooError(f"RandomErasing: the rectangle's largest sides must be positive, not {width} and {height}")
        self.width, self.height = width, height
        self.probability = share(self, "probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, with a blind spot or not."""
        if not tossed(self.probability, rng):
            return sample
        events = sample.events
        x, y = rng.uniform(0, np.array(events.sensor_size) - 1)
        half_width, half_height = rng.uniform(0, (self.width / 2, self.height / 2))
        seen = (np.abs(events.x - x) > half_width) | (np.abs(events.y - y) > half_height)
        return replace(sample, events=take(events, np.flatnonzero(seen)))
