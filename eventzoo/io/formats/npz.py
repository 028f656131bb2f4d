"""NumPy `.npz`: a zip archive with one `.npy` array per column.

| member | dtype as written | also read |
|---|---|---|
| `x.npy`, `y.npy` | int16 `[N]` | whole numbers of any type |
| `t.npy` | int64 `[N]`, microseconds | whole numbers of any type |
| `p.npy` | bool `[N]`, True = ON | 0/1 or -1/+1 of any type |
| `sensor_size.npy` | int64 `[2]`, (width, height) | absent, or of any type |

SpikingJelly's datasets (`events_np`) are such files, with the types of their sources: int64 for DVS128 Gesture, floats for ASL-DVS.

A `.npy` member is the bytes 0x93 `NUMPY`, two bytes of version, the length of the header (two bytes, from version 2 on
four), the header, which is the text of a Python dict with `descr`, `fortran_order` and `shape`, and the values.

The header is read with two patterns, never evaluated, and arrays of Python objects are refused, so that nothing in the
file can execute. Members are stored or deflated.

Source: `numpy.lib.format` in the NumPy documentation; "APPNOTE.TXT", the ZIP specification, for the archive;
`spikingjelly.datasets.asl_dvs` for the names of the arrays.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.arrays import ArraysRecording, common_length
from eventzoo.io.recording import FileFormat

_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([^()]*)\)""")
_NUMBER = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_LENGTH = re.compile(r"\s*(\d{1,18})L?\s*,?\s*")  # Python 2 wrote (5L,)
_LONGEST_HEADER = 10_000  # bytes; a plain column's has about 120
_DEFLATE_RATIO = 1032  # the most that a deflated byte can expand to (zlib's documentation)
# what zipfile and zlib raise on broken archives
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError)


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise EventFileError(path, f"broken zip archive, truncated or no .npz file: {error or type(error).__name__}") from error


class _Member:
    """One array of the archive, read from front to back.

    Raises:
        EventFileError: It is absent, no one-dimensional array of numbers, or not as long as its header says.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, name: str) -> None:
        self._path, self.name = path, name
        with _archive_errors(path):
            info = archive.getinfo(f"{name}.npy")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise EventFileError(path, f"{name}.npy is compressed by method {info.compress_type}; only deflate is known")
            self._stream = archive.open(info)
        header_bytes, header = self._read_header()
        self.dtype, self.length = self._parsed(header)
        found = info.file_size - header_bytes
        most = info.compress_size * (_DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1)
        if self.length * self.dtype.itemsize != found or info.file_size > most:
            reason = (
                f"{name}.npy promises {self.length:,} values of {self.dtype.itemsize} bytes, but holds at most {min(found, most):,} bytes"
            )
            raise EventFileError(path, reason)

    def _read(self, size: int) -> bytes:
        with _archive_errors(self._path):
            data = self._stream.read(size)
        if len(data) != size:
            raise EventFileError(self._path, f"{self.name}.npy is truncated: {size - len(data):,} bytes are missing")
        return data

    def _read_header(self) -> tuple[int, str]:
        """The number of bytes before the values, and the header's text."""
        start = self._read(8)
        if start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
            raise EventFileError(self._path, f"{self.name}.npy is no .npy array")
        prefix = 10 if start[6] == 1 else 12
        length = int.from_bytes(self._read(prefix - 8), "little")
        if length > _LONGEST_HEADER:
            raise EventFileError(self._path, f"{self.name}.npy has a header of {length:,} bytes; a column's has about 120")
        return prefix + length, self._read(length).decode("latin-1")

    def _parsed(self, header: str) -> tuple[np.dtype[Any], int]:
        descr, shape = _DESCR.search(header), _SHAPE.search(header)
        if not descr or not _NUMBER.fullmatch(descr[1]):
            found = f"of dtype {descr[1]}" if descr else "structured, of Python objects, or unreadable"
            raise EventFileError(self._path, f"{self.name}.npy is {found}; a column of events is numbers")
        length = _LENGTH.fullmatch(shape[1]) if shape else None
        if not length:
            found = f"of shape ({shape[1]})" if shape else "without a shape"
            raise EventFileError(self._path, f"{self.name}.npy is {found}; a column of events has one dimension")
        return np.dtype(descr[1].replace("b", "u")), int(length[1])  # bool as bytes: a broken one may hold a 7

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` values, read-only, in the file's dtype (bool as uint8)."""
        return np.frombuffer(self._read(count * self.dtype.itemsize), self.dtype)


class _NpzRecording(ArraysRecording):
    def __init__(self, path: Path, file: BufferedReader) -> None:
        with _archive_errors(path):
            self._archive = zipfile.ZipFile(file)
            names = self._archive.namelist()
            # no checksum covers names and comments: a broken name, or a comment that swallows the next one, makes an array seem absent
            for info in self._archive.infolist():
                self._archive.open(info).close()  # compares the name's two copies
                if info.comment:
                    raise EventFileError(path, f"broken zip archive: {info.filename} has a comment, which .npz files have not")
        missing = [name for name in "xytp" if f"{name}.npy" not in names]
        if missing:
            raise EventFileError(path, f"no array {', '.join(missing)}: events need x, y, t and p; the archive holds {names[:10]}")
        size = os.fstat(file.fileno()).st_size
        if sum(self._archive.getinfo(f"{name}.npy").compress_size for name in "xytp") > size:
            raise EventFileError(path, f"its arrays are said to take more than the file's {size:,} bytes: truncated or broken")
        self._members = [_Member(path, self._archive, name) for name in "xytp"]
        super().__init__(path, common_length(path, {member.name: member.length for member in self._members}))

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """By the array `sensor_size`, None without one.

        Raises:
            EventFileError: It is not two numbers of pixels.
        """
        if "sensor_size.npy" not in self._archive.namelist():
            return None
        member = _Member(self._path, self._archive, "sensor_size")
        size = member.take(2).tolist() if member.length == 2 else []
        if not (size and all(side in range(1, (1 << 15) + 1) for side in size)):
            raise EventFileError(
                self._path, f"sensor_size.npy holds {size or 'no pair'}, not (width, height); pass sensor_size=(width, height)"
            )
        return int(size[0]), int(size[1])

    def _take(self, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        x, y, t, p = (member.take(count) for member in self._members)
        return x, y, t, p


def _write(path: Path, file: BinaryIO, events: Events) -> None:  # noqa: ARG001  # the format holds any events
    size = np.array(events.sensor_size, np.int64)
    np.savez_compressed(file, x=events.x, y=events.y, t=events.t, p=events.p, sensor_size=size)


FORMAT = FileFormat(open=_NpzRecording, write=_write)
