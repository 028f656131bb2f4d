"""AEDAT 4.0 `.aedat4`, what iniVation's DV records.

1. `#!AER-DAT4.0`, carriage return, line feed.
2. A FlatBuffer `IOHE`: compression (int32, 0 none, 1 and 2 LZ4, 3 and 4 Zstandard), position of part 4 in the file (int64, -1 if there is
   none), description (string).
3. Packets, little-endian: stream (int32), size of what follows (int32), and that many bytes, which are a FlatBuffer, compressed as a
   frame of its own. A packet of an event stream is `EVTS`: a vector of events.
4. A FlatBuffer `FTAB`, compressed likewise, to the file's end: a list of the packets, which reading from front to back does not need.

All FlatBuffers are preceded by their size (uint32). An event:

| bytes | what |
|---|---|
| 0–7 | time, microseconds, int64; of the Unix epoch in recordings |
| 8–9 | x, int16 |
| 10–11 | y, int16 |
| 12 | polarity, 1 = ON |
| 13–15 | not used |

The description is XML: below `<node name="outInfo">` a `<node name="0">` for each stream, in which `<attr key="typeIdentifier">` is
`EVTS` for events, and `<attr key="sizeX">`, `<attr key="sizeY">` of `<node name="info">` are the sensor's size. The first event stream
is read, the others are skipped.

Packets are decompressed piece by piece, so that memory does not depend on what a file says of itself. The libraries that read AEDAT 4
(`aedat`, `faery`) allocate whatever it says, and panic on some broken files, which Python code cannot catch as an `Exception`;
hence this reader, which is as fast.

Source: "AEDAT 4.0", iniVation's documentation, with its FlatBuffers schemas; "FlatBuffers Internals", for tables and vectors.
"""

import os
import re
from io import BufferedReader
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree as ET

import lz4.frame
import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.formats.aedat4_buffers import INT32, INT64, METHODS, UINT32, FlatBuffer, Frame
from eventzoo.io.recording import Columns, FileFormat

_MAGIC = b"#!AER-DAT4.0\r\n"
_LONGEST_HEADER = 1 << 24
_PACKET = Struct("<ii")  # stream, size
_HEAD_BYTES = 256  # of a packet; its vector begins within, behind the few bytes of its table
_EVENT = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16})
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_LARGEST_SIDE = 1 << 15


class _Stream(NamedTuple):
    """The event stream that is read: its number, and what the description says of its width and height."""

    number: int
    sides: tuple[str | None, str | None]


