"""Geometry: flips, shifts, rotation, scaling, shear, crops and resizing, of events and boxes alike.

Pixel (x, y) is the square of side 1 around its centre, so a sensor's centre is at ((width - 1) / 2, (height - 1) / 2) in the
coordinates of events and at (width / 2, height / 2) in those of box edges: the edge x1 of a box lies half a pixel to the left of the
centre of pixel x1. An event goes to the pixel that its centre is moved into; one that leaves the sensor is dropped. Rotation, scaling
and shear are about the centre. A box becomes the smallest upright box around its moved corners, cut off at the sensor; one of
which less than a tenth of the area remains is dropped.

So where the centre of an event's pixel is inside a box, it is inside after a flip, shift or crop, exactly, and after the others to
half a pixel, by which the event was rounded.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, factors, on_sensor, positive, share, tossed
from eventzoo.errors import EventZooError
from eventzoo.events import Events


class RandomHorizontalFlip(EventTransform):
    """Mirror left and right with a probability: x becomes width - 1 - x.

    Args:
        probability: Of a flip. With 1 every sample is flipped and no chance is involved.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = share(self, "probability", probability)
        self.random = 0 < probability < 1
        self.streams = not self.random

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, mirrored or not."""
        if not tossed(self.probability, rng):
            return sample
        events, width = sample.events, sample.events.sensor_size[0]
        mirrored = Events(width - 1 - events.x, events.y, events.t, events.p, events.sensor_size, trusted=True)
        return replace(sample, events=mirrored, boxes=_mirrored(sample.boxes, 0, events.sensor_size))


class RandomVerticalFlip(EventTransform):
    """Mirror top and bottom with a probability: y becomes height - 1 - y.

    Args:
        probability: Of a flip. With 1 every sample is flipped and no chance is involved.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = share(self, "probability", probability)
        self.random = 0 < probability < 1
        self.streams = not self.random

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, mirrored or not."""
        if not tossed(self.probability, rng):
            return sample
        events, height = sample.events, sample.events.sensor_size[1]
        mirrored = Events(events.x, height - 1 - events.y, events.t, events.p, events.sensor_size, trusted=True)
        return replace(sample, events=mirrored, boxes=_mirrored(sample.boxes, 1, events.sensor_size))


class RandomShift(EventTransform):
    """Move all events by one random offset; what leaves the sensor is dropped.

    Args:
        pixels: Largest shift, in each direction and each axis; every whole shift up to it is equally likely.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = positive(self, "pixels", pixels)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, moved."""
        right, down = rng.integers(-self.pixels, self.pixels + 1, 2, dtype=np.int64)
        return _shifted(sample, int(right), int(down), sample.events.sensor_size)


class RandomRotation(EventTransform):
    """Turn all events by one random angle about the sensor's centre; what leaves the sensor is dropped.

    Args:
        degrees: Largest angle, in each direction; every angle up to it is equally likely.
    """

    def __init__(self, degrees: float) -> None:
        if not 0 < degrees <= 180:
            raise EventZooError(f"RandomRotation: degrees must be above 0 and at most 180, not {degrees}")
        self.degrees = degrees

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, turned."""
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        return _linear(sample, np.array([[cos, -sin], [sin, cos]]))


class RandomScale(EventTransform):
    """Scale all positions by one random factor about the sensor's centre; what leaves the sensor is dropped.

    Args:
        low: Smallest factor.
        high: Largest factor.
        each_axis: Whether x and y have a factor each, as in Event2Vec's RandomResize (which scales about the origin).
    """

    def __init__(self, low: float, high: float, each_axis: bool = False) -> None:
        self.low, self.high = factors(self, low, high)
        self.each_axis = each_axis

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, scaled."""
        across = rng.uniform(self.low, self.high)
        down = rng.uniform(self.low, self.high) if self.each_axis else across
        return _linear(sample, np.diag([across, down]))


class RandomShear(EventTransform):
    """Slant all positions by random amounts about the sensor's centre; what leaves the sensor is dropped.

    With both, x' = x + a y and y' = y + b x, as in Event2Vec (which shears about the origin).

    Args:
        horizontal: Largest |a|: columns that a row moves against the next.
        vertical: Largest |b|: rows that a column moves against the next.
    """

    def __init__(self, horizontal: float, vertical: float = 0.0) -> None:
        if not (0 <= horizontal < np.inf and 0 <= vertical < np.inf and horizontal + vertical > 0):
            raise EventZooError(f"RandomShear: shears must not be negative, and one of them positive, not {horizontal} and {vertical}")
        self.horizontal, self.vertical = horizontal, vertical

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, slanted."""
        across, down = rng.uniform(-self.horizontal, self.horizontal), rng.uniform(-self.vertical, self.vertical)
        return _linear(sample, np.array([[1.0, across], [down, 1.0]]))


