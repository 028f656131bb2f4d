"""AEDAT 2.0 `.aedat`, what jAER records: the format of CIFAR10-DVS and MNIST-DVS.

1. Header: `#!AER-DAT2.0`, then any number of lines that begin with `#`, up to the line `#End Of ASCII Header` or, in older files, the
   first byte that does not begin a line of text after a `#`.
2. Events, big-endian:

| bytes | what |
|---|---|
| 0–3 | address |
| 4–7 | time, microseconds |

What an address means, only its camera tells, which the line `# AEChip: <Java class>` names. Files without that line are taken for DVS128
recordings, as all are that are older than the line (2014).

| bits of the address | DVS128 | bits of the address | DAVIS240, 346, 640 |
|---|---|---|---|
| 31 | 1 = no event of a pixel: skipped | 31 | 1 = frame or inertial sample: skipped |
| 30–16 | 0 | 30–22 | row, from the bottom |
| 15 | 1 = external signal: skipped | 21–12 | column, from the right |
| 14–8 | row, from the bottom | 11 | polarity, 1 = ON |
| 7–1 | column, from the right | 10 | 1 = external signal: skipped |
| 0 | polarity, 0 = ON | 9–0 | not used |

What is read has x from the left, y from the top and ON as True, like every other format: a DVS128's event with the raw column 3, row 5 and
bit 0 is at x = 124, y = 122 and ON. (jAER does the same, but counts rows from the bottom. Readers that hand out raw bits show a mirrored
picture upside down, and a DVS128's polarities inverted.) A camera that was mounted turned gives a turned picture; the datasets turn it.

Times are taken as unsigned; they start again from 0 after 2**32 µs, as in `.dat`.

Source: "AEDAT 2.0", iniVation's documentation; for the camera's directions and the polarity of a DVS128, where the documentation is
silent or wrong, the event extractors of jAER, which records the files (`DVS128`, `DavisChip`, `DavisBaseCamera`).
"""

from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numba
import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.clock import unwrap
from eventzoo.io.formats.aedat_header import SENSORS, read_header, sensor_named, smallest_sensor
from eventzoo.io.recording import Columns, FileFormat, Records, refuse

_RECORD_BYTES = 8
_END = b"#End Of ASCII Header"
_LAST_TIME = (1 << 31) - 1  # that is written: jAER reads times as signed
_CLASSES = {"DVS128": "ch.unizh.ini.jaer.chip.retina.DVS128", "DAVIS240": "eu.seebetter.ini.chips.davis.DAVIS240C"}


class _Layout(NamedTuple):
    """What the bits of an address mean. `off` is the polarity bit of OFF events; `zero` are bits that an event's address has not."""

    width: int
    height: int
    x_shift: int
    x_mask: int
    y_shift: int
    y_mask: int
    p_shift: int
    off: int
    skipped: int
    zero: int


def _layout(sensor: str) -> _Layout:
    width, height = SENSORS[sensor]
    if sensor == "DVS128":
        return _Layout(width, height, 1, 0x7F, 8, 0x7F, 0, 1, 0x80008000, 0x7FFF0000)
    return _Layout(width, height, 12, 0x3FF, 22, 0x1FF, 11, 0, 0x80000400, 0)


