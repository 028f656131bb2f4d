"""What every format must fulfil: events on the sensor, in order of time."""

import operator
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eventzoo.errors import EventFileError, EventZooError
from eventzoo.io import recording as blocks
from eventzoo.io.recording import Columns, Recording

_LARGEST = 1 << 15  # pixels a side: Events keeps coordinates in int16


def checked_sensor_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """A `sensor_size` argument as two Python integers, or None.

    Raises:
        EventZooError: It is not two whole numbers from 1 to 32,768.
    """
    if size is None:
        return None
    try:
        width, height = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        width = height = 0
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise EventZooError(f"sensor_size is (width, height) in pixels, 1 to {_LARGEST:,} each, not {size!r}")
    return width, height


class Checks:
    """The checks of one recording, block after block.

    Args:
        path: The recording's file, for messages.
        recording: What decodes it, for byte offsets.
        sensor_size: `(width, height)`, None to accept any pixel.
        ordered: Whether time must not run backwards.
    """

    def __init__(self, path: Path, recording: Recording, sensor_size: tuple[int, int] | None, ordered: bool = True) -> None:
        self._path, self._recording, self._ordered = path, recording, ordered
        self._limits = sensor_size or (_LARGEST, _LARGEST)
        self._before = 0  # events of the earlier blocks
        self._last_t = int(np.iinfo(np.int64).min)
        self._seen = (0, 0)

    @property
    def smallest_sensor(self) -> tuple[int, int]:
        """`(width, height)` of the smallest sensor that holds every event so far."""
        return self._seen

    def check(self, block: Columns) -> None:
        """Check the block that the recording has just decoded; not empty.

        Raises:
            EventFileError: For the first event that is off the sensor or earlier than its predecessor.
        """
        x, y, t, _ = block
        width, height = self._limits
        self._seen = max(self._seen[0], int(x.max()) + 1), max(self._seen[1], int(y.max()) + 1)
        backwards = self._ordered and (int(t[0]) < self._last_t or bool((t[1:] < t[:-1]).any()))
        if backwards or self._seen[0] > width or self._seen[1] > height:
            self._fail(block)
        self._before += len(t)
        self._last_t = int(t[-1])

    def _fail(self, block: Columns) -> None:
        width, height = self._limits
        earlier = np.concatenate(([self._last_t], block.t[:-1]))
        outside = (block.x >= width) | (block.y >= height)
        at = int((outside | (block.t < earlier) & self._ordered).argmax())
        if outside[at]:
            reason = (
                f"event {self._before + at:,} at (x, y) = ({block.x[at]}, {block.y[at]}) lies outside the {width}×{height} sensor; "
                "if the file is whole, pass its true sensor_size=(width, height)"
            )
        else:
            reason = (
                f"time runs backwards at event {self._before + at:,}: {block.t[at]} µs after {earlier[at]} µs; "
                "if the file is whole, read(path, sort=True) sorts its events by time"
            )
        raise EventFileError(self._path, reason, offset=self._recording.offset(at))


def checked_blocks(recording: Recording, checks: Checks) -> Iterator[Columns]:
    """The checked blocks of a recording, each valid until the next one is asked for."""
    columns = Columns.allocate(blocks.BLOCK_EVENTS)  # not less for a small file: to count its events may need a pass over it
    while found := recording.decode(columns):
        block = columns.part(0, found)
        checks.check(block)
        yield block
