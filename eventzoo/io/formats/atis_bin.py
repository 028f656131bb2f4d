"""ATIS binary `.bin`, the format of N-MNIST and N-Caltech101.

A file is nothing but events of 40 bits, without header:

| byte | bits | what |
|---|---|---|
| 0 | 7–0 | x |
| 1 | 7–0 | y; 240 marks a time overflow |
| 2 | 7 | polarity, 1 = ON |
| 2–4 | 6–0, 7–0, 7–0 | time, microseconds, 23 bits, most significant first |

A record with y = 240 is no event: from it on, 2**13 µs are added to every time, and it is dropped.

Source: the format paragraph of the N-MNIST and N-Caltech101 pages (Orchard et al., "Converting static image datasets
to spiking neuromorphic datasets using saccades", 2015); for the overflow, the authors' reader Read_Ndataset.m.
"""

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

_RECORD_BYTES = 5
_OVERFLOW_Y = 240
_OVERFLOW_US = 1 << 13


class _BinRecording:
    sensor_size = None

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._records = Records(path, file, _RECORD_BYTES)
        self._block = np.empty((0, _RECORD_BYTES), np.uint8)
        self._overflow = 0
        self.max_events = self._records.count

    def decode(self, into: Columns) -> int:
        found = 0
        while not found:  # a block may hold nothing but overflows
            self._block = self._records.take(len(into.t)).reshape(-1, _RECORD_BYTES)
            if not len(self._block):
                return 0
            columns = into.part(0, len(self._block))
            found = len(self._block)
            if _decode(self._block, *columns):
                found, self._overflow = _drop_overflows(*columns, self._overflow)
            elif self._overflow:
                columns.t[:] += self._overflow
        return found

    def offset(self, index: int) -> int:
        record = np.flatnonzero(self._block[:, 1] != _OVERFLOW_Y)[index]
        return self._records.block_start + int(record) * _RECORD_BYTES


@numba.njit(cache=True, nogil=True)
def _decode(records: NDArray[np.uint8], x: Any, y: Any, t: Any, p: Any) -> bool:
    """Decode every record as if it were an event; True if an overflow is among them."""
    overflow = False
    for i in range(len(records)):
        high = np.int64(records[i, 2])
        x[i] = records[i, 0]
        y[i] = records[i, 1]
        t[i] = (high & 127) << 16 | np.int64(records[i, 3]) << 8 | np.int64(records[i, 4])
        p[i] = high >> 7
        overflow |= records[i, 1] == _OVERFLOW_Y
    return overflow


@numba.njit(cache=True, nogil=True)
def _drop_overflows(x: Any, y: Any, t: Any, p: Any, overflow: int) -> tuple[int, int]:
    """Close up the events over the overflows, in place; the number of events, and the time that is now added."""
    found = 0
    for i in range(len(t)):
        if y[i] == _OVERFLOW_Y:
            overflow += _OVERFLOW_US
        else:
            x[found], y[found], t[found], p[found] = x[i], y[i], t[i] + overflow, p[i]
            found += 1
    return found, overflow


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write events without overflows, so that times end at 2**23 µs (8.4 s)."""
    if not len(events):
        raise EventFileError(path, "cannot be written: there are no events, and a .bin file without events has 0 bytes, as a lost one")
    refuse(path, events, (events.x > 255) | (events.y > 255), ".bin holds pixels from 0 to 255; use .dat or .npz")
    refuse(path, events, events.y == _OVERFLOW_Y, "y = 240 marks a time overflow in .bin; use .dat or .npz")
    refuse(
        path,
        events,
        (events.t < 0) | (events.t >= 1 << 23),
        ".bin holds times from 0 to 8,388,607 µs; use .npz, or subtract the first time",
    )
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        records = np.empty((len(part), _RECORD_BYTES), np.uint8)
        records[:, 0] = part.x
        records[:, 1] = part.y
        records[:, 2] = part.t >> 16 | part.p.astype(np.int64) << 7
        records[:, 3] = part.t >> 8 & 255
        records[:, 4] = part.t & 255
        file.write(records.tobytes())


FORMAT = FileFormat(open=_BinRecording, write=_write)
