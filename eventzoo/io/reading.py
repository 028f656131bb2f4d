"""Read a recording whole, or what happened between two times."""

import os
from pathlib import Path

import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.checks import Checks, checked_blocks, checked_sensor_size
from eventzoo.io.encodings import opened
from eventzoo.io.recording import Columns, Recording, Seekable

_LATE_US = 10_000  # cameras deliver events out of order by microseconds, recorders by a packet


def read(
    path: str | os.PathLike[str],
    *,
    sensor_size: tuple[int, int] | None = None,
    start: int | None = None,
    stop: int | None = None,
    sort: bool = False,
    encoding: str | None = None,
) -> Events:
    """Read a recording. Its suffix, and where several formats share one its beginning, tell the format.

    Args:
        path: The file.
        sensor_size: `(width, height)` in pixels. Without it the file's header counts; where there is none, the
            smallest sensor that holds every event is taken (largest x + 1, largest y + 1), which may be smaller than
            the camera's: pass it wherever it is known.
        start: Only events at or after this time, microseconds. In formats with events of one size and absolute times
            (`.dat`) the time is searched for; in others, what is before it is decoded and dropped.
        stop: Only events before this time, microseconds; the file is not read beyond it.
        sort: Sort the events by time, in file order where times are equal, instead of refusing time that runs backwards.
            With `start` or `stop`, events are found that are up to 10 ms late.
        encoding: One of `eventzoo.io.ENCODINGS`, for files whose name or beginning does not tell.

    Returns:
        The events, in file order unless sorted.

    Raises:
        EventFileError: The file is missing, of unknown format, empty, truncated or garbage, an event lies outside
            the sensor, time runs backwards, or nothing tells the sensor size of a recording without events. The
            message names the file, the byte offset where it is known, and what to do. With `start` or `stop`, events
            outside them need not be looked at.
        EventZooError: `sensor_size` is not a size.
    """
    given = checked_sensor_size(sensor_size)
    path = Path(path)
    with opened(path, encoding) as recording:
        size = given or recording.sensor_size
        checks = Checks(path, recording, size, ordered=not sort)
        if start is None and stop is None:
            columns = _whole(recording, checks)
        else:
            columns = _between(recording, checks, start, stop, late=_LATE_US if sort else 0)
        if size is None and checks.smallest_sensor == (0, 0):
            raise EventFileError(path, "holds no events and no sensor size; pass sensor_size=(width, height)")
        if sort:
            columns = _sorted(columns)
    return Events(*columns, size or checks.smallest_sensor, trusted=True)


def _whole(recording: Recording, checks: Checks) -> Columns:
    if recording.max_events is None:
        return _joined([block.copy() for block in checked_blocks(recording, checks)])
    columns = Columns.allocate(recording.max_events)
    total = 0
    while found := recording.decode(columns.part(total, total + blocks.BLOCK_EVENTS)):
        checks.check(columns.part(total, total + found))
        total += found
    return columns.part(0, total)


def _between(recording: Recording, checks: Checks, start: int | None, stop: int | None, late: int) -> Columns:
    parts = []
    if start is not None and isinstance(recording, Seekable):
        recording.seek(start - late)
    for block in checked_blocks(recording, checks):
        kept = np.ones(len(block.t), np.bool_)
        if start is not None:
            kept &= block.t >= start
        if stop is not None:
            kept &= block.t < stop
        if kept.any():
            parts.append(block.where(kept))
        if stop is not None and block.t[-1] >= stop + late:
            break
    return _joined(parts)


def _joined(parts: list[Columns]) -> Columns:
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else Columns.allocate(0)


def _sorted(columns: Columns) -> Columns:
    if (columns.t[1:] >= columns.t[:-1]).all():
        return columns
    order = np.argsort(columns.t, kind="stable")
    return Columns(columns.x[order], columns.y[order], columns.t[order], columns.p[order])
