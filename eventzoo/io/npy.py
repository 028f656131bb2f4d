"""NumPy `.npy` arrays, in which datasets keep boxes and events. No format of recordings: the columns differ from dataset to dataset.

| bytes | what |
|---|---|
| 0–5 | 0x93 `NUMPY` |
| 6–7 | version: 1, 2 or 3, then 0 |
| 8–9, or 8–11 from version 2 on | length of the header, little-endian |
| the header | the text of a Python dict with `descr`, `fortran_order` and `shape` |
| the rest | the values |

`descr` is a type such as `'<f4'`, or for records a list such as `[('x', '<f4'), ('', '|V3')]`, where a nameless field is a gap.

The header is read with patterns, never evaluated, and arrays of Python objects are refused, so that nothing in the file can execute.

Source: `numpy.lib.format` in the NumPy documentation.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError

_TYPE = r"""['"]([<>|=]?(?:b1|[iu][1248]|f[248]|V[1-9][0-9]{0,3}))['"]"""
_DESCR = re.compile(rf"""['"]descr['"]\s*:\s*{_TYPE}\s*,""")
_RECORD_DESCR = re.compile(r"""['"]descr['"]\s*:\s*\[([^\[\]]*)\]""")
_FIELD = re.compile(rf"""\(\s*['"](\w*)['"]\s*,\s*{_TYPE}\s*\)\s*(?:,\s*|$)""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([^()]*)\)""")
_SHAPE_INSIDE = re.compile(r"(?:\s*\d{1,18}L?\s*(?:,|$))*\s*")  # Python 2 wrote (5L,)
_MOST_DIMENSIONS = 8
_LONGEST_HEADER = 10_000  # bytes; eight fields take about 300


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a `.npy` file, read-only: plain numbers, or records of them.

    Raises:
        EventFileError: The file is missing, truncated or no `.npy` array, or holds anything but numbers.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            raise EventFileError(path, "there is no such file")
        data = path.read_bytes()
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error
    start, header = _header(path, data)
    dtype, shape, order = _dtype(path, header), _shape(path, header), _ORDER.search(header)
    if not order:
        raise EventFileError(path, "the header has no fortran_order: damaged, or no .npy file", 8)
    if len(shape) > _MOST_DIMENSIONS or max(shape, default=0) > len(data):
        raise EventFileError(path, f"the header's shape {shape} does not fit a file of {len(data):,} bytes: damaged", 8)
    promised, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != found:
        raise EventFileError(path, f"the header promises {promised:,} bytes of values, the file holds {found:,}; copy it again", start)
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if order[1] == "True" else "C")


def _header(path: Path, data: bytes) -> tuple[int, str]:
    """Where the values begin, and the header's text."""
    if data[:6] != b"\x93NUMPY" or data[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise EventFileError(path, "does not begin as a .npy array does: another format, or damaged", 0)
    start = 10 if data[6] == 1 else 12
    stop = start + int.from_bytes(data[8:start], "little")
    if stop > min(len(data), _LONGEST_HEADER):
        raise EventFileError(path, f"the header ends at byte {stop:,}, the file has {len(data):,}: truncated or damaged", 8)
    return stop, data[start:stop].decode("latin-1")


def _dtype(path: Path, header: str) -> np.dtype[Any]:
    plain, records = _DESCR.search(header), _RECORD_DESCR.search(header)
    if plain:
        return np.dtype(plain[1])
    inside = records[1].strip() if records else ""
    fields = _FIELD.findall(inside)
    names = [name for name, _ in fields if name]
    if not names or _FIELD.sub("", inside).strip() or len(set(names)) < len(names):
        raise EventFileError(path, "the header's descr is neither a number's type nor fields of numbers: Python objects, or damaged", 8)
    offsets = [0, *np.cumsum([np.dtype(kind).itemsize for _, kind in fields]).tolist()]
    named = [(name, kind, offset) for (name, kind), offset in zip(fields, offsets, strict=False) if name]
    names, kinds, starts = (list(column) for column in zip(*named, strict=True))
    return np.dtype({"names": names, "formats": kinds, "offsets": starts, "itemsize": offsets[-1]})


def _shape(path: Path, header: str) -> tuple[int, ...]:
    shape = _SHAPE.search(header)
    if not shape or not _SHAPE_INSIDE.fullmatch(shape[1]):
        raise EventFileError(path, "the header has no shape of whole numbers: damaged, or no .npy file", 8)
    return tuple(int(side) for side in re.findall(r"\d+", shape[1]))
