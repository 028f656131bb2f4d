"""AEDAT 3.1 `.aedat`, what cAER records: the format of DVS128 Gesture.

1. Header: `#!AER-DAT3.1`, then lines that begin with `#`, among them `#Format: RAW` and the cameras, `#Source 1: DVS128`, up to the line
   `#!END-HEADER`.
2. Packets, little-endian, to the file's end. Each begins with 28 bytes:

| bytes | what |
|---|---|
| 0–1 | type of its events: 1 for those of pixels; others (special 0, frames 2, inertial 3, …) are skipped |
| 2–3 | source: number of the camera |
| 4–7 | bytes of an event: 8 for those of pixels |
| 8–11 | where in an event its time stands: 4 |
| 12–15 | overflow: how often the time has passed 2**31 µs |
| 16–19 | capacity: how many events the recorder had room for, not used |
| 20–23 | number of events that follow, valid or not |
| 24–27 | number of valid ones, at most that |

Events of pixels:

| bytes | bits | what |
|---|---|---|
| 0–3 | 0 | 1 = valid; others are skipped |
| | 1 | polarity, 1 = ON |
| | 16–2 | y, from the top |
| | 31–17 | x, from the left |
| 4–7 | 30–0 | time, microseconds |

The sensor size is by our line `# sensor size: 34x34`, else by the name of the source, where it is known.

Files of several cameras, or of compressed packets, are refused. So is a file without packets: it is a truncated one.

Source: "AEDAT 3.1", iniVation's documentation; libcaer's `events/polarity.h` for the origin of y.
"""

import os
import re
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.formats.aedat_header import SENSORS, read_header, sensor_named, smallest_sensor
from eventzoo.io.recording import Columns, FileFormat, refuse

_END = b"#!END-HEADER"
_HEADER = Struct("<hhiiiiii")
_POLARITY = 1
_RECORD_BYTES = 8
_PACKET_EVENTS = 4096  # that are written
_OVERFLOW = 1 << 31
_SOURCE = re.compile(r"source [0-9]+")


class _Aedat3Recording:
    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path, self._file = path, file
        self._header = read_header(path, file, "3.1", _END)
        self._next, self._size = file.tell(), os.fstat(file.fileno()).st_size
        if not self._header.ended:
            raise EventFileError(path, f"the header does not end with {_END.decode()}: truncated, or no AEDAT 3.1 file", self._next)
        kind = self._header.fields.get("format", "RAW")
        if kind != "RAW":
            raise EventFileError(path, f"its packets are of the format {kind}; only RAW is known")
        if self._next == self._size:
            raise EventFileError(path, "truncated: there are no packets after the header; copy or download the file again", self._next)
        self.max_events = (self._size - self._next) // _RECORD_BYTES
        self._source: int | None = None
        self._left, self._overflow = 0, 0  # of the current packet
        self._data = np.empty(0, np.uint32)  # of the latest block, which begins at byte self._start
        self._start = self._next

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        size = self._header.sensor_size(self._path)
        if size:
            return size
        sources = [value for key, value in self._header.fields.items() if _SOURCE.fullmatch(key)]
        sensor = sensor_named(sources[0]) if len(sources) == 1 else None
        return SENSORS[sensor] if sensor else None

    def decode(self, into: Columns) -> int:
        found = 0
        while not found:  # a packet may hold nothing but invalid events
            if not self._left and not self._next_packet():
                return 0
            count = min(self._left, len(into.t))
            words = np.frombuffer(self._read(count * _RECORD_BYTES), "<u4").reshape(-1, 2)
            self._data, self._start = words[:, 0], self._next - words.nbytes
            self._left -= count
            found, wrong = _decode(words, *into, self._overflow)
            if wrong >= 0:
                at = self._start + wrong * _RECORD_BYTES
                raise EventFileError(self._path, f"the event's time {words[wrong, 1]:,} has more than 31 bits; is the file whole?", at)
        return found

    def seek(self, time: int) -> None:
        while self._next_packet():
            start, stop = self._next, self._next + self._left * _RECORD_BYTES
            self._skip(stop - start - 4)
            last = int.from_bytes(self._read(4), "little") + self._overflow
            if last >= time:
                self._next = start
                self._file.seek(start)
                return
            self._left = 0

    def offset(self, index: int) -> int:
        return self._start + int(np.flatnonzero(self._data & 1)[index]) * _RECORD_BYTES

    def _next_packet(self) -> bool:
        """Go to the events of the next packet that holds events of pixels; False at the file's end."""
        while self._next < self._size:
            start = self._next
            kind, source, event_bytes, time_at, overflow, _, count, valid = _HEADER.unpack(self._read(_HEADER.size))
            if min(kind, event_bytes, overflow, count) < 0 or not 0 <= valid <= count:
                raise EventFileError(
                    self._path, "a packet begins here, by the one before it, but it does not: broken, or compressed", start
                )
            if self._next + count * event_bytes > self._size:
                reason = f"truncated: the packet of {count:,} events of {event_bytes} bytes reaches beyond the file's end"
                raise EventFileError(self._path, reason, start)
            if kind != _POLARITY or not count:
                self._skip(count * event_bytes)
                continue
            self._check_packet(start, source, event_bytes, time_at)
            self._left, self._overflow = count, overflow * _OVERFLOW
            return True
        return False

    def _check_packet(self, start: int, source: int, event_bytes: int, time_at: int) -> None:
        if (event_bytes, time_at) != (_RECORD_BYTES, 4):
            reason = (
                f"events of {event_bytes} bytes with their time at byte {time_at}; those of pixels have {_RECORD_BYTES}, with time at 4"
            )
            raise EventFileError(self._path, reason, start)
        if self._source is None:
            self._source = source
        if source != self._source:
            raise EventFileError(
                self._path, f"events of source {source} after those of source {self._source}: only one camera can be read", start
            )

    def _skip(self, size: int) -> None:
        self._next += size
        self._file.seek(self._next)

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            reason = f"truncated: {size - len(data):,} bytes of the packet are missing; copy or download the file again"
            raise EventFileError(self._path, reason, self._next + len(data))
        self._next += size
        return data


