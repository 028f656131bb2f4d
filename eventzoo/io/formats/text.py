"""Events as text: one event a line, four numbers a line.

| encoding | a line | time | source |
|---|---|---|---|
| `uzh` | `t x y p`, separated by spaces | seconds, `2.097134001` | `events.txt` of the UZH event-camera dataset (Mueggler et al., 2017) |
| `xytp` | `x y t p`, separated by spaces | microseconds | MNIST-DVS text clips; `events.txt` of the N-Cars copy that rpg_asynet reads |
| `csv` | as the header line says, separated by commas | microseconds | Prophesee's `metavision_file_to_csv`, tables of dataframes |

Values are decimal numbers, `12`, `12.0` and `1.2e+01` alike. Pixels, microseconds and polarities (0/1 or -1/+1) must be whole; seconds
are rounded to the nearest microsecond, from their digits, without a float in between. Spaces and tabs at the ends of values, blank lines
and Windows line ends are allowed. Comments (`#`) may stand before the first event and nowhere else, so that a broken byte cannot turn
an event into one.

A `.txt` file is `uzh` if its first value has a fraction or an exponent and its second has none, and `xytp` if the first has none; of a
table of floats nobody can tell, so that the encoding must be given.

A CSV file begins, in this order, with a line `%geometry:<width>,<height>`, as Prophesee writes it, and a header, which names the columns
`x`, `y`, `t` (or `timestamp`, `ts`) and `p` (or `polarity`, `pol`, `on`) in any order. One of the two may be absent: without
header, but with `%geometry`, the columns are Prophesee's `x,y,p,t`. Without both nothing tells them, and the file is refused.

A text knows neither its length nor checksums: cut between two lines, it is a shorter text. A last line without a line's end is taken if
its last value is the polarity, and refused if it is another, which the cut may have shortened.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numba
import numpy as np

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.recording import Columns, FileFormat

_LONGEST_LINE = 4096  # bytes: a file that is no text may hold no line's end
_LONGEST_HEADER = 1 << 16
_SHORTEST_EVENT = 8  # bytes: four digits and what is between them
_EVENT_BYTES = 16  # of a usual line; a buffer of a block of them is read at once
_NAMES = {"t": "t", "timestamp": "t", "ts": "t", "p": "p", "polarity": "p", "pol": "p", "on": "p", "x": "x", "y": "y"}
_GEOMETRY = re.compile(rb"%geometry:\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\n", re.ASCII | re.IGNORECASE)
_LARGEST_SIDE = 1 << 15


class _Layout(NamedTuple):
    """How a line holds an event: the four letters of its columns in order, whether commas separate them, whether t is seconds."""

    columns: str
    commas: bool = False
    seconds: bool = False


class _TextRecording:
    """The lines from the file's current position on, read in blocks of whole lines."""

    def __init__(self, path: Path, file: BufferedReader, layout: _Layout, line: int, size: tuple[int, int] | None = None) -> None:
        self._path, self._file, self._layout = path, file, layout
        self.sensor_size = size
        self._order = np.array(["xytp".index(name) for name in layout.columns])
        size_left = os.fstat(file.fileno()).st_size - file.tell()
        self._buffer = bytearray(min(max(_EVENT_BYTES * blocks.BLOCK_EVENTS, 2 * _LONGEST_LINE), size_left + 1) + 1)  # 1: a line's end
        self._next = self._whole = self._filled = 0  # in the buffer: what is not decoded yet, the end of the last whole line, of all
        self._offset = file.tell()  # of the buffer's first byte
        self.max_events = size_left // _SHORTEST_EVENT + 1
        self._line = line  # number of the next line, from 1
        self._signs = 0
        self._starts = np.empty(0, np.int64)

    def decode(self, into: Columns) -> int:
        if len(self._starts) < len(into.t):
            self._starts = np.empty(len(into.t), np.int64)
        found = 0
        while not found:  # a buffer may hold nothing but blank lines
            if self._next == self._whole and not self._fill():
                return 0
            data = np.frombuffer(self._buffer, np.uint8)[: self._whole]
            commas, seconds = self._layout.commas, self._layout.seconds
            found, self._next, lines, self._signs, problem = _parse(
                data, self._next, self._order, commas, seconds, self._signs, *into, self._starts
            )
            self._line += lines
            if problem:
                self._refuse(problem)
        return found

    def offset(self, index: int) -> int:
        return self._offset + int(self._starts[index])

    def _fill(self) -> bool:
        """Read on to the buffer's end; False if no line is left."""
        rest = self._filled - self._whole
        self._buffer[:rest] = self._buffer[self._whole : self._filled]
        self._offset += self._whole
        end = len(self._buffer) - 1
        self._filled = rest + self._file.readinto(memoryview(self._buffer)[rest:end])
        self._next, self._whole = 0, self._buffer.rfind(b"\n", 0, self._filled) + 1
        if self._whole or not self._filled:
            return bool(self._filled)
        if self._filled == end:
            raise EventFileError(self._path, f"line {self._line:,} does not end: no text recording", self._offset)
        if self._layout.columns[-1] != "p":
            reason = f"line {self._line:,} does not end: truncated within a number; copy or download the file again"
            raise EventFileError(self._path, reason, self._offset)
        self._buffer[self._filled : self._filled + 1] = b"\n"
        self._filled += 1
        self._whole = self._filled
        return True

    def _refuse(self, problem: int) -> None:
        column, cause = divmod(problem, 8)
        line = bytes(self._buffer[self._next : self._buffer.index(b"\n", self._next)])
        name, separator = self._layout.columns[min(column, 3)], "," if self._layout.commas else " "
        why = {
            _MISSING: f"{name} is missing or no number",
            _BROKEN: f"{name} is not {_expected(name)}",
            _SURPLUS: "there is more than four values",
            _MIXED: "p mixes -1 and 0; polarities are 0/1 or -1/+1",
        }[cause]
        reason = f"line {self._line:,}, {line[:60].decode('latin-1')!r}: {why}; a line is {separator.join(self._layout.columns)}"
        raise EventFileError(self._path, reason, self._offset + self._next)