class _Aedat2Recording:
    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path = path
        self._header = read_header(path, file, "2.0", _END)
        camera = self._header.fields.get("aechip", "DVS128")
        sensor = sensor_named(camera)
        if sensor is None:
            raise EventFileError(path, f"the header's camera is {camera}, whose addresses are not known; known are {', '.join(SENSORS)}")
        self._sensor, self._layout = sensor, _layout(sensor)
        self._records = Records(path, file, _RECORD_BYTES)
        if not self._records.count and not self._header.ended:
            raise EventFileError(path, "there are no events, and no line that ends the header: truncated", self._records.block_start)
        self._addresses = np.empty(0, np.uint32)  # of the latest block
        self._wraps, self._last = 0, 0
        self.max_events = self._records.count

    @property
    def sensor_size(self) -> tuple[int, int]:
        return self._header.sensor_size(self._path) or SENSORS[self._sensor]

    def decode(self, into: Columns) -> int:
        found = 0
        while not found:  # a block may hold nothing but samples of frames
            words = self._records.take(len(into.t)).view(">u4").astype(np.uint32).reshape(-1, 2)
            if not len(words):
                return 0
            self._addresses = words[:, 0]
            found, wrong, falls = _decode(words, *into, self._layout, self._last)
            if wrong >= 0:
                self._refuse(wrong)
            if falls or self._wraps:
                self._wraps = unwrap(into.t[:found], self._last, self._wraps)
            if found:
                self._last = int(into.t[found - 1]) & 0xFFFFFFFF
        return found

    def _refuse(self, record: int) -> None:
        guessed = "" if "aechip" in self._header.fields else ", which is assumed because the header does not name its camera (# AEChip: …)"
        reason = f"the address 0x{self._addresses[record]:08X} is no pixel of a {self._sensor}{guessed}; is the file whole?"
        raise EventFileError(self._path, reason, self._records.block_start + record * _RECORD_BYTES)

    def seek(self, time: int) -> None:
        self._records.skip_to_time(time, lambda record: int(record[4:].view(">u4")[0]))

    def offset(self, index: int) -> int:
        record = np.flatnonzero(self._addresses & self._layout.skipped == 0)[index]
        return self._records.block_start + int(record) * _RECORD_BYTES


@numba.njit(cache=True, nogil=True)
def _decode(words: Any, x: Any, y: Any, t: Any, p: Any, layout: _Layout, last: Any) -> tuple[int, int, bool]:
    """Decode events, times as they stand: their number, the first record that is none by its address or -1, whether time falls."""
    found, falls = 0, False
    for i in range(len(words)):
        address, now = np.int64(words[i, 0]), np.int64(words[i, 1])
        if address & layout.skipped:
            continue
        column = layout.width - 1 - (address >> layout.x_shift & layout.x_mask)
        row = layout.height - 1 - (address >> layout.y_shift & layout.y_mask)
        if column < 0 or row < 0 or address & layout.zero:
            return found, i, falls
        x[found], y[found], t[found], p[found] = column, row, now, (address >> layout.p_shift & 1) != layout.off
        if now < last:
            falls = True
        last = now
        found += 1
    return found, -1, falls


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write events as a DVS128's if the sensor is not larger than that, else as a DAVIS240's."""
    width, height = events.sensor_size
    sensor = smallest_sensor(events.sensor_size)
    if sensor not in _CLASSES:
        raise EventFileError(
            path, f"a sensor of {width}×{height} cannot be written: AEDAT 2.0 is written up to 240×180; use .aedat4, or encoding='aedat3'"
        )
    why = "AEDAT 2.0 holds times from 0 to 2,147,483,647 µs; use .npz, or subtract the first time"
    refuse(path, events, (events.t < 0) | (events.t > _LAST_TIME), why)
    lines = (
        "#!AER-DAT2.0",
        "# This is a raw AE data file - do not edit",
        "# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
        "# Timestamps tick is 1 us",
        f"# AEChip: {_CLASSES[sensor]}",
        f"# sensor size: {width}x{height}",
        _END.decode(),
    )
    file.write("".join(f"{line}\r\n" for line in lines).encode())
    layout = _layout(sensor)
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        words = np.empty((len(part), 2), ">u4")
        words[:, 0] = (
            (layout.width - 1 - part.x.astype(np.int64)) << layout.x_shift
            | (layout.height - 1 - part.y.astype(np.int64)) << layout.y_shift
            | (part.p ^ layout.off).astype(np.int64) << layout.p_shift
        )
        words[:, 1] = part.t
        file.write(words.tobytes())


FORMAT = FileFormat(open=_Aedat2Recording, write=_write, recognises=lambda head: head.startswith(b"#!AER-DAT2.0"))
