"""Prophesee `.dat`, the format of N-Cars, Gen1 and 1 Mpx.

1. Header: any number of lines that begin with `%`. `% Height 240` and `% Width 304` give the sensor size; both, or the whole
   header, may be absent.
2. One byte, the type of the events: 0x0C for change detection (CD) events, 0x00 in older files (N-Cars). One byte, the
   bytes of an event: 8.
3. Events, little-endian:

| bytes | bits | what |
|---|---|---|
| 0–3 | 31–0 | time, microseconds |
| 4–7 | 13–0 | x |
| | 27–14 | y |
| | 28 | polarity, 1 = ON |

Times start again from 0 after 2**32 µs (71.6 minutes): a fall by more than 2**31 is taken for that, and 2**32 is added from
there on. After it, a rise by more than 2**31 is an event from before the restart that came late.

Source: "DAT files" in the Metavision SDK documentation, and the reader of Prophesee's automotive dataset toolbox.
"""

import re
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.clock import unwrap
from eventzoo.io.recording import Columns, FileFormat, Records, refuse

_RECORD_BYTES = 8
_CD_TYPES = (0x00, 0x0C)
_LONGEST_LINE = 4096  # bytes: a file that is no .dat may hold a '%' and never a line's end
_LONGEST_HEADER = 1 << 16
_FIELD = re.compile(rb"%\s*(width|height|version)\b[\s:=]*(.*)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_LARGEST_SIDE = 1 << 15
_WRAP = 1 << 32


class _DatRecording:
    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path = path
        self._header = _read_header(path, file)
        _read_type(path, file)
        self._records = Records(path, file, _RECORD_BYTES)
        self._wraps, self._last = 0, 0
        self.max_events = self._records.count

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """By the header's lines `Width` and `Height`, None unless both are there.

        Raises:
            EventFileError: One of them is not a number of pixels.
        """
        if "width" not in self._header or "height" not in self._header:
            return None
        return self._side("width"), self._side("height")

    def _side(self, name: str) -> int:
        text, offset = self._header[name]
        if not (_NUMBER.fullmatch(text) and 0 < int(text) <= _LARGEST_SIDE):
            reason = f"the header's {name} is {text!r}, not 1 to {_LARGEST_SIDE:,} pixels; pass sensor_size=(width, height)"
            raise EventFileError(self._path, reason, offset)
        return int(text)

    def decode(self, into: Columns) -> int:
        words = self._records.take(len(into.t)).view("<u4")
        if not len(words):
            return 0
        columns = into.part(0, len(words) // 2)
        if _decode(words, *columns, self._last) or self._wraps:
            self._wraps = unwrap(columns.t, self._last, self._wraps)
        self._last = int(words[-2])
        return len(columns.t)

    def seek(self, time: int) -> None:
        self._records.skip_to_time(time, lambda record: int(record[:4].view("<u4")[0]))

    def offset(self, index: int) -> int:
        return self._records.block_start + index * _RECORD_BYTES


def _read_header(path: Path, file: BufferedReader) -> dict[str, tuple[str, int]]:
    """The header's known fields in lower case, each with its text and the byte offset of its line."""
    fields: dict[str, tuple[str, int]] = {}
    offset = 0
    while file.peek(1)[:1] == b"%":
        line = file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise EventFileError(path, "the header's line that begins here does not end: truncated, or no .dat file", offset)
        if field := _FIELD.match(line):
            fields[field[1].decode().lower()] = field[2].decode("latin-1").strip(), offset
        offset += len(line)
        if offset > _LONGEST_HEADER:
            raise EventFileError(path, f"the header is longer than {_LONGEST_HEADER:,} bytes: no .dat file", offset)
    version, at = fields.get("version", ("2", 0))
    if version not in ("2", "2.0"):  # version 1 packs pixels into 9 and 8 bits: read as version 2 they would be wrong
        raise EventFileError(path, f"the header says version {version!r}; only version 2 is known", at)
    return fields


def _read_type(path: Path, file: BufferedReader) -> None:
    """Check the two bytes between header and events."""
    offset = file.tell()
    head = file.read(2)
    if len(head) < 2:
        raise EventFileError(path, "truncated: the file ends before the event type and size", offset + len(head))
    if head[0] not in _CD_TYPES:
        wanted = " or ".join(f"0x{known:02X}" for known in _CD_TYPES)
        reason = f"event type 0x{head[0]:02X} is not that of change detection (CD) events, {wanted}: other events, or no .dat file"
        raise EventFileError(path, reason, offset)
    if head[1] != _RECORD_BYTES:
        raise EventFileError(path, f"events of {head[1]} bytes; CD events have {_RECORD_BYTES}", offset + 1)


@numba.njit(cache=True, nogil=True)
def _decode(words: NDArray[np.uint32], x: Any, y: Any, t: Any, p: Any, last: int) -> bool:
    """Decode events, times as they stand; True if time falls somewhere. Two plain loops, which vectorise."""
    for i in range(len(t)):
        address = words[2 * i + 1]
        t[i] = words[2 * i]
        x[i] = address & 0x3FFF
        y[i] = (address >> 14) & 0x3FFF
        p[i] = (address >> 28) & 1
    falls: bool = t[0] < last
    for i in range(1, len(t)):
        falls |= t[i] < t[i - 1]
    return falls


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write events of version 2, type 0x0C, with the sensor size in the header."""
    refuse(path, events, (events.x > 0x3FFF) | (events.y > 0x3FFF), ".dat holds pixels from 0 to 16,383; use .npz")
    refuse(
        path,
        events,
        (events.t < 0) | (events.t >= _WRAP),
        ".dat holds times from 0 to 4,294,967,295 µs; use .npz, or subtract the first time",
    )
    width, height = events.sensor_size
    file.write(f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n".encode())
    file.write(bytes((0x0C, _RECORD_BYTES)))
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        words = np.empty((len(part), 2), "<u4")
        words[:, 0] = part.t
        words[:, 1] = part.x.astype(np.uint32) | part.y.astype(np.uint32) << 14 | part.p.astype(np.uint32) << 28
        file.write(words.tobytes())


FORMAT = FileFormat(open=_DatRecording, write=_write)
