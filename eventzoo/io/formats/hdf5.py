"""HDF5 `.h5` and `.hdf5`, as DSEC and Prophesee lay events out in it. Needs the extra `hdf5`.

DSEC:

| dataset | dtype as written | also read |
|---|---|---|
| `events/x`, `events/y` | uint16 `[N]` | whole numbers of any type |
| `events/t` | uint32 `[N]`, microseconds after `t_offset` | whole numbers of any type |
| `events/p` | uint8 `[N]`, 1 = ON | 0/1 or -1/+1 of any type |
| `t_offset` | int64, microseconds | absent (0), or of any integer type |
| `ms_to_idx` | uint64 `[M]`: the first event at or after each millisecond, from `t_offset` to the last event | not used |

Prophesee:

| dataset | dtype |
|---|---|
| `CD/events` | records with the fields `x`, `y` (uint16), `p` (int16, 1 = ON) and `t` (int64, microseconds), `[N]` |

The root's attribute `geometry`, a text such as `640x480`, gives the sensor size in both; DSEC itself has none (its sensor is 640×480).

Written is DSEC's layout with `geometry`, compressed with Blosc and Zstandard as DSEC is, and with checksums. Prophesee compresses with a
codec of its own, ECF, which no package on PyPI has: its files are read if its plugin for HDF5 is installed.

Only what lies in the file itself is read: links to other files, virtual datasets and external storage are refused.

Source: "Data Format" on DSEC's site; "HDF5 Event File Format" in the Metavision SDK documentation.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io.arrays import ArraysRecording, common_length
from eventzoo.io.formats.hdf5_storage import Column, own_dataset, text_attribute
from eventzoo.io.recording import Columns, FileFormat, refuse

_GEOMETRY = re.compile(r"(\d{1,5})\s*x\s*(\d{1,5})", re.ASCII)
_LARGEST_SIDE = 1 << 15
_CHUNK_EVENTS = 1 << 16
_INT64 = np.iinfo(np.int64)
_MILLISECOND = 1000  # microseconds
_LONGEST_US = 1 << 32  # that uint32 holds, 71.6 minutes
# what h5py raises on broken files
_BROKEN = (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError, AttributeError, IndexError, NotImplementedError)


@contextmanager
def _library(path: Path) -> Iterator[Any]:
    """The module h5py; what it raises becomes an `EventFileError`."""
    try:
        import h5py
        import hdf5plugin  # noqa: F401  # registers Blosc and others
    except ImportError as error:
        raise EventFileError(path, "HDF5 needs h5py and hdf5plugin: pip install eventzoo[hdf5]") from error
    try:
        yield h5py
    except _BROKEN as error:
        raise EventFileError(path, f"broken, truncated or no HDF5 file: {error}") from error


class _Hdf5Recording(ArraysRecording):
    def __init__(self, path: Path, file: BufferedReader) -> None:  # noqa: ARG002  # the library opens files itself
        with _library(path) as h5py:
            self._file = h5py.File(path, "r", locking=False)
            members = list(self._file)
            if "CD" in members:
                names = ["CD/events"]
            elif "events" in members:
                names = [f"events/{name}" for name in "xytp"]
            else:
                found = ", ".join(members[:10])
                raise EventFileError(path, f"has neither events (DSEC) nor CD/events (Prophesee); it holds {found or 'nothing'}")
            self._columns = [Column(h5py, path, self._file, name) for name in names]
            self._offset = _time_offset(h5py, path, self._file)
        _check_types(path, self._columns)
        super().__init__(path, common_length(path, {column.name: len(column) for column in self._columns}))
        self._next = 0

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """By the root's attribute `geometry`, None without one.

        Raises:
            EventFileError: It is no size.
        """
        with _library(self._path) as h5py:
            text = text_attribute(h5py, self._path, "geometry")
        if text is None:
            return None
        geometry = _GEOMETRY.fullmatch(text)
        size = (int(geometry[1]), int(geometry[2])) if geometry else (0, 0)
        if not (min(size) > 0 and max(size) <= _LARGEST_SIDE):
            raise EventFileError(self._path, f"geometry is {text[:40]!r}, not <width>x<height>; pass sensor_size=(width, height)")
        return size

    def decode(self, into: Columns) -> int:
        found = super().decode(into)
        if found and self._offset:
            first, last = int(into.t[:found].min()) + self._offset, int(into.t[:found].max()) + self._offset
            if first < _INT64.min or last > _INT64.max:
                raise EventFileError(self._path, f"t with its t_offset of {self._offset} µs does not fit into 64 bits")
            into.t[:found] += self._offset
        return found

    def seek(self, time: int) -> None:
        """Go to the first event at or after `time` by a binary search, unless time starts again in the file."""

        def at(index: int) -> int:
            times = self._arrays(slice(index, index + 1))["xytp".index("t")]
            return int(times[0]) + self._offset

        with _library(self._path):  # a time may be no whole number
            ordered = self._left > 0 and at(0) <= at(self._left - 1)
            self._next = bisect_left(range(self._left), time, key=at) if ordered else 0
        self._left -= self._next

    def _take(self, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        self._next += count
        x, y, t, p = self._arrays(slice(self._next - count, self._next))
        return x, y, t, p

    def _arrays(self, part: slice) -> list[NDArray[Any]]:
        """The arrays x, y, t and p of some events."""
        with _library(self._path):
            arrays = [column[part] for column in self._columns]
        if len(arrays) == 1:
            arrays = [arrays[0][name] for name in "xytp"]
        return [array.view(np.uint8) if array.dtype == np.bool_ else array for array in arrays]  # a broken bool may be 7


def _check_types(path: Path, columns: list[Column]) -> None:
    types = {column.name: column.dtype for column in columns}
    if len(columns) == 1:
        fields: Mapping[str, Any] = columns[0].dtype.fields or {}
        missing = [name for name in "xytp" if name not in fields]
        if missing:
            raise EventFileError(path, f"{columns[0].name} has no field {', '.join(missing)}; its type is {columns[0].dtype}")
        types = {f"{columns[0].name}, {name}": fields[name][0] for name in "xytp"}
    for name, dtype in types.items():
        if dtype.kind not in "biuf":
            raise EventFileError(path, f"{name} is of type {dtype}; a column of events is numbers")


def _time_offset(h5py: Any, path: Path, file: Any) -> int:
    dataset = own_dataset(h5py, path, file, "t_offset")
    if dataset is None:
        return 0
    if dataset.shape != () or dataset.dtype.kind not in "iu":
        raise EventFileError(path, "t_offset is not one whole number")
    return int(dataset[()])


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write DSEC's layout with the sensor size."""
    offset = int(events.t[0]) if len(events) else 0
    late = events.t > offset + _LONGEST_US - 1 if offset < _INT64.max - _LONGEST_US else np.zeros(len(events), np.bool_)
    refuse(path, events, late, "DSEC's layout holds 2**32 µs (71.6 minutes) after the first event; use .npz, or cut the recording")
    t = (events.t - offset).astype(np.uint32)
    milliseconds = np.arange(0, int(t[-1]) + 1 if len(t) else 0, _MILLISECOND)
    width, height = events.sensor_size
    columns = {"x": events.x.astype(np.uint16), "y": events.y.astype(np.uint16), "t": t, "p": events.p.astype(np.uint8)}
    with _library(path) as h5py:
        import hdf5plugin

        chunk = min(len(t), _CHUNK_EVENTS)
        storage = {"chunks": (chunk,), "fletcher32": True, **hdf5plugin.Blosc("zstd", shuffle=hdf5plugin.Blosc.SHUFFLE)} if chunk else {}
        with h5py.File("in memory", "w", driver="core", backing_store=False, libver=("v110", "v110")) as whole:
            whole.attrs["geometry"] = np.bytes_(f"{width}x{height}")
            for name, values in columns.items():
                whole.create_dataset(f"events/{name}", data=values, **storage)
            whole["ms_to_idx"] = t.searchsorted(milliseconds).astype(np.uint64)
            whole["t_offset"] = np.int64(offset)
            whole.flush()
            file.write(whole.id.get_file_image())


FORMAT = FileFormat(open=_Hdf5Recording, write=_write)
