"""The buffers that AEDAT 4 is made of: FlatBuffers, read with every offset checked, in compressed frames, read piece by piece.

A FlatBuffer begins with the position of its root table (uint32) and four letters that name its kind. A table begins with its distance
from its vtable (int32). A vtable holds its own size and the table's (uint16 each), then, for each field, where in the table it stands
(uint16), 0 if it is left out. A field that is a string or a vector holds the distance to it (uint32); there, its length (uint32)
comes first.

Source: "FlatBuffers Internals", the FlatBuffers documentation; the frame formats of LZ4 and Zstandard are their libraries'.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any

import lz4.frame
import zstandard

from eventzoo.errors import EventFileError

INT32, UINT32, INT64 = Struct("<i"), Struct("<I"), Struct("<q")
_UINT16 = Struct("<H")
_PIECE = 1 << 16
METHODS = ("none", "LZ4", "LZ4", "Zstandard", "Zstandard")  # of compression, by their numbers


class FlatBuffer:
    """A buffer's root table.

    Args:
        path: The file, for messages.
        data: The buffer, without the size before it, or as much of its beginning as holds what is asked for.
        kind: The four letters that it must have.
        offset: Byte offset for messages.

    Raises:
        EventFileError: It is of another kind, or, now or later, an offset in it leads out of `data`.
    """

    def __init__(self, path: Path, data: bytes, kind: bytes, offset: int) -> None:
        self._path, self._data, self._offset = path, data, offset
        if data[4:8] != kind:
            raise EventFileError(path, f"{kind!r} is expected here, not {data[4:8]!r}; is the file whole?", offset)
        self._table = self._at(UINT32, 0)
        self._vtable = self._table - self._at(INT32, self._table)
        self._vtable_bytes = self._at(_UINT16, self._vtable)

    def _at(self, struct: Struct, position: int) -> int:
        if not 0 <= position <= len(self._data) - struct.size:
            raise EventFileError(self._path, f"broken FlatBuffer: position {position:,} is outside; is the file whole?", self._offset)
        value: int = struct.unpack_from(self._data, position)[0]
        return value

    def _field(self, index: int) -> int | None:
        entry = 4 + 2 * index
        distance = self._at(_UINT16, self._vtable + entry) if entry + 2 <= self._vtable_bytes else 0
        return self._table + distance if distance else None

    def number(self, index: int, struct: Struct, default: int) -> int:
        """A field that is a number."""
        position = self._field(index)
        return default if position is None else self._at(struct, position)

    def vector(self, index: int) -> tuple[int, int]:
        """Where the first element of a string or vector stands, and how many there are; they may lie beyond `data`."""
        position = self._field(index)
        if position is None:
            return len(self._data), 0
        start = position + self._at(UINT32, position)
        return start + 4, self._at(UINT32, start)

    def string(self, index: int) -> bytes:
        """A field that is a string."""
        start, length = self.vector(index)
        if start + length > len(self._data):
            raise EventFileError(self._path, f"broken FlatBuffer: a string of {length:,} bytes reaches beyond it", self._offset)
        return self._data[start : start + length]


class Frame:
    """What a compressed frame holds, from front to back; in memory is what is asked for.

    Args:
        path: The file, for messages.
        data: The frame.
        method: Number of its compression, an index into `METHODS`.
        offset: Byte offset for messages.

    Raises:
        EventFileError: Now or later: it cannot be decompressed, or holds less than is taken.
    """

    def __init__(self, path: Path, data: bytes, method: int, offset: int) -> None:
        self._path, self._offset = path, offset
        self._ahead = b""
        self._stream: Any = io.BytesIO(data)
        if METHODS[method] == "LZ4":
            self._stream = _Lz4Stream(data)
        elif METHODS[method] == "Zstandard":
            self._stream = zstandard.ZstdDecompressor().stream_reader(data)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError, RuntimeError, ValueError, zstandard.ZstdError) as error:
            raise EventFileError(self._path, f"the packet cannot be decompressed: {error}; is the file whole?", self._offset) from error

    def peek(self, size: int) -> bytes:
        """The next bytes, without taking them; fewer than `size` only at the end."""
        with self._errors():
            while len(self._ahead) < size and (more := self._stream.read(size - len(self._ahead))):
                self._ahead += more
        return self._ahead[:size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.peek(size)
        if len(self._ahead) < size:
            missing = size - len(self._ahead)
            raise EventFileError(self._path, f"the packet ends {missing:,} bytes early; is the file whole?", self._offset)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def skip(self, size: int) -> None:
        """Take bytes and forget them."""
        for start in range(0, size, _PIECE):
            self.take(min(_PIECE, size - start))

    def finish(self) -> None:
        """Make sure that nothing is left. Where the frame has a checksum, it is compared."""
        if self.peek(1):
            raise EventFileError(self._path, "the packet is longer than it says; is the file whole?", self._offset)


class _Lz4Stream:
    """An LZ4 frame, as large pieces as are asked for; the library's own file object reads 8 kB at a time."""

    def __init__(self, data: bytes) -> None:
        self._decompressor: Any = lz4.frame.LZ4FrameDecompressor()
        self._data = data

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none only at the end of the frame.

        Raises:
            EOFError: The frame is cut off, or something follows it.
        """
        while not self._decompressor.eof:
            data, self._data = self._data, b""
            piece: bytes = self._decompressor.decompress(data, size)
            if piece:
                return piece
            if self._decompressor.needs_input and not self._decompressor.eof:
                raise EOFError("the frame is cut off")
        if self._decompressor.unused_data:
            raise EOFError("something follows the frame")
        return b""
