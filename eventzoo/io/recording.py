"""What a file format gives to the rest of the layer: a `Recording` that decodes block by block, and a function that writes."""

import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events

BLOCK_EVENTS = 1 << 16  # a block and its bytes stay in the second-level cache between decoding and checking
_SHORTER = "the file became shorter while it was read"


class Columns(NamedTuple):
    """Writable columns that events are decoded into, in the dtypes of `Events`."""

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    t: NDArray[np.int64]
    p: NDArray[np.bool_]

    @classmethod
    def allocate(cls, length: int) -> "Columns":
        """Uninitialised columns for `length` events."""
        return cls(np.empty(length, np.int16), np.empty(length, np.int16), np.empty(length, np.int64), np.empty(length, np.bool_))

    def part(self, start: int, stop: int) -> "Columns":
        """Events `start` to `stop` as views."""
        return Columns(self.x[start:stop], self.y[start:stop], self.t[start:stop], self.p[start:stop])

    def where(self, kept: NDArray[np.bool_]) -> "Columns":
        """The events that a mask marks, in memory of their own."""
        return Columns(self.x[kept], self.y[kept], self.t[kept], self.p[kept])

    def copy(self) -> "Columns":
        """The same events in memory of their own."""
        return Columns(self.x.copy(), self.y.copy(), self.t.copy(), self.p.copy())


class Recording(Protocol):
    """An open file of one format. Its constructor has checked whatever can be known without decoding."""

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """`(width, height)` by the file's own header, None where it has none."""

    @property
    def max_events(self) -> int | None:
        """At most how many events the file holds; what `read` allocates. None where only decoding tells, as in compressed files."""

    def decode(self, into: Columns) -> int:
        """Decode the next events, at most as many as `into` is long, into its front.

        Neither the order of time nor the sensor's bounds are checked: that is done once, for all formats.

        Returns:
            Their number, 0 only at the end of the file.

        Raises:
            EventFileError: The bytes are not what the format promises.
        """

    def offset(self, index: int) -> int | None:
        """Byte offset of event `index` of the latest decoded block; None where the format cannot tell."""


@runtime_checkable
class Seekable(Protocol):
    """A recording that can leave out most of what is before a time without decoding it."""

    def seek(self, time: int) -> None:
        """Skip events before `time` (microseconds), where time does not run backwards. Before the first `decode` only."""


@dataclass(frozen=True)
class FileFormat:
    """One file format, as its module offers it under the name `FORMAT`.

    Attributes:
        open: Makes a recording from a path and its file, opened at the beginning.
        write: Writes events; None where a format is only read.
        recognises: Whether the first bytes of a file (up to 4,096) are of this format; asked where others share its suffix.
    """

    open: Callable[[Path, BufferedReader], Recording]
    write: Callable[[Path, BinaryIO, Events], None] | None = None
    recognises: Callable[[bytes], bool] | None = None


class Records:
    """The fixed-size records that fill a file from the current position to its end, read block by block.

    Raises:
        EventFileError: The last record is cut off.
    """

    def __init__(self, path: Path, file: BufferedReader, record_bytes: int) -> None:
        self._path, self._file, self._record_bytes = path, file, record_bytes
        self._next = file.tell()
        self.count, rest = divmod(os.fstat(file.fileno()).st_size - self._next, record_bytes)
        self._left = self.count
        self._buffer = np.empty(0, np.uint8)
        self.block_start = self._next  # byte offset of the latest block
        if self.count < 0:
            raise EventFileError(path, _SHORTER, offset=self._next)
        if rest:
            raise EventFileError(
                path,
                f"truncated: {rest} bytes are left over of an event of {record_bytes}; copy or download the file again",
                offset=self._next + self.count * record_bytes,
            )

    def skip_to_time(self, time: int, time_of: Callable[[NDArray[np.uint8]], int]) -> None:
        """Go to the first record whose time, as `time_of` decodes it from its bytes, is `time` or later: a binary search.

        Stays where it is if the last record's time is before the first one's: a counter that has started again.
        """
        first = self._next

        def at(index: int) -> int:
            self._file.seek(first + index * self._record_bytes)
            return time_of(np.frombuffer(self._file.read(self._record_bytes), np.uint8))

        skipped = bisect_left(range(self.count), time, key=at) if self.count and at(0) <= at(self.count - 1) else 0
        self._next = first + skipped * self._record_bytes
        self._left = self.count - skipped
        self._file.seek(self._next)

    def take(self, at_most: int) -> NDArray[np.uint8]:
        """The bytes of the next records `[min(at_most, left) * record_bytes]`, valid until the next call."""
        count = min(at_most, self._left)
        size = count * self._record_bytes
        if len(self._buffer) < size:
            self._buffer = np.empty(size, np.uint8)
        block = self._buffer[:size]
        found = self._file.readinto(block.data)
        if found != size:
            raise EventFileError(self._path, _SHORTER, offset=self._next + found)
        self.block_start = self._next
        self._next += size
        self._left -= count
        return block


def refuse(path: Path, events: Events, wrong: NDArray[np.bool_], why: str) -> None:
    """Raise for the first event that is marked in `wrong`, if there is one.

    Raises:
        EventFileError: An event cannot be written; `why` says what the format cannot hold.
    """
    if wrong.any():
        at = int(wrong.argmax())
        event = f"event {at:,} (x {events.x[at]}, y {events.y[at]}, t {events.t[at]} µs)"
        raise EventFileError(path, f"{event} cannot be written: {why} ({int(wrong.sum()):,} of {len(events):,} events)")
