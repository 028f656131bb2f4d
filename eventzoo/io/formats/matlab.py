"""MATLAB `.mat` of versions 5 to 7, the format of ASL-DVS: the variables `ts`, `x`, `y` and `pol`, `[N, 1]` each.

1. Header of 128 bytes: 116 of text, 8 of an offset that is of no interest here, the version 0x0100, and the letters `MI` as a 16-bit
   number, which therefore read `IM` in a little-endian file.
2. Data elements, one a variable. An element is a tag, the 32-bit numbers type and size in bytes, and as many bytes. Type 15 is
   compressed: its bytes inflate (zlib) to an element of type 14, an array. An array's bytes are elements in turn, each filled up to
   a multiple of 8 bytes; of up to 4 bytes, they may stand in the tag itself: type (16 bits), size (16 bits), bytes.

| element of an array | type | what |
|---|---|---|
| flags | 6 | two 32-bit numbers; the first one's lowest byte is the class, 0x0800 marks complex numbers |
| dimensions | 5 | 32-bit numbers, one a dimension |
| name | 1 | ASCII |
| values | 1–7, 9, 12, 13 | column by column, in any numeric type that holds them, whatever the class |

`ts` is microseconds, `pol` 0/1 or -1/+1; values may be of any numeric type if they are whole. Other variables are passed over. Whether x
and y are the right way round is for the dataset to know: in ASL-DVS both run backwards. The format keeps no sensor size.

It is read here, not by scipy, which holds all variables at once, believes the sizes in a broken file, and would read what MATLAB's
objects hold. Files of version 7.3 are HDF5 and of version 4 obsolete; both are refused.

Source: "MAT-File Format", The MathWorks.
"""

import os
import zlib
from collections.abc import Iterator
from io import BufferedReader
from math import prod
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.arrays import ArraysRecording, common_length
from eventzoo.io.recording import FileFormat

_HEADER_BYTES = 128
_VERSION = 0x0100
_ARRAY, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64, logical among them
_OPAQUE_CLASS = 17  # MATLAB's own objects, which have no dimensions
_COMPLEX = 0x0800
_NAMES = ("x", "y", "ts", "pol")  # of the variables, in the order of Events
_MOST_DIMENSIONS = 32
_LONGEST_NAME = 64
_DEFLATE_RATIO = 1032  # the most that a deflated byte can expand to (zlib's documentation)
_PIECE = 1 << 14  # compressed bytes read at once


class _Element(NamedTuple):
    """Where a variable lies in the file."""

    offset: int
    size: int
    is_compressed: bool