def _expected(name: str) -> str:
    if name == "t":
        return "a time; microseconds are whole numbers"
    return "a pixel, a whole number from 0 to 32767" if name in "xy" else "a polarity, 0/1 or -1/+1"


_MISSING, _BROKEN, _SURPLUS, _MIXED = 1, 2, 3, 4  # what is wrong with a line; 8 times the column is added
_MINUS_SEEN, _ZERO_SEEN = 1, 2
_SPACE, _TAB, _RETURN, _END, _COMMA, _POINT, _PLUS, _MINUS = 32, 9, 13, 10, 44, 46, 43, 45
_MOST_DIGITS = 19  # that always fit into 64 bits
_POWERS = 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.uint64)
_T = 2  # place of t among x, y, t and p
_LEAST = np.array([0, 0, np.iinfo(np.int64).min, -1])
_MOST = np.array([np.iinfo(np.int16).max, np.iinfo(np.int16).max, np.iinfo(np.int64).max, 1])


@numba.njit(cache=True, nogil=True)
def _parse(
    data: Any, at: int, order: Any, commas: bool, seconds: bool, signs: int, x: Any, y: Any, t: Any, p: Any, starts: Any
) -> tuple[int, int, int, int, int]:
    """Parse whole lines from byte `at` on until the columns are full or the data end.

    Returns:
        The number of events; the byte after them, or the beginning of the line that is none; the number of lines passed; which
        of -1 and 0 have been among the polarities; 0, or what is wrong with the line that is no event.
    """
    found, lines = 0, 0
    values = np.empty(4, np.int64)
    while found < len(t) and at < len(data):
        start = at
        at = _skip_spaces(data, at)
        is_blank = data[at] == _END or data[at] == _RETURN
        if not is_blank:
            at, problem = _parse_values(data, at, order, commas, seconds, values)
            if problem:
                return found, start, lines, signs, problem
            signs |= _MINUS_SEEN if values[3] < 0 else _ZERO_SEEN if values[3] == 0 else 0
            if signs == _MINUS_SEEN | _ZERO_SEEN:
                return found, start, lines, signs, _MIXED
            x[found], y[found], t[found], p[found] = values[0], values[1], values[_T], values[3] > 0
            starts[found] = start
            found += 1
        at += data[at] == _RETURN
        if data[at] != _END:
            return found - (not is_blank), start, lines, signs, _SURPLUS
        at += 1
        lines += 1
    return found, at, lines, signs, 0