class CentreCrop(EventTransform):
    """Keep the part of the sensor around its centre, and make it the sensor. No chance is involved.

    Args:
        size: `(width, height)` of the part, pixels, no larger than the sensor; use it as the network's sensor size.
    """

    random = False
    streams = True

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = _sensor_size(self, size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample, on a smaller sensor."""
        columns, rows = _room(sample, self.size)
        return _shifted(sample, -(columns // 2), -(rows // 2), self.size)


class RandomCrop(EventTransform):
    """Keep a part of the sensor at a random place, and make it the sensor.

    Args:
        size: `(width, height)` of the part, pixels, no larger than the sensor; use it as the network's sensor size.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = _sensor_size(self, size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, on a smaller sensor."""
        left, top = rng.integers(0, np.array(_room(sample, self.size)) + 1)
        return _shifted(sample, -int(left), -int(top), self.size)


class Resize(EventTransform):
    """Put events onto a sensor of another size. No chance is involved.

    Column x goes to the column that holds its centre, floor((x + 1/2) · new width / width). To half the size this is x // 2, the
    initial pooling of ECN (Jack, ACCV 2020). Events that meet in a pixel all stay.

    Args:
        sensor_size: `(width, height)` of the new sensor, pixels; use it as the network's sensor size.
    """

    random = False
    streams = True

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self.sensor_size = _sensor_size(self, sensor_size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:  # noqa: ARG002  # not needed here
        """The sample, on another sensor."""
        events = sample.events
        x, y = (
            ((2 * at.astype(np.int64) + 1) * new // (2 * old)).astype(np.int16)
            for at, new, old in zip((events.x, events.y), self.sensor_size, events.sensor_size, strict=True)
        )
        scale = np.array(self.sensor_size) / np.array(events.sensor_size)
        boxes = None if sample.boxes is None else _with_edges(sample.boxes, sample.boxes.xyxy * np.tile(scale, 2))
        return replace(sample, events=Events(x, y, events.t, events.p, self.sensor_size, trusted=True), boxes=boxes)


def _sensor_size(owner: EventTransform, size: tuple[int, int]) -> tuple[int, int]:
    try:
        return Events.empty(size).sensor_size
    except EventZooError as error:
        raise EventZooError(f"{type(owner).__name__}: {error}") from error


def _room(sample: Sample, size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows by which the sensor is larger than a part of it."""
    (width, height), (columns, rows) = sample.events.sensor_size, size
    if columns > width or rows > height:
        raise EventZooError(f"sample {sample.key} is {width}×{height} pixels, too small for a crop of {columns}×{rows}")
    return width - columns, height - rows


def _mirrored(boxes: Boxes | None, axis: int, sensor_size: tuple[int, int]) -> Boxes | None:
    """The boxes with left and right (axis 0) or top and bottom (axis 1) exchanged."""
    if boxes is None:
        return None
    xyxy = boxes.xyxy.astype(np.float64)
    xyxy[:, [axis, axis + 2]] = sensor_size[axis] - xyxy[:, [axis + 2, axis]]
    return on_sensor(_with_edges(boxes, xyxy), sensor_size)


def _linear(sample: Sample, matrix: NDArray[np.float64]) -> Sample:
    """The sample with positions relative to the sensor's centre multiplied by a matrix `[2, 2]`."""
    events = sample.events
    width, height = events.sensor_size
    x, y = events.x - (width - 1) / 2, events.y - (height - 1) / 2
    column = np.floor(matrix[0, 0] * x + matrix[0, 1] * y + width / 2)  # half a pixel from the centre's coordinate, then rounded
    row = np.floor(matrix[1, 0] * x + matrix[1, 1] * y + height / 2)
    boxes = None if sample.boxes is None else on_sensor(_boxes_around(sample.boxes, matrix, (width / 2, height / 2)), events.sensor_size)
    return replace(sample, events=_inside(events, column, row, events.sensor_size), boxes=boxes)


def _boxes_around(boxes: Boxes, matrix: NDArray[np.float64], centre: tuple[float, float]) -> Boxes:
    """The smallest upright boxes around boxes whose corners are multiplied by a matrix relative to a centre."""
    corners = boxes.xyxy[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float64) - centre
    corners = corners @ matrix.T + centre
    return _with_edges(boxes, np.hstack([corners.min(1), corners.max(1)]))


def _shifted(sample: Sample, right: int, down: int, sensor_size: tuple[int, int]) -> Sample:
    """The sample, moved by whole pixels and put on a sensor of this size."""
    events = sample.events
    x, y = events.x.astype(np.int64) + right, events.y.astype(np.int64) + down
    boxes = sample.boxes
    if boxes is not None:
        boxes = on_sensor(_with_edges(boxes, boxes.xyxy + np.array([right, down, right, down])), sensor_size)
    return replace(sample, events=_inside(events, x, y, sensor_size), boxes=boxes)


def _inside(events: Events, x: NDArray[Any], y: NDArray[Any], sensor_size: tuple[int, int]) -> Events:
    """The events at other, whole pixels, without those that are outside the sensor."""
    width, height = sensor_size
    kept = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
    return Events(x[kept], y[kept], events.t[kept], events.p[kept], sensor_size, trusted=True)


def _with_edges(boxes: Boxes, xyxy: NDArray[np.float64]) -> Boxes:
    return Boxes(xyxy.astype(np.float32), boxes.class_ids, boxes.t, trusted=True)
