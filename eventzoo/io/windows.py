"""Read a recording window by window, in memory for one window and one block."""

import operator
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io.checks import Checks, checked_blocks, checked_sensor_size
from eventzoo.io.encodings import opened
from eventzoo.io.recording import Columns, Recording

MAX_EMPTY_WINDOWS = 10_000_000  # in one gap: more are a wrong unit or a broken time, and would look like a hang
_LAST_TIME = int(np.iinfo(np.int64).max)


def read_windows(
    path: str | os.PathLike[str],
    *,
    duration: int | None = None,
    count: int | None = None,
    sensor_size: tuple[int, int] | None = None,
    encoding: str | None = None,
) -> Iterator[Events]:
    """Read a recording in windows that follow each other without gap or overlap; joined, they equal `read(path)`.

    The file is read in blocks: memory holds one window and one block, however large the file is.

    Args:
        path: The file, in any format that `read` takes.
        duration: Microseconds a window. Window k holds the events with `t0 + k * duration <= t < t0 + (k + 1) * duration`,
            where t0 is the first event's time. Windows without events are given as well; the last one holds the last event.
        count: Events a window; the last one may hold fewer.
        sensor_size: `(width, height)` in pixels. Without it the file's header counts, which must have one then.
        encoding: As for `read`.

    Returns:
        The windows in order of time; none for a recording without events.

    Raises:
        EventFileError: The sensor size is unknown, or the file is one that `read` refuses: at the call if it shows in
            the header, else when the block is reached that holds the fault. Also if a gap spans more than
            10,000,000 windows.
        EventZooError: Not exactly one of `duration` and `count` is given, or one is not a positive whole number, or
            `sensor_size` is not a size.
    """
    if (duration is None) == (count is None):
        raise EventZooError("read_windows takes either duration (microseconds a window) or count (events a window)")
    step = _positive("count", count) if duration is None else _positive("duration", duration)
    given = checked_sensor_size(sensor_size)
    path = Path(path)
    with opened(path, encoding) as recording:
        size = given or recording.sensor_size
    if size is None:
        raise EventFileError(path, "the file does not tell its sensor size, which windows need; pass sensor_size=(width, height)")
    return _windows(path, encoding, step, duration is not None, size)


def _positive(name: str, value: object) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # anything may come in
    except TypeError:
        number = 0
    if number < 1:
        raise EventZooError(f"{name} must be a positive whole number, not {value!r}")
    return number


def _windows(path: Path, encoding: str | None, step: int, by_time: bool, size: tuple[int, int]) -> Iterator[Events]:
    with opened(path, encoding) as recording:
        checked = checked_blocks(recording, Checks(path, recording, size))
        yield from _by_duration(path, recording, checked, step, size) if by_time else _by_count(checked, step, size)


def _by_count(checked: Iterator[Columns], count: int, size: tuple[int, int]) -> Iterator[Events]:
    window = _Window(size)
    for block in checked:
        start = 0
        while start < len(block.t):
            stop = min(len(block.t), start + count - window.length)
            window.append(block.part(start, stop))
            start = stop
            if window.length == count:
                yield window.take()
    if window.length:
        yield window.take()


def _by_duration(path: Path, recording: Recording, checked: Iterator[Columns], duration: int, size: tuple[int, int]) -> Iterator[Events]:
    window, empty = _Window(size), Events.empty(size)
    end: int | None = None  # of the current window; Python integers, which do not overflow
    for block in checked:
        start = 0
        while start < len(block.t):
            now = int(block.t[start])
            if end is None:
                end = now + duration
            if now >= end:
                yield window.take()
                gap = (now - end) // duration
                if gap > MAX_EMPTY_WINDOWS:
                    reason = f"{gap:,} windows of {duration:,} µs would be empty before the event at {now} µs; is the duration right?"
                    raise EventFileError(path, reason, offset=recording.offset(start))
                for _ in range(gap):
                    yield empty
                end += (gap + 1) * duration
            stop = len(block.t) if end > _LAST_TIME else start + int(block.t[start:].searchsorted(end))
            window.append(block.part(start, stop))
            start = stop
    if window.length:
        yield window.take()


class _Window:
    """The window that is being filled. It grows in place: joining parts at the end would hold every event twice."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._columns = Columns.allocate(0)
        self.length = 0

    def append(self, part: Columns) -> None:
        start, self.length = self.length, self.length + len(part.t)
        if not start:
            self._columns = part.copy()
            return
        if self.length > len(self._columns.t):
            self._resize(self.length + self.length // 8)
        for name in Columns._fields:
            getattr(self._columns, name)[start : self.length] = getattr(part, name)

    def take(self) -> Events:
        """The window as events; the next one begins empty."""
        if self.length < len(self._columns.t):
            self._resize(self.length)
        events = Events(*self._columns, self._size, trusted=True)
        self._columns, self.length = Columns.allocate(0), 0
        return events

    def _resize(self, length: int) -> None:
        for column in self._columns:
            column.resize(length, refcheck=False)  # no view of an unfinished window exists