class _Aedat4Recording:
    max_events = None

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path, self._file = path, file
        header = _read_header(path, file)
        self._method = header.number(0, INT32, default=0)
        if not 0 <= self._method < len(METHODS):
            raise EventFileError(path, f"its packets are compressed by method {self._method}; known are 0 to 4", len(_MAGIC))
        self._stream = _event_stream(path, header)
        self._next = file.tell()
        self._end = os.fstat(file.fileno()).st_size
        list_at = header.number(1, INT64, default=-1)
        if list_at != -1:  # a recording that was cut off has no list
            self._end = self._check_list(list_at)
        self._frame: Frame | None = None  # of the current packet, which begins at byte self._start
        self._start = self._next
        self._left = 0  # of its events

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """By the description, None if it says nothing of it.

        Raises:
            EventFileError: What it says is not two numbers of pixels.
        """
        if None in self._stream.sides:
            return None
        sides = [int(side) if side and _NUMBER.fullmatch(side) else 0 for side in self._stream.sides]
        if not 0 < min(sides) <= max(sides) <= _LARGEST_SIDE:
            reason = f"the description's sensor size is {self._stream.sides}, not two numbers of pixels; pass sensor_size=(width, height)"
            raise EventFileError(self._path, reason, len(_MAGIC))
        return sides[0], sides[1]

    def decode(self, into: Columns) -> int:
        while self._frame is None or not self._left:
            if self._frame is not None:
                self._frame.finish()
                self._frame = None
            if not self._next_packet():
                return 0
        count = min(self._left, len(into.t))
        events = np.frombuffer(self._frame.take(count * _EVENT.itemsize), _EVENT)
        into.x[:count], into.y[:count], into.t[:count], into.p[:count] = (events[name] for name in Columns._fields)
        if min(into.x[:count].min(), into.y[:count].min()) < 0:
            raise EventFileError(
                self._path, "the packet that begins here has an event at a negative pixel; is the file whole?", self._start
            )
        self._left -= count
        return count

    def offset(self, index: int) -> int:  # noqa: ARG002  # events are compressed: known is where their packet begins
        return self._start

    def _next_packet(self) -> bool:
        """Go to the next packet of the event stream; False at the end."""
        while self._next < self._end:
            start = self._next
            self._file.seek(start)
            head = self._file.read(_PACKET.size)
            stream, size = _PACKET.unpack(head) if len(head) == _PACKET.size and start + _PACKET.size <= self._end else (0, -1)
            self._next = start + _PACKET.size + size
            if size < 0 or self._next > self._end:
                reason = f"truncated: the packet that begins here reaches beyond byte {self._end:,}, where the packets end"
                raise EventFileError(self._path, reason, start)
            if stream == self._stream.number:
                self._start = start
                self._open_packet(Frame(self._path, self._file.read(size), self._method, start))
                return True
        return False

    def _open_packet(self, frame: Frame) -> None:
        """Skip what is before a packet's events."""
        size = UINT32.unpack(frame.take(UINT32.size))[0]
        begin, count = FlatBuffer(self._path, frame.peek(_HEAD_BYTES), b"EVTS", self._start).vector(0)
        if count and not 0 <= size - begin - count * _EVENT.itemsize < _EVENT.itemsize:  # a broken count must not lose events
            reason = f"the packet that begins here says that it holds {count:,} events, in {size:,} bytes; is the file whole?"
            raise EventFileError(self._path, reason, self._start)
        frame.skip(begin if count else size)
        self._frame, self._left = frame, count

    def _check_list(self, at: int) -> int:
        """Check that the list of packets is whole, so that nothing is missing from the file's end; its position."""
        if not self._next <= at < self._end:
            reason = f"truncated: the header says that the packets end at byte {at:,}, and the file ends at byte {self._end:,}"
            raise EventFileError(self._path, reason, self._end)
        self._file.seek(at)
        frame = Frame(self._path, self._file.read(), self._method, at)
        size = UINT32.unpack(frame.take(UINT32.size))[0]
        FlatBuffer(self._path, frame.peek(_HEAD_BYTES), b"FTAB", at)
        frame.skip(size)
        frame.finish()
        return at


def _read_header(path: Path, file: BufferedReader) -> FlatBuffer:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise EventFileError(path, "the first line is not #!AER-DAT4.0: no AEDAT 4.0 file", 0)
    prefix = file.read(UINT32.size)
    size = UINT32.unpack(prefix)[0] if len(prefix) == UINT32.size else 0
    if not 0 < size <= min(_LONGEST_HEADER, os.fstat(file.fileno()).st_size - file.tell()):
        raise EventFileError(path, f"truncated, or no AEDAT 4.0 file: a header of {size:,} bytes is promised here", len(_MAGIC))
    return FlatBuffer(path, file.read(size), b"IOHE", len(_MAGIC))


def _event_stream(path: Path, header: FlatBuffer) -> _Stream:
    """The first event stream of the description."""
    try:
        text = header.string(2).decode()
        if "<!" in text.replace("<!--", ""):
            raise EventFileError(path, "the description has declarations, which DV does not write", len(_MAGIC))
        root = ET.fromstring(text)  # noqa: S314  # XML is dangerous by its declarations of entities, which are refused
    except (ET.ParseError, ValueError) as error:
        raise EventFileError(path, f"the description is no XML: {error}; is the file whole?", len(_MAGIC)) from error
    for stream in root.iterfind("node[@name='outInfo']/node"):
        number = stream.get("name", "")
        if stream.findtext("attr[@key='typeIdentifier']") == "EVTS" and _NUMBER.fullmatch(number):
            width, height = (stream.findtext(f"node[@name='info']/attr[@key='{key}']") for key in ("sizeX", "sizeY"))
            return _Stream(int(number), (width, height))
    raise EventFileError(path, "the description names no event stream: the file holds frames or samples alone, or is broken", len(_MAGIC))


