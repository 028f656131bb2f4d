"""Mixing: one sample of two."""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import merged, share, take
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part

Mode = Literal["cut", "time", "random"]


class EventMix(Part):
    """Mix two samples into one, in time order, with a soft label: EventMix (Shen et al., 2022), CutMix for events.

    A share is drawn from a Beta distribution, and with it a mask, inside which events come from the other sample and
    outside which from the sample itself:

    * `cut`: a rectangle of the sensor's proportions and this share of its area, at a random place on it.
    * `time`: an interval of this share of the sample's duration, at a random place in it.
    * `random`: each event by itself, with the share as its probability. It is Event2Vec's token mixing, too, which tosses once for a whole
      batch and puts the other's i-th event in the place of the i-th, whichever was earlier; here, times stay in order, and the soft label
      is the share of the events that are there.

    Recordings begin at the same time: the other's times are moved. In detection, where only `random` makes sense, they are moved
    so that both samples' boxes hold at the same time, and the boxes of both are kept.

    The result's `mixed_with` is the other's label and the share of events that come from the other. The sample's own
    events come first where times are equal.

    Args:
        mode: The mask.
        probability: Of a sample's being mixed at all: `applies` tosses, and a caller then fetches another sample.
        alpha: Both parameters of the Beta distribution, positive: 1 makes every share equally likely, more favours equal shares.

    Raises:
        EventZooError: An argument is none of these; when called, the samples do not go together.
    """

    def __init__(self, mode: Mode = "random", probability: float = 0.5, alpha: float = 1.0) -> None:
        if mode not in get_args(Mode):
            raise EventZooError(f"EventMix: modes are {', '.join(get_args(Mode))}, not {mode!r}")
        if not 0 < alpha < np.inf:
            raise EventZooError(f"EventMix: alpha must be positive, not {alpha}")
        self.mode, self.probability, self.alpha = mode, share(self, "probability", probability), alpha

    def applies(self, rng: np.random.Generator) -> bool:
        """Whether the next sample is to be mixed: True with `probability`."""
        return bool(rng.random() < self.probability)

    def __call__(self, sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
        """The mixed sample, with the first one's key; the given ones are not changed. It always mixes: ask `applies` first."""
        self._check(sample, other)
        if not len(sample.events) or not len(other.events):
            return sample
        later = _anchor(sample) - _anchor(other)
        events = other.events
        events = Events(events.x, events.y, events.t + later, events.p, events.sensor_size, trusted=True)
        masked, other_masked = self._masks(sample.events, events, rng)
        kept, added = take(sample.events, ~masked), take(events, other_masked)
        mixed = merged(kept, added)
        if sample.boxes is not None and other.boxes is not None:
            return replace(sample, events=mixed, boxes=_joined(sample.boxes, other.boxes, later))
        if other.label is None:  # refused before
            return sample
        return replace(sample, events=mixed, mixed_with=(other.label, len(added) / max(len(mixed), 1)))

    def _check(self, sample: Sample, other: Sample) -> None:
        names = f"samples {sample.key} and {other.key}"
        if sample.events.sensor_size != other.events.sensor_size:
            raise EventZooError(f"{names} cannot be mixed: their sensors are {sample.events.sensor_size} and {other.events.sensor_size}")
        if (sample.boxes is None) != (other.boxes is None):
            raise EventZooError(f"{names} cannot be mixed: one has boxes, the other has none")
        if sample.boxes is None and (sample.label is None or other.label is None):
            raise EventZooError(f"{names} cannot be mixed: both need a label")
        if sample.mixed_with is not None or other.mixed_with is not None:
            raise EventZooError(f"{names} cannot be mixed: one of them is a mixture already")
        if sample.boxes is not None and self.mode != "random":
            raise EventZooError(f"{names} have boxes, of which mode {self.mode!r} would leave parts of objects: use mode 'random'")

    def _masks(self, events: Events, other: Events, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which events of either recording lie inside the mask."""
        inside = float(rng.beta(self.alpha, self.alpha))
        if self.mode == "random":
            return rng.random(len(events)) < inside, rng.random(len(other)) < inside
        if self.mode == "time":
            start = events.t[0] + rng.uniform(0, (1 - inside) * events.duration)
            stop = start + inside * events.duration
            return (events.t >= start) & (events.t < stop), (other.t >= start) & (other.t < stop)
        width, height = np.rint(np.array(events.sensor_size) * np.sqrt(inside)).astype(int)
        left, top = rng.integers(0, np.array(events.sensor_size) - (width, height) + 1)
        return _in_rectangle(events, left, top, width, height), _in_rectangle(other, left, top, width, height)


def _in_rectangle(events: Events, left: int, top: int, width: int, height: int) -> NDArray[np.bool_]:
    return (events.x >= left) & (events.x < left + width) & (events.y >= top) & (events.y < top + height)


def _anchor(sample: Sample) -> int:
    """The time that two samples have in common: the first event's, or, in detection, the boxes' (the last event's without any)."""
    if sample.boxes is None:
        return int(sample.events.t[0])
    return int(sample.boxes.t.max()) if len(sample.boxes) else int(sample.events.t[-1])


def _joined(boxes: Boxes, others: Boxes, later: int) -> Boxes:
    """The boxes of both, the others' moved in time."""
    return Boxes(
        np.concatenate([boxes.xyxy, others.xyxy]),
        np.concatenate([boxes.class_ids, others.class_ids]),
        np.concatenate([boxes.t, others.t + later]),
        trusted=True,
    )