@numba.njit(cache=True, nogil=True)
def _decode(words: NDArray[np.uint32], x: Any, y: Any, t: Any, p: Any, overflow: int) -> tuple[int, int]:
    """Decode the valid events: their number, and the first one whose time is none, or -1."""
    found = 0
    for i in range(len(words)):
        data, now = words[i, 0], words[i, 1]
        if not data & 1:
            continue
        if now >> 31:
            return found, i
        x[found] = data >> 17
        y[found] = data >> 2 & 0x7FFF
        t[found] = overflow + np.int64(now)
        p[found] = data >> 1 & 1
        found += 1
    return found, -1


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write events as packets of one camera, which is named where a known one has room for the sensor."""
    refuse(path, events, (events.t < 0) | (events.t >= 1 << 62), "AEDAT 3.1 holds times from 0 to 2**62 µs; subtract the first time")
    width, height = events.sensor_size
    camera = smallest_sensor(events.sensor_size) or "unknown"
    lines = ("#!AER-DAT3.1", "#Format: RAW", f"#Source 0: {camera}", f"# sensor size: {width}x{height}", _END.decode())
    file.write("".join(f"{line}\r\n" for line in lines).encode())
    overflows = np.flatnonzero(np.diff(events.t >> 31)) + 1  # a packet has one overflow for all its events
    starts = np.union1d(np.arange(0, len(events), _PACKET_EVENTS), overflows).tolist() or [0]  # one packet even without events
    for start, stop in pairwise([*starts, len(events)]):
        file.write(_packet(events[start:stop]))


def _packet(events: Events) -> bytes:
    words = np.empty((len(events), 2), "<u4")
    words[:, 0] = events.x.astype(np.uint32) << 17 | events.y.astype(np.uint32) << 2 | events.p.astype(np.uint32) << 1 | 1
    words[:, 1] = events.t & (_OVERFLOW - 1)
    overflow = int(events.t[0]) >> 31 if len(events) else 0
    count = len(events)
    return _HEADER.pack(_POLARITY, 0, _RECORD_BYTES, 4, overflow, count, count, count) + words.tobytes()


FORMAT = FileFormat(open=_Aedat3Recording, write=_write, recognises=lambda head: head.startswith(b"#!AER-DAT3.1"))