class _Bytes:
    """The bytes of an element behind its tag, inflated if they are compressed, from front to back."""

    def __init__(self, path: Path, file: BufferedReader, element: _Element) -> None:
        self._path, self._file, self._tag = path, file, element.offset
        self._next, self._left = element.offset + 8, element.size
        self._inflate = zlib.decompressobj() if element.is_compressed else None
        self.used = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            EventFileError: There are fewer, or they do not inflate.
        """
        data = self._from_file(size) if self._inflate is None else self._inflated(self._inflate, size)
        self.used += len(data)
        if len(data) < size:
            raise EventFileError(self._path, "truncated or broken: the variable that begins here ends too early", self._tag)
        return data

    def finish(self) -> None:
        """Read what is left; the end of a compressed element holds its checksum.

        Raises:
            EventFileError: The checksum is wrong or missing.
        """
        if self._inflate is not None:
            rest = self._inflated(self._inflate, 8)
            if rest or not self._inflate.eof or self._left or self._inflate.unused_data:
                raise EventFileError(self._path, "broken: the compressed variable that begins here ends elsewhere than it says", self._tag)

    def _from_file(self, size: int) -> bytes:
        self._file.seek(self._next)
        data = self._file.read(min(size, self._left))
        self._next += len(data)
        self._left -= len(data)
        return data

    def _inflated(self, inflate: Any, size: int) -> bytes:
        pieces, missing = [], size
        try:
            while missing and not inflate.eof:
                compressed = inflate.unconsumed_tail or self._from_file(_PIECE)
                piece = inflate.decompress(compressed, missing)
                if not piece and not compressed:
                    break
                pieces.append(piece)
                missing -= len(piece)
        except zlib.error as error:
            raise EventFileError(self._path, f"the compressed variable that begins here is broken: {error}", self._tag) from error
        return b"".join(pieces)


class _Variable:
    """One variable: its name and, if it is a column or row of real numbers, its values from front to back.

    Raises:
        EventFileError: The element is no array.
    """

    def __init__(self, path: Path, file: BufferedReader, element: _Element, order: str) -> None:
        self._path, self._element, self._order = path, element, order
        self._bytes = _Bytes(path, file, element)
        self._pair, self._halves = Struct(f"{order}II"), Struct(f"{order}HH")
        size = element.size
        if element.is_compressed:
            kind, size = self._pair.unpack(self._bytes.read(8))
            if kind != _ARRAY or size > element.size * _DEFLATE_RATIO:
                raise self._broken(f"it inflates to an element of type {kind} and {size:,} bytes")
            self._bytes.used = 0
        self._size = size
        self._flags, _ = self._pair.unpack(self._part(6, range(8, 9)))
        self.name, self._shape = "", [0]
        if self._flags & 0xFF != _OPAQUE_CLASS:
            self._shape = np.frombuffer(self._part(5, range(8, 4 * _MOST_DIMENSIONS + 1, 4)), f"{order}i4").tolist()
            self.name = self._part(1, range(_LONGEST_NAME + 1)).decode("latin-1")

    def open_values(self) -> None:
        """Go to the values.

        Raises:
            EventFileError: They are no column of real numbers, or not as many as the dimensions say.
        """
        if self._flags & 0xFF not in _NUMERIC_CLASSES or self._flags & _COMPLEX:
            raise self._broken(f"the variable {self.name} is no array of real numbers")
        self.length = prod(self._shape)
        if min(self._shape) < 0 or (self.length and max(self._shape) != self.length):
            shape = "×".join(map(str, self._shape))
            raise self._broken(f"the variable {self.name} is of size {shape}; a column of events has one dimension, N×1")
        kind, size, self._small = self._tag()
        if kind not in _TYPES:
            raise self._broken(f"the values of {self.name} are of type {kind}, which is no number's")
        self._dtype = np.dtype(self._order + _TYPES[kind])
        rest = self._size - self._bytes.used - (size if self._small is None else 0)
        if size != self.length * self._dtype.itemsize or rest not in range(8):
            raise self._broken(f"the variable {self.name} promises {self.length:,} values, but has {size:,} bytes of them")

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` values, read-only, in the file's type."""
        size = count * self._dtype.itemsize
        if self._small is not None:
            data, self._small = self._small[:size], self._small[size:]
        else:
            data = self._bytes.read(size)
        return np.frombuffer(data, self._dtype)

    def finish(self) -> None:
        """Check what follows the last value."""
        self._bytes.read(self._size - self._bytes.used)
        self._bytes.finish()

    def _part(self, kind: int, sizes: range) -> bytes:
        """The bytes of the array's next element, which must be of a type and one of the sizes."""
        found, size, small = self._tag()
        if found != kind or size not in sizes:
            raise self._broken(f"an element of type {found} and {size:,} bytes stands in place of one of type {kind}")
        return self._bytes.read(size + -size % 8)[:size] if small is None else small

    def _tag(self) -> tuple[int, int, bytes | None]:
        """Type and size of the array's next element; its bytes if they are in the tag."""
        tag = self._bytes.read(8)
        kind, size = self._pair.unpack(tag)
        if kind < 1 << 16:
            return kind, size, None
        first, second = self._halves.unpack(tag[:4])
        kind, size = (first, second) if self._order == "<" else (second, first)
        if size > 4:
            raise self._broken(f"an element's tag promises {size:,} bytes within itself")
        return kind, size, tag[4 : 4 + size]

    def _broken(self, why: str) -> EventFileError:
        return EventFileError(self._path, f"the variable that begins here cannot be read: {why}", self._element.offset)