@numba.njit(cache=True, nogil=True, inline="always")  # 40 % faster
def _parse_values(data: Any, at: int, order: Any, commas: bool, seconds: bool, values: Any) -> tuple[int, int]:
    """Parse a line's four values into `values`, in the order x, y, t, p; the byte after them, and 0 or what is wrong."""
    for column in range(4):
        if column:
            if commas:
                if data[at] != _COMMA:
                    return at, 8 * column + _MISSING
                at += 1
            at = _skip_spaces(data, at)
        field, before, fits = order[column], at, True
        value: Any = 0
        in_seconds = seconds and field == _T
        while not in_seconds and data[at] - np.uint8(48) < np.uint8(10):
            value = value * 10 + np.int64(data[at] - np.uint8(48))
            at += 1
        if not 0 < at - before < _MOST_DIGITS or data[at] > _COMMA:  # no plain number
            value, at, fits = _number(data, before, in_seconds)
        if at == before:
            return at, 8 * column + _MISSING
        if not fits or value < _LEAST[field] or value > _MOST[field]:
            return at, 8 * column + _BROKEN
        values[field] = value
        after = at
        at = _skip_spaces(data, at)
        if at == after and column < 3 and not commas:
            is_short = data[at] == _END or data[at] == _RETURN
            return at, 8 * (column + is_short) + _MISSING
    return at, 0


@numba.njit(cache=True, nogil=True)
def _skip_spaces(data: Any, at: int) -> int:
    while data[at] == _SPACE or data[at] == _TAB:
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _number(data: Any, at: int, in_seconds: bool) -> tuple[int, int, bool]:
    """The number at byte `at`, the byte after it (`at` if there is none), and whether it is whole and fits into 64 bits.

    Seconds become microseconds, half a one rounded up, and are whole then. Lines end with a byte that belongs to no number, so that
    no loop leaves the data.
    """
    start = at
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += 1
    mantissa, first, lost = np.uint64(0), at, False
    while data[at] - np.uint8(48) < np.uint8(10):
        mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - np.uint8(48))
        at += 1
    digits, scale = at - first, 6 if in_seconds else 0
    fits = digits <= _MOST_DIGITS
    if data[at] == _POINT:
        first, last = at + 1, at + 1 + _MOST_DIGITS - digits
        at += 1
        while data[at] - np.uint8(48) < np.uint8(10):
            if at < last:
                mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - np.uint8(48))
            else:
                lost |= data[at] != 48
            at += 1
        digits += at - first
        scale -= min(at, last) - first
    if not digits:
        return 0, start, False
    if data[at] == 69 or data[at] == 101:  # e
        exponent, at = _exponent(data, at + 1)
        scale += exponent
        fits &= data[at - 1] - np.uint8(48) < np.uint8(10)
    magnitude, whole = _scaled(mantissa, scale)
    fits &= magnitude <= np.uint64(1 << 63) - np.uint64(0 if negative else 1)
    value: Any = np.int64(magnitude)  # 2**63 becomes -2**63, and stays that when it is negated
    return -value if negative else value, at, fits and (in_seconds or (whole and not lost))


@numba.njit(cache=True, nogil=True)
def _exponent(data: Any, at: int) -> tuple[int, int]:
    """An exponent, 0 without digits, and the byte after it."""
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += 1
    value: Any = 0
    while data[at] - np.uint8(48) < np.uint8(10):
        if value < 1000:  # as good as infinite
            value = value * 10 + np.int64(data[at] - np.uint8(48))
        at += 1
    return -value if negative else value, at


@numba.njit(cache=True, nogil=True)
def _scaled(mantissa: Any, scale: int) -> tuple[Any, bool]:
    """`mantissa * 10**scale`, half rounded up, 2**64 - 1 if it is larger; and whether it is whole."""
    if mantissa == 0 or scale == 0:
        return mantissa, True
    if scale < 0:
        if scale < -_MOST_DIGITS:
            return np.uint64(0), False
        divisor = _POWERS[-scale]
        quotient = mantissa // divisor
        rest = mantissa - quotient * divisor
        if rest >= divisor - rest:
            quotient += np.uint64(1)
        return quotient, rest == 0
    if scale > _MOST_DIGITS or mantissa > np.uint64(0xFFFFFFFFFFFFFFFF) // _POWERS[scale]:
        return np.uint64(0xFFFFFFFFFFFFFFFF), True
    return mantissa * _POWERS[scale], True