_DESCRIPTION = """<dv version="2.0">
    <node name="outInfo" path="/mainloop/Recorder/outInfo/">
        <node name="0" path="/mainloop/Recorder/outInfo/0/">
            <attr key="compression" type="string">LZ4</attr>
            <attr key="originalModuleName" type="string">eventzoo</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
                <attr key="sizeX" type="int">{width}</attr>
                <attr key="sizeY" type="int">{height}</attr>
                <attr key="source" type="string">eventzoo</attr>
                <attr key="tsOffset" type="long">0</attr>
            </node>
        </node>
    </node>
</dv>
"""
_PACKET_EVENTS = 4096
# Size, position of the table, kind, vtable (its size, the table's, where the fields are), table
_HEADER = Struct("<II4s 6x HHHHH i iIq 4x I")
_VECTOR = Struct("<II4s 2x HHH i II")  # of the one vector in EVTS and FTAB
_ENTRY_FIELDS = Struct("<HHHHHHH")
# of FTAB: distance to the vtable, position in the file, stream, size, number of events, first and last time
_ENTRY = np.dtype(
    {
        "names": ["vtable", "position", "stream", "size", "count", "first", "last"],
        "formats": ["<i4", "<i8", "<i4", "<i4", "<i8", "<i8", "<i8"],
        "offsets": [0, 4, 12, 16, 20, 28, 36],
        "itemsize": 48,
    }
)


def _write(path: Path, file: BinaryIO, events: Events) -> None:  # noqa: ARG001  # the format holds any events
    """Write events as the one stream of a recording, compressed with LZ4."""
    width, height = events.sensor_size
    description = _DESCRIPTION.format(width=width, height=height).encode() + b"\0"
    file.write(_MAGIC + _header(description, 0))
    entries = np.zeros(-(-len(events) // _PACKET_EVENTS), _ENTRY)
    for number, start in enumerate(range(0, len(events), _PACKET_EVENTS)):
        part = events[start : start + _PACKET_EVENTS]
        records = np.zeros(len(part), _EVENT)
        for name in Columns._fields:
            records[name] = getattr(part, name)
        packet = _compressed(_vector(b"EVTS", len(part), records.tobytes()))
        entries[number] = (0, file.tell(), 0, len(packet), len(part), part.t[0], part.t[-1])
        file.write(_PACKET.pack(0, len(packet)) + packet)
    list_at = file.tell()
    file.write(_compressed(_packet_list(entries)))
    file.seek(len(_MAGIC))
    file.write(_header(description, list_at))


def _header(description: bytes, list_at: int) -> bytes:
    size = _HEADER.size - UINT32.size + len(description)
    return _HEADER.pack(size, 24, b"IOHE", 10, 24, 4, 12, 8, 10, 1, 16, list_at, len(description) - 1) + description


def _vector(kind: bytes, count: int, elements: bytes) -> bytes:
    return _VECTOR.pack(_VECTOR.size - UINT32.size + len(elements), 16, kind, 6, 8, 4, 6, 4, count) + elements


def _packet_list(entries: np.ndarray) -> bytes:
    """The FlatBuffer `FTAB`: distances to the entries, their common vtable, the entries."""
    distances = 4 * len(entries)
    begin = _VECTOR.size - UINT32.size + distances  # of the vtable
    first = -(-(begin + _ENTRY_FIELDS.size) // 8) * 8  # entries are aligned to 8 bytes
    positions = first + _ENTRY.itemsize * np.arange(len(entries))
    entries["vtable"] = positions - begin
    offsets = positions - (_VECTOR.size - UINT32.size) - 4 * np.arange(len(entries))
    fields = _ENTRY_FIELDS.pack(_ENTRY_FIELDS.size, 44, 4, 12, 20, 28, 36)  # position, stream and size, count, first, last
    return _vector(b"FTAB", len(entries), offsets.astype("<u4").tobytes() + fields.ljust(first - begin, b"\0") + entries.tobytes())


def _compressed(data: bytes) -> bytes:
    compressed: bytes = lz4.frame.compress(data, content_checksum=True)
    return compressed


FORMAT = FileFormat(open=_Aedat4Recording, write=_write)