class _MatRecording(ArraysRecording):
    sensor_size = None

    def __init__(self, path: Path, file: BufferedReader) -> None:
        order = _byte_order(path, file)
        variables: dict[str, _Variable] = {}
        for element in _elements(path, file, order):
            variable = _Variable(path, file, element, order)
            if variable.name in variables:
                raise EventFileError(path, f"the variable {variable.name} is there twice", element.offset)
            if variable.name in _NAMES:
                variable.open_values()
            variables[variable.name or f"nameless at {element.offset}"] = variable
        missing = [name for name in _NAMES if name not in variables]
        if missing:
            found = ", ".join(list(variables)[:10])
            raise EventFileError(path, f"no variable {', '.join(missing)}: events need x, y, ts and pol; the file holds {found or 'none'}")
        self._variables = [variables[name] for name in _NAMES]
        super().__init__(path, common_length(path, {variable.name: variable.length for variable in self._variables}))
        if not self.max_events:
            self._finish()

    def _take(self, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        x, y, t, p = (variable.take(count) for variable in self._variables)
        if count == self._left:
            self._finish()
        return x, y, t, p

    def _finish(self) -> None:
        for variable in self._variables:
            variable.finish()


def _byte_order(path: Path, file: BufferedReader) -> str:
    """`<` or `>`, by the header, which is read."""
    header = file.read(_HEADER_BYTES)
    if header.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise EventFileError(path, "MATLAB version 7.3, which is HDF5; save it again in MATLAB with the option '-v7'", 0)
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None or Struct(f"{order}H").unpack(header[124:126]) != (_VERSION,):
        raise EventFileError(path, "does not begin as MATLAB files of versions 5 to 7 do: another format, an older version, or broken", 0)
    return order


def _elements(path: Path, file: BufferedReader, order: str) -> Iterator[_Element]:
    """The file's variables, which follow each other to its end."""
    offset, end = _HEADER_BYTES, os.fstat(file.fileno()).st_size
    while offset < end:
        file.seek(offset)
        tag = file.read(8)
        if len(tag) < 8:
            raise EventFileError(path, "truncated within a variable's tag, or bytes are left over; copy or download the file again", offset)
        kind, size = Struct(f"{order}II").unpack(tag)
        if kind not in (_ARRAY, _COMPRESSED):
            raise EventFileError(path, f"type {kind} is not that of a variable: broken, or no MATLAB file", offset)
        if size > end - offset - 8:
            raise EventFileError(path, "truncated: the variable that begins here reaches beyond the file's end; copy it again", offset)
        yield _Element(offset, size, kind == _COMPRESSED)
        offset += 8 + size


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write the four variables, compressed as MATLAB does by default."""
    if len(events) * 8 > 0xFFFF0000:
        raise EventFileError(path, f"cannot be written: a variable of a .mat file has less than 4 GiB, {len(events):,} times take more")
    file.write(b"MATLAB 5.0 MAT-file, written by eventzoo".ljust(116) + bytes(8) + Struct("<H").pack(_VERSION) + b"IM")
    variables: dict[str, NDArray[Any]] = {"ts": events.t, "x": events.x, "y": events.y, "pol": events.p.astype(np.uint8)}
    classes = {"i8": (14, 12), "i2": (10, 3), "u1": (9, 2)}  # with their types of values
    for name, values in variables.items():
        matlab_class, kind = classes[values.dtype.str[1:]]
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        parts = (
            _packed(6, Struct("<II").pack(matlab_class, 0))
            + _packed(5, Struct("<ii").pack(len(values), 1))
            + _packed(1, name.encode())
            + _packed(kind, data)
        )
        compressed = zlib.compress(Struct("<II").pack(_ARRAY, len(parts)) + parts)
        file.write(Struct("<II").pack(_COMPRESSED, len(compressed)) + compressed)


def _packed(kind: int, data: bytes) -> bytes:
    return Struct("<II").pack(kind, len(data)) + data + bytes(-len(data) % 8)


FORMAT = FileFormat(open=_MatRecording, write=_write)