def _open_plain(layout: _Layout, path: Path, file: BufferedReader) -> _TextRecording:
    line, start, _ = _first_line(path, file)
    file.seek(start)
    return _TextRecording(path, file, layout, line)


def _open_csv(path: Path, file: BufferedReader) -> _TextRecording:
    line, start, text = _first_line(path, file)
    size = None
    if geometry := _GEOMETRY.fullmatch(text):
        size = int(geometry[1]), int(geometry[2])
        if not (min(size) > 0 and max(size) <= _LARGEST_SIDE):
            raise EventFileError(path, f"the header's geometry is {size}, not (width, height) up to {_LARGEST_SIDE:,} pixels", start)
        line, start, text = _first_line(path, file, line + 1)
    if size and re.match(rb"[ \t]*[-+0-9]", text):  # no header
        file.seek(start)
        return _TextRecording(path, file, _Layout("xypt", commas=True), line, size)
    return _TextRecording(path, file, _Layout(_header_columns(path, text, start), commas=True), line + 1, size)


def _first_line(path: Path, file: BufferedReader, line: int = 1) -> tuple[int, int, bytes]:
    """The first line that is neither blank nor a comment, which is read: its number, its byte offset, and its text; no text at the end."""
    begin = file.tell()
    while True:
        start = file.tell()
        text = file.readline(_LONGEST_LINE)
        if not text or (text.strip(b" \t\r\n") and not text.lstrip(b" \t").startswith(b"#")):
            return line, start, text
        if (not text.endswith(b"\n") and len(text) == _LONGEST_LINE) or start - begin > _LONGEST_HEADER:
            raise EventFileError(path, f"line {line:,} does not end, or the header does not: no text recording", start)
        line += 1


def _header_columns(path: Path, text: bytes, start: int) -> str:
    """The letters of the columns that a CSV file's header names."""
    names = [name.strip().strip('"').lower() for name in text.decode("latin-1").split(",")]
    columns = "".join(_NAMES.get(name, "?") for name in names)
    if sorted(columns) != sorted("xytp"):
        reason = f"the header is {text[:60].decode('latin-1')!r}; it must name the columns x, y, t and p in their order, such as x,y,t,p"
        raise EventFileError(path, reason, start)
    if not text.endswith(b"\n"):
        raise EventFileError(path, "truncated: the header does not end", start)
    return columns


def _first_values(head: bytes) -> list[bytes]:
    lines = (line.split() for line in head.splitlines())
    return next((values for values in lines if values and not values[0].startswith(b"#")), [])


def _has_fraction(value: bytes) -> bool:
    return any(letter in b".eE" for letter in value)


def _is_uzh(head: bytes) -> bool:
    values = _first_values(head)
    return len(values) > 1 and _has_fraction(values[0]) and not _has_fraction(values[1])


def _is_xytp(head: bytes) -> bool:
    values = _first_values(head)
    return not (values and _has_fraction(values[0]))


def _write(layout: _Layout, path: Path, file: BinaryIO, events: Events) -> None:
    """Write a line an event; `.csv` begins with the sensor size and a header."""
    separator = "," if layout.commas else " "
    if layout.commas:
        width, height = events.sensor_size
        file.write(f"%geometry:{width},{height}\n{separator.join(layout.columns)}\n".encode())
    elif not len(events):
        raise EventFileError(path, "cannot be written: there are no events, and a text without events has 0 bytes, as a lost one")
    line = separator.join(["%s"] * 4) + "\n"
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        times = part.t.tolist()
        values = {"x": part.x.tolist(), "y": part.y.tolist(), "p": part.p.astype(np.uint8).tolist()}
        values["t"] = [_seconds(t) for t in times] if layout.seconds else times
        file.write("".join(map(line.__mod__, zip(*(values[name] for name in layout.columns), strict=True))).encode())


def _seconds(t: int) -> str:
    whole, rest = divmod(abs(t), 1_000_000)
    return f"{'-' * (t < 0)}{whole}.{rest:06d}"


def _format(layout: _Layout, recognises: Callable[[bytes], bool]) -> FileFormat:
    return FileFormat(open=partial(_open_plain, layout), write=partial(_write, layout), recognises=recognises)


UZH = _format(_Layout("txyp", seconds=True), _is_uzh)
XYTP = _format(_Layout("xytp"), _is_xytp)
CSV = FileFormat(open=_open_csv, write=partial(_write, _Layout("xytp", commas=True)))
