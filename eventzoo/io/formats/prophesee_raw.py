"""What the Prophesee `.raw` encodings share: the header, and decoding word by word.

A file begins with lines `% key value`; `% end`, or else the first line that does not begin with `% `, ends them:

| line | what |
|---|---|
| `% evt 3.0` | the encoding: 2.0, 2.1 or 3.0 |
| `% format EVT3;height=720;width=1280` | in newer files: the encoding with its options; wins over `evt` |
| `% geometry 1280x720` | in newer files: the sensor size |
| `% end` | in newer files: the words follow |

Source: "RAW File Format" in the Metavision SDK documentation, and files of several cameras.
"""

import re
from collections.abc import Callable
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.recording import Columns, Records, refuse

_LONGEST_LINE = 4096  # bytes: a file that is no .raw may hold '% ' and never a line's end
_LONGEST_HEADER = 1 << 16
_GEOMETRY = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")
_LARGEST_SIDE = 1 << 15


class Header(NamedTuple):
    """A header's lines.

    Attributes:
        fields: Text of each key, without the `%`.
        offsets: Byte offset of each key's line.
    """

    fields: dict[str, str]
    offsets: dict[str, int]

    @property
    def version(self) -> str | None:
        """Such as `3.0`; None if no line tells."""
        name = self.fields.get("format", "").split(";")[0].strip().upper().removeprefix("EVT")
        version = name or self.fields.get("evt", "")
        digits = version.replace(".", "")
        return f"{digits[0]}.{digits[1:] or 0}" if digits.isdecimal() else version or None

    @property
    def options(self) -> dict[str, str]:
        """Those of the line `format`, such as `height`."""
        pairs = (option.partition("=") for option in self.fields.get("format", "").split(";")[1:])
        return {key.strip(): value.strip() for key, _, value in pairs}


def recognises(version: str) -> Callable[[bytes], bool]:
    """Whether the first bytes of a file are a header of this version of EVT."""
    return partial(_is_of_version, version)


def _is_of_version(version: str, head: bytes) -> bool:
    fields = {}
    for line in head.splitlines():
        if not line.startswith(b"% ") or line.strip() == b"% end":
            break
        key, _, value = line[2:].decode("latin-1").partition(" ")
        fields[key] = value.strip()
    return Header(fields, {}).version == version


def read_header(path: Path, file: BufferedReader, version: str) -> Header:
    """Read the header, which may be absent, and check that it is of this version.

    Raises:
        EventFileError: A line does not end, the header does not, or it tells another version.
    """
    fields: dict[str, str] = {}
    offsets: dict[str, int] = {}
    offset = 0
    while file.peek(2)[:2] == b"% ":
        line = file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise EventFileError(path, "the header's line that begins here does not end: truncated, or no .raw file", offset)
        key, _, value = line[2:].decode("latin-1").strip().partition(" ")
        if key == "end":
            break
        fields[key], offsets[key] = value.strip(), offset
        offset += len(line)
        if offset > _LONGEST_HEADER:
            raise EventFileError(path, f"the header is longer than {_LONGEST_HEADER:,} bytes: no .raw file", offset)
    header = Header(fields, offsets)
    if header.version not in (None, version):
        at = offsets["format" if "format" in fields else "evt"]
        raise EventFileError(path, f"the header says EVT {header.version}, not {version}; leave out encoding, or pass the right one", at)
    return header


def header_to_write(version: str, sensor_size: tuple[int, int], options: str = "") -> bytes:
    """The lines of a new file."""
    width, height = sensor_size
    name = "EVT" + version.replace(".", "").removesuffix("0")
    return f"% evt {version}\n% format {name};height={height};width={width}{options}\n% geometry {width}x{height}\n% end\n".encode()


