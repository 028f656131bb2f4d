"""Sub-sampling: fewer events, in time order."""

from dataclasses import replace

import numpy as np

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, positive, take
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.lif_sampling import lif_sampling


class RandomSubsample(EventTransform):
    """Keep `count` events drawn without replacement, in time order; all of them where there are no more.

    Args:
        count: Number of events to keep, at least 1.
    """

    def __init__(self, count: int) -> None:
        self.count = positive(self, "count", count)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        total = len(sample.events)
        if total <= self.count:
            return sample
        kept = np.sort(rng.choice(total, self.count, replace=False))
        return replace(sample, events=take(sample.events, kept))


class EvenSubsample(EventTransform):
    """Keep `count` events evenly spaced in their order, the first and the last among them. No chance is involved.

    Args:
        count: Number of events to keep, at least 1; all of them where there are no more.
    """

    random = False

    def __init__(self, count: int) -> None:
        self.count = positive(self, "count", count)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample with fewer events."""
        total = len(sample.events)
        if total <= self.count:
            return sample
        return replace(sample, events=take(sample.events, _evenly(total, self.count)))


class EveryKth(EventTransform):
    """Keep the first event and every k-th after it, as AEGNN's paper does with k = 10. No chance is involved.

    Unlike a sub-sampling to a number of events, it can be done on an endless stream.

    Args:
        k: One event in this many is kept, at least 1.
    """

    random = False
    streams = True

    def __init__(self, k: int) -> None:
        self.k = positive(self, "k", k)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample with fewer events."""
        return replace(sample, events=self.on_stream(sample.events, 0))

    def on_stream(self, events: Events, seen: int) -> Events:
        """The events whose place in the stream is a multiple of k."""
        kept = np.arange(-seen % self.k, len(events), self.k)
        return take(events, kept)  # not a slice: for strided arrays, every kernel behind it would be compiled anew


class TemporalSubsample(EventTransform):
    """Keep `count` events drawn without replacement, with chances in proportion to the time until the next event.

    So bursts are thinned and lone events survive: the temporal random sampler of Event2Vec. An event with another at the
    same microsecond after it is drawn only when no other is left; the last event's chance is that of a mean gap.

    Args:
        count: Number of events to keep, at least 1; all of them where there are no more.
    """

    def __init__(self, count: int) -> None:
        self.count = positive(self, "count", count)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with fewer events."""
        events = sample.events
        if len(events) <= self.count:
            return sample
        gaps = np.diff(events.t, append=events.t[-1] + events.duration / (len(events) - 1))
        # Waiting times with rates w: the first `count` to ring are a draw without replacement (Efraimidis and Spirakis, 2006).
        rings = rng.standard_exponential(len(events)) / np.maximum(gaps, _NO_GAP)
        kept = np.sort(np.argpartition(rings, self.count - 1)[: self.count])
        return replace(sample, events=take(events, kept))


class LIFSubsample(EventTransform):
    """Keep the `count` events at which leaky integrate-and-fire neurons, one a pixel and polarity, fire. No chance is involved.

    Where events are dense they charge their neurons quickly, and noise leaks away: the LIF sampler of Event2Vec, whose
    equations `eventzoo.kernels.lif_sampling` states. The threshold is searched for that makes `count` events fire; where none
    does so exactly, the next lower threshold's surplus is dropped evenly.

    Args:
        count: Number of events to keep, at least 1; all of them where there are no more.
        h_x: Columns from the last fired event, as a share of the sensor's, at which a potential falls to `h_x` of itself; above 0 and at
            most 1, which is no leak.
        h_y: The same with rows.
        h_t: The same with time, as a share of the recording's duration.
    """

    random = False

    def __init__(self, count: int, h_x: float, h_y: float, h_t: float) -> None:
        self.count = positive(self, "count", count)
        for name, value in (("h_x", h_x), ("h_y", h_y), ("h_t", h_t)):
            if not 0 < value <= 1:
                raise EventZooError(f"LIFSubsample: {name} must be above 0 and at most 1, not {value}")
        self.h_x, self.h_y, self.h_t = h_x, h_y, h_t

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample with fewer events."""
        if len(sample.events) <= self.count:
            return sample
        fired = np.flatnonzero(lif_sampling(sample.events, self.count, (self.h_x, self.h_y, self.h_t)))
        return replace(sample, events=take(sample.events, fired[_evenly(len(fired), self.count)]))


_NO_GAP = 1e-9  # microseconds: a chance that is not zero, yet nothing beside that of one microsecond


def _evenly(total: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`count` ascending indices below `total`, evenly spaced."""
    return np.linspace(0, total - 1, count).astype(np.int64)
