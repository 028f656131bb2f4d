"""Event Stream `.es`, version 2, of event cameras (DVS events).

| byte | what |
|---|---|
| 0–11 | `Event Stream` |
| 12–14 | version: major, minor, patch |
| 15 | what the stream holds: 1 = DVS events |
| 16–19 | width and height, 16 bits each, least significant byte first |

Then each of these begins with a byte that tells which one it is:

| first byte | what |
|---|---|
| 0xFF | overflow: the next event is 127 µs later |
| 0xFE | reset: skipped; written five at a time, so that a reader that lost its place finds it again |
| other | an event of five bytes |

| byte of an event | bits | what |
|---|---|---|
| 0 | 7–1 | µs since the event before and its overflows, 0 to 126 |
| | 0 | polarity, 1 = brighter |
| 1–2 | 15–0 | x, least significant byte first |
| 3–4 | 15–0 | y, least significant byte first |

The first event's time counts from 0. The format does not say where y begins: it is given as it stands in the file.
Generic, ATIS, display and colour streams are refused.

Source: the Event Stream specification, github.com/neuromorphic-paris/event_stream.
"""

import struct
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.recording import Columns, FileFormat, Records, refuse

_SIGNATURE = b"Event Stream"
_HEADER_BYTES = 20
_EVENT_BYTES = 5
_STREAMS = ("generic", "DVS", "ATIS", "display", "colour")
_DVS = 1
_LARGEST_SIDE = 1 << 15
_OVERFLOW, _RESET = 0xFF, 0xFE
_OVERFLOW_US = 127
_LAST_TIME = (1 << 32) - 1  # what is written: a silence costs a byte every 127 µs


class _EsRecording:
    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path = path
        self._size = _read_header(path, file)
        self._records = Records(path, file, 1)
        self._bytes = np.empty(0, np.uint8)
        self._block_start = _HEADER_BYTES  # byte offset of self._bytes
        self._at, self._time = 0, 0
        self._begin = self._at, self._time  # of the latest block
        # one more, so that there is room, and the bytes behind the last event are looked at as well
        self.max_events = self._records.count // _EVENT_BYTES + 1

    @property
    def sensor_size(self) -> tuple[int, int]:
        """By the header.

        Raises:
            EventFileError: It is no number of pixels.
        """
        width, height = self._size
        if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
            reason = (
                f"the header's sensor of {width}×{height} is not 1 to {_LARGEST_SIDE:,} pixels a side; pass sensor_size=(width, height)"
            )
            raise EventFileError(self._path, reason, 16)
        return width, height

    def decode(self, into: Columns) -> int:
        while True:
            self._begin = self._at, self._time
            found, self._at, self._time = _decode(self._bytes, *self._begin, *into)
            if found:
                return int(found)
            left = self._bytes[self._at :]
            if len(left) >= _EVENT_BYTES:
                x, y = left[1:_EVENT_BYTES].view("<u2")
                reason = f"a pixel at (x, y) = ({x}, {y}) is on no sensor: the file is damaged"
                raise EventFileError(self._path, reason, self._block_start + self._at)
            if not self._refill(left):
                if len(left):
                    reason = f"truncated: {len(left)} bytes are left over of an event of {_EVENT_BYTES}; copy or download the file again"
                    raise EventFileError(self._path, reason, self._block_start)
                return 0

    def _refill(self, left: NDArray[np.uint8]) -> int:
        """Put the file's next bytes behind those that are left; their number."""
        self._block_start += self._at
        self._at = 0
        new = self._records.take(blocks.BLOCK_EVENTS * _EVENT_BYTES)
        self._bytes = np.concatenate([left, new])
        return len(new)

    def offset(self, index: int) -> int:
        """By decoding the block again, up to this event."""
        _, after, _ = _decode(self._bytes, *self._begin, *Columns.allocate(index + 1))
        return self._block_start + int(after) - _EVENT_BYTES


def _read_header(path: Path, file: BufferedReader) -> tuple[int, int]:
    """Check the header; width and height as they stand in it."""
    head = file.read(_HEADER_BYTES)
    if head[: len(_SIGNATURE)] != _SIGNATURE[: len(head)]:
        raise EventFileError(path, "does not begin with 'Event Stream': no .es file", 0)
    if len(head) < _HEADER_BYTES and not (len(head) > 15 and head[15] != _DVS):
        raise EventFileError(path, "truncated: the file ends within the header", len(head))
    if head[12] != 2:
        raise EventFileError(path, f"the header says version {head[12]}.{head[13]}.{head[14]}; only version 2 is known", 12)
    if head[15] != _DVS:
        kind = _STREAMS[head[15]] if head[15] < len(_STREAMS) else f"unknown ({head[15]})"
        raise EventFileError(path, f"the stream's events are of the kind {kind}; only DVS events are read", 15)
    width, height = struct.unpack_from("<HH", head, 16)
    return width, height


@numba.njit(cache=True, nogil=True)
def _decode(data: NDArray[np.uint8], at: Any, time: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
    """Decode `data[at:]` until the columns are full, less than an event is left, or a pixel is no int16.

    Gives the number of events, where to go on, and the time of the latest event and the overflows after it.
    """
    at, found, one, size = np.uint64(at), np.uint64(0), np.uint64(1), np.uint64(len(data))  # unsigned: see evt2
    while at < size and found < np.uint64(len(t)):
        first = data[at]
        if first == _OVERFLOW:
            time += _OVERFLOW_US
            at += one
        elif first == _RESET:
            at += one
        elif size - at < np.uint64(_EVENT_BYTES) or (data[at + np.uint64(2)] | data[at + np.uint64(4)]) & 0x80:
            break
        else:
            time += first >> 1
            x[found] = np.int16(data[at + np.uint64(1)]) | np.int16(data[at + np.uint64(2)]) << 8
            y[found] = np.int16(data[at + np.uint64(3)]) | np.int16(data[at + np.uint64(4)]) << 8
            t[found] = time
            p[found] = first & 1
            found += one
            at += np.uint64(_EVENT_BYTES)
    return np.int64(found), np.int64(at), time


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write a stream of version 2.0.0."""
    why = f".es is written for times from 0 to {_LAST_TIME:,} µs, because a silence costs a byte every 127 µs; "
    refuse(path, events, (events.t < 0) | (events.t > _LAST_TIME), why + "use .npz, or subtract the first time")
    file.write(_SIGNATURE + bytes((2, 0, 0, _DVS)) + struct.pack("<HH", *events.sensor_size))
    last = 0
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        overflows, rest = np.divmod(np.diff(part.t, prepend=last), _OVERFLOW_US)
        data = np.full(_EVENT_BYTES * len(part) + int(overflows.sum()), _OVERFLOW, np.uint8)
        at = overflows.cumsum() + _EVENT_BYTES * np.arange(len(part))
        for byte, values in enumerate((rest << 1 | part.p, part.x & 255, part.x >> 8, part.y & 255, part.y >> 8)):
            data[at + byte] = values
        file.write(data.tobytes())
        last = int(part.t[-1])


FORMAT = FileFormat(open=_EsRecording, write=_write)
