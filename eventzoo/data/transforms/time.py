"""Time: reversal, stretching and jitter. Times stay whole microseconds in order, and boxes move with the events."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, factors, in_time_order, positive, share, tossed
from eventzoo.errors import EventZooError
from eventzoo.events import Events


class RandomTimeReversal(EventTransform):
    """Play the recording backwards with a probability: t becomes first + last - t, and every polarity is negated.

    What brightens forwards darkens backwards, so a reversal without the negation would show no possible scene. One of ECN's
    augmentations (Jack, ACCV 2020).

    Args:
        probability: Of a reversal. With 1 every sample is reversed and no chance is involved.

    Raises:
        EventZooError: `probability` is none; when called, the sample has boxes, which would then hold before their evidence.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = share(self, "probability", probability)
        self.random = 0 < probability < 1

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, backwards or not."""
        if sample.boxes is not None:
            raise EventZooError(f"sample {sample.key} has boxes, whose evidence comes before them: it cannot be played backwards")
        events = sample.events
        if not tossed(self.probability, rng) or not len(events):
            return sample
        t = (events.t[0] + events.t[-1] - events.t)[::-1]
        return replace(sample, events=Events(events.x[::-1], events.y[::-1], t, ~events.p[::-1], events.sensor_size, trusted=True))


class RandomTimeScale(EventTransform):
    """Play the recording faster or slower: the time since its first event is multiplied by one random factor.

    Args:
        low: Smallest factor; below 1 is faster.
        high: Largest factor.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = factors(self, low, high)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, faster or slower."""
        factor = rng.uniform(self.low, self.high)
        if not len(sample.events):
            return sample
        begin = sample.events.t[0]
        t, boxes = begin + np.rint((sample.events.t - begin) * factor).astype(np.int64), sample.boxes
        if boxes is not None:
            boxes = replace(boxes, t=begin + np.rint((boxes.t - begin) * factor).astype(np.int64), trusted=True)
        return replace(sample, events=_at(sample.events, t), boxes=boxes)


class TimeJitter(EventTransform):
    """Move each event in time by its own normal deviate, as a sensor's read-out does, and sort anew.

    Times stay between those of the first and the last event, so that no event passes the end of a window. Events that
    come out at the same microsecond keep their order.

    Args:
        std: Standard deviation, microseconds.
    """

    def __init__(self, std: float) -> None:
        if not 0 < std < np.inf:
            raise EventZooError(f"TimeJitter: std must be a positive number of microseconds, not {std}")
        self.std = std

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with other times."""
        events = sample.events
        if not len(events):
            return sample
        offsets = np.clip(rng.normal(0, self.std, len(events)), -events.duration, events.duration)  # so that they fit an integer
        t = np.clip(events.t + np.rint(offsets).astype(np.int64), events.t[0], events.t[-1])
        return replace(sample, events=in_time_order(events.x, events.y, t, events.p, events.sensor_size))


class TimeWarp(EventTransform):
    """Multiply each gap between two events by its own random factor: Event2Vec's temporal warp.

    Args:
        low: Smallest factor.
        high: Largest factor.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = factors(self, low, high)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with other times."""
        return _warped(sample, rng.uniform(self.low, self.high, max(len(sample.events) - 1, 0)))


class ChunkWarp(EventTransform):
    """Multiply each gap between two events by its own random factor, in a few random runs of events.

    Event2Vec's chunk warp multiplies times where this multiplies gaps, which lets its time run backwards; here, what follows a run
    moves with its end.

    Args:
        chunks: Number of runs, at least 1; they may overlap.
        longest: Largest number of events in a run; every length from 1 to it is equally likely.
        low: Smallest factor.
        high: Largest factor.
    """

    def __init__(self, chunks: int, longest: int, low: float, high: float) -> None:
        self.chunks, self.longest = positive(self, "chunks", chunks), positive(self, "longest", longest)
        self.low, self.high = factors(self, low, high)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with other times."""
        inside = in_chunks(len(sample.events), self.chunks, self.longest, rng)[1:]
        return _warped(sample, np.where(inside, rng.uniform(self.low, self.high, len(inside)), 1.0))


def in_chunks(total: int, chunks: int, longest: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of `total` events lie in one of a few runs, which begin at any event and are 1 to `longest` events long."""
    if not total:
        return np.zeros(0, np.bool_)
    starts = rng.integers(0, total, chunks)
    stops = np.minimum(starts + rng.integers(1, longest + 1, chunks), total)
    changes = np.bincount(starts, minlength=total + 1) - np.bincount(stops, minlength=total + 1)
    return changes[:-1].cumsum() > 0


def _warped(sample: Sample, stretch: NDArray[np.float64]) -> Sample:
    """The sample with each gap between two events multiplied, `[N - 1]`. A box keeps its distance to the last event before it."""
    before = sample.events.t
    if not len(before):
        return sample
    t = before[0] + np.rint(np.append(0, np.cumsum(np.diff(before) * stretch))).astype(np.int64)
    boxes = sample.boxes
    if boxes is not None:
        at = np.maximum(np.searchsorted(before, boxes.t, side="right") - 1, 0)
        latest = np.append(t[1:], np.iinfo(np.int64).max)[at]  # a shrunken gap ends the box's wait too
        boxes = replace(boxes, t=np.minimum(boxes.t + t[at] - before[at], latest), trusted=True)
    return replace(sample, events=_at(sample.events, t), boxes=boxes)


def _at(events: Events, t: NDArray[np.int64]) -> Events:
    """The events at other times in the same order."""
    return Events(events.x, events.y, t, events.p, events.sensor_size, trusted=True)