Kernel = Callable[..., tuple[int, int, tuple[int, ...]]]
"""`kernel(words, at, state, x, y, t, p)` decodes `words[at:]` into columns until they are full, or it comes to a word of a reserved type.

Gives the number of events, the index of the word to go on with and the state to go on with. An event that is given out
belongs to a word before that index; what did not fit in of a word of several events is part of the state.
"""


class WordRecording:
    """A recording of words of one size, of which each may be none, one or several events, decoded by a kernel.

    Args:
        path: The file.
        file: The file, behind its header.
        header: What was read of it.
        dtype: Of a word.
        kernel: What decodes words.
        state: What the kernel knows before the first word.
        count: At most how many events there are in an array of words; without it, each word is at most one event.
    """

    def __init__(
        self,
        path: Path,
        file: BufferedReader,
        header: Header,
        dtype: DTypeLike,
        kernel: Kernel,
        state: tuple[int, ...],
        count: Callable[[NDArray[Any]], int] | None = None,
    ) -> None:
        self._path, self._file, self._header, self._kernel, self._count = path, file, header, kernel, count
        self._words = np.empty(0, dtype)
        self._first = file.tell()
        self._records = Records(path, file, self._words.itemsize)
        self._at, self._state = 0, state
        self._begin = self._at, self._state  # of the latest block

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """By the header, None where it does not tell.

        Raises:
            EventFileError: What it tells is no number of pixels.
        """
        options = self._header.options
        key, text = "geometry", self._header.fields.get("geometry")
        if text is None and "width" in options and "height" in options:
            key, text = "format", f"{options['width']}x{options['height']}"
        if text is None:
            return None
        sides = _GEOMETRY.fullmatch(text)
        if sides is None or not all(0 < int(side) <= _LARGEST_SIDE for side in sides.groups()):
            reason = f"the header's sensor size is {text!r}, not 1 to {_LARGEST_SIDE:,} pixels a side; pass sensor_size=(width, height)"
            raise EventFileError(self._path, reason, self._header.offsets[key])
        return int(sides[1]), int(sides[2])

    @cached_property
    def max_events(self) -> int:
        """Where words hold several events, these are counted, in a pass over the file; to be asked for before decoding."""
        if self._count is None:
            return self._records.count
        records, total = Records(self._path, self._file, self._words.itemsize), 0
        while len(words := records.take(blocks.BLOCK_EVENTS)):
            total += self._count(words.view(self._words.dtype))
        self._file.seek(self._first)
        return total + 1  # so that there is room, and the words behind the last event are looked at as well

    def decode(self, into: Columns) -> int:
        """See `Recording`."""
        while True:
            self._begin = self._at, self._state
            found, self._at, self._state = self._kernel(self._words, *self._begin, *into)
            if found:
                return found
            if self._at < len(self._words):
                reason = "the word is of a reserved type: the file is damaged, or of another encoding"
                raise EventFileError(self._path, reason, self._byte(self._at))
            self._words, self._at = self._records.take(blocks.BLOCK_EVENTS).view(self._words.dtype), 0
            if not len(self._words):
                return 0

    def offset(self, index: int) -> int:
        """By decoding the block again, up to this event."""
        _, at, state = self._kernel(self._words, *self._begin, *Columns.allocate(index))
        _, after, _ = self._kernel(self._words, at, state, *Columns.allocate(1))
        return self._byte(after - 1)

    def _byte(self, word: int) -> int:
        return self._records.block_start + word * self._words.itemsize


def refuse_what_does_not_fit(path: Path, events: Events, version: str) -> None:
    """Refuse events that no EVT word can hold.

    Raises:
        EventFileError: A pixel is not within 2048×2048, or a time not within 2**34 µs (4 h 46 min).
    """
    refuse(path, events, (events.x > 2047) | (events.y > 2047), f"EVT {version} holds pixels from 0 to 2,047; use .dat or .npz")
    why = f"EVT {version} holds times from 0 to 17,179,869,183 µs; use .npz, or subtract the first time"
    refuse(path, events, (events.t < 0) | (events.t >= 1 << 34), why)
