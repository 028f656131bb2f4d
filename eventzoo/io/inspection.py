"""What is in a recording, and what is odd about it: one pass in memory for one block, whatever the file's size."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eventzoo.io import recording as blocks
from eventzoo.io.checks import checked_sensor_size
from eventzoo.io.encodings import encoding_of, opened
from eventzoo.io.recording import Columns

_BINS = 1000  # of the rate over time
_FIRST_BIN_US = 64
_HOT = 10  # times as many events as 99 % of the active pixels


@dataclass(frozen=True)
class Inspection:
    """Facts about a recording.

    Attributes:
        path: The file.
        encoding: Name of its format, of `eventzoo.io.ENCODINGS`.
        sensor_size: `(width, height)` as given or by the header, else the smallest that holds every event.
        size_is_known: Whether the sensor size was given or stands in the header.
        events: Their number.
        first: Earliest time, microseconds; None without events.
        last: Latest time.
        on: Number of ON events.
        counts: Events of each polarity at each pixel, OFF first, int64 `[2, height, width]`; events outside are left out.
        rates: Events in each of up to 1,000 equal intervals from the first event's time on.
        interval: Length of such an interval, microseconds.
        outside: Events off the sensor.
        backwards: How often an event is earlier than its predecessor.
        largest_step_back: By how much at most, microseconds.
        repeated: Events that equal their predecessor in every column.
        longest_gap: Longest time without any event, microseconds.
    """

    path: Path
    encoding: str
    sensor_size: tuple[int, int]
    size_is_known: bool
    events: int
    first: int | None
    last: int | None
    on: int
    counts: NDArray[np.int64]
    rates: NDArray[np.int64]
    interval: int
    outside: int
    backwards: int
    largest_step_back: int
    repeated: int
    longest_gap: int

    @property
    def duration(self) -> int:
        """Microseconds from the earliest event to the latest."""
        return 0 if self.first is None or self.last is None else self.last - self.first

    @property
    def hot_pixels(self) -> NDArray[np.int64]:
        """Columns and rows of pixels with more than ten times as many events as 99 % of the active ones, int64 `[N, 2]`."""
        counts = self.counts.sum(0)
        active = counts[counts > 0]
        if not len(active):
            return np.empty((0, 2), np.int64)
        rows, columns = np.nonzero(counts > _HOT * np.quantile(active, 0.99))
        return np.stack([columns, rows], 1)


def inspect(path: str | os.PathLike[str], *, sensor_size: tuple[int, int] | None = None, encoding: str | None = None) -> Inspection:
    """Decode a whole recording and count. Unlike `read`, it goes on where time runs backwards or an event is off the sensor.

    Args:
        path: The file.
        sensor_size: As for `read`.
        encoding: As for `read`.

    Raises:
        EventFileError: The file is missing, of unknown format, truncated or garbage.
        EventZooError: `sensor_size` is not a size.
    """
    path = Path(path)
    given = checked_sensor_size(sensor_size)
    encoding = encoding or encoding_of(path)
    with opened(path, encoding) as recording:
        size = given or recording.sensor_size
    if size is None:
        size, known = _smallest_sensor(path, encoding), False
    else:
        known = True
    tally = _Tally(size)
    with opened(path, encoding) as recording:
        columns = Columns.allocate(blocks.BLOCK_EVENTS)
        while found := recording.decode(columns):
            tally.add(columns.part(0, found))
    return tally.inspection(path, encoding, known)


def _smallest_sensor(path: Path, encoding: str) -> tuple[int, int]:
    width = height = 1
    with opened(path, encoding) as recording:
        columns = Columns.allocate(blocks.BLOCK_EVENTS)
        while found := recording.decode(columns):
            width = max(width, int(columns.x[:found].max()) + 1)
            height = max(height, int(columns.y[:found].max()) + 1)
    return width, height


class _Tally:
    """Counts block after block."""

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self._size = sensor_size
        width, height = sensor_size
        self._counts = np.zeros(2 * height * width, np.int64)
        self._rates, self._interval = np.zeros(_BINS, np.int64), _FIRST_BIN_US
        self._events = self._on = self._outside = self._backwards = self._repeated = self._step_back = self._gap = 0
        self._origin: int | None = None
        self._first = self._last = 0
        self._previous: tuple[int, int, int, bool] | None = None

    def add(self, block: Columns) -> None:
        x, y, t, p = block
        width, height = self._size
        if self._origin is None:
            self._origin = self._first = self._last = int(t[0])
        self._first, self._last = min(self._first, int(t.min())), max(self._last, int(t.max()))
        inside = (x < width) & (y < height)
        pixel = (p[inside] * np.int64(height) + y[inside]) * width + x[inside]
        self._counts += np.bincount(pixel, minlength=len(self._counts))
        self._events += len(t)
        self._on += int(p.sum())
        self._outside += len(t) - int(inside.sum())
        self._add_steps(block)
        self._add_rates(t)

    def _add_steps(self, block: Columns) -> None:
        x, y, t, p = block
        if self._previous is not None:
            before_x, before_y, before_t, before_p = self._previous
            x, y, t = np.insert(x, 0, before_x), np.insert(y, 0, before_y), np.insert(t, 0, before_t)
            p = np.insert(p, 0, before_p)
        steps = np.diff(t)
        self._previous = int(x[-1]), int(y[-1]), int(t[-1]), bool(p[-1])
        if not len(steps):
            return
        self._backwards += int((steps < 0).sum())
        self._step_back = max(self._step_back, -int(steps.min()))
        self._gap = max(self._gap, int(steps.max()))
        self._repeated += int(((steps == 0) & (np.diff(x) == 0) & (np.diff(y) == 0) & (p[1:] == p[:-1])).sum())

    def _add_rates(self, t: NDArray[np.int64]) -> None:
        origin = self._origin or 0
        while (self._last - origin) // self._interval >= _BINS:  # twice as long intervals, until the last event is in one
            self._rates = np.concatenate([self._rates.reshape(-1, 2).sum(1), np.zeros(_BINS // 2, np.int64)])
            self._interval *= 2
        self._rates += np.bincount(np.maximum(t - origin, 0) // self._interval, minlength=_BINS)

    def inspection(self, path: Path, encoding: str, size_is_known: bool) -> Inspection:
        width, height = self._size
        none = self._origin is None
        used = 0 if none else (self._last - (self._origin or 0)) // self._interval + 1
        return Inspection(
            path=path,
            encoding=encoding,
            sensor_size=self._size,
            size_is_known=size_is_known,
            events=self._events,
            first=None if none else self._first,
            last=None if none else self._last,
            on=self._on,
            counts=self._counts.reshape(2, height, width),
            rates=self._rates[:used],
            interval=self._interval,
            outside=self._outside,
            backwards=self._backwards,
            largest_step_back=self._step_back,
            repeated=self._repeated,
            longest_gap=self._gap,
        )
