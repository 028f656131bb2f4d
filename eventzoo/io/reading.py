"""Read a recording whole."""

import os
from pathlib import Path

import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.checks import Checks, checked_sensor_size
from eventzoo.io.formats import opened
from eventzoo.io.recording import Columns


def read(path: str | os.PathLike[str], *, sensor_size: tuple[int, int] | None = None, sort: bool = False) -> Events:
    """Read a whole recording. Its suffix names the format: `.bin`, `.dat` or `.npz`.

    Args:
        path: The file.
        sensor_size: `(width, height)` in pixels. Without it the file's header counts; where there is none, the
            smallest sensor that holds every event is taken (largest x + 1, largest y + 1), which may be smaller than
            the camera's: pass it wherever it is known.
        sort: Sort the events by time, in file order where times are equal, instead of refusing time that runs backwards.

    Returns:
        The events, in file order unless sorted.

    Raises:
        EventFileError: The file is missing, of unknown format, empty, truncated or garbage, an event lies outside
            the sensor, time runs backwards, or nothing tells the sensor size of a recording without events. The
            message names the file, the byte offset where it is known, and what to do.
        EventZooError: `sensor_size` is not a size.
    """
    given = checked_sensor_size(sensor_size)
    path = Path(path)
    with opened(path) as recording:
        size = given or recording.sensor_size
        columns = Columns.allocate(recording.max_events)
        checks = Checks(path, recording, size, ordered=not sort)
        total = 0
        while found := recording.decode(columns.part(total, total + blocks.BLOCK_EVENTS)):
            checks.check(columns.part(total, total + found))
            total += found
        if size is None and not total:
            raise EventFileError(path, "holds no events and no sensor size; pass sensor_size=(width, height)")
        columns = columns.part(0, total)
        if sort:
            columns = _sorted(columns)
    return Events(*columns, size or checks.smallest_sensor, trusted=True)


def _sorted(columns: Columns) -> Columns:
    if (columns.t[1:] >= columns.t[:-1]).all():
        return columns
    order = np.argsort(columns.t, kind="stable")
    return Columns(columns.x[order], columns.y[order], columns.t[order], columns.p[order])
