"""Prophesee EVT 2.0 and EVT 2.1 `.raw`, of the Gen3 and Gen4 sensors and of GenX320.

Header: see `prophesee_raw`. EVT 2.0 is words of 32 bits, little-endian; its type says what a word is:

| type, bits 31–28 | what | bits 27–22 | 21–11 | 10–0 |
|---|---|---|---|---|
| 0x0 | OFF event | time, µs, bits 5–0 | x | y |
| 0x1 | ON event | time, µs, bits 5–0 | x | y |
| 0x8 | time, bits 33–6, in bits 27–0 | | | |
| 0xA | external trigger: skipped | | | |
| 0xE, 0xF | monitoring and its continuation: skipped | | | |

EVT 2.1 is words of 64 bits. The upper half is laid out as a word of EVT 2.0; in an event's word the lower half tells at
which of the 32 pixels from x on there is an event, bit k for x + k. Words are little-endian, but in files of Gen4.1 and
IMX636 the upper half comes first: `endianness=legacy` in the line `format`, or, where the line does not tell, a
first word that is a time in that order and nothing in the other one.

Other types are reserved, and an error. Events before the first time are dropped: the format says that decoding starts
there. A time that falls by 2**33 µs or more is the counter's restart after 2**34 µs (4 h 46 min).

Source: "EVT 2.0 Format" and "EVT 2.1 Format" in the Metavision SDK documentation; for the order of halves, OpenEB.
"""

from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.formats.prophesee_raw import WordRecording, header_to_write, read_header, recognises, refuse_what_does_not_fit
from eventzoo.io.recording import FileFormat

_OFF, _ON, _TIME, _TRIGGER, _OTHERS, _CONTINUED = 0x0, 0x1, 0x8, 0xA, 0xE, 0xF
_HALF_PERIOD = 1 << 33
_VECTOR = np.dtype([("pixels", "<u4"), ("word", "<u4")])
_LEGACY_VECTOR = np.dtype([("word", "<u4"), ("pixels", "<u4")])


def _open_evt2(path: Path, file: BufferedReader) -> WordRecording:
    return WordRecording(path, file, read_header(path, file, "2.0"), "<u4", _decode, (-1,))


def _open_evt21(path: Path, file: BufferedReader) -> WordRecording:
    header = read_header(path, file, "2.1")
    first = int.from_bytes(file.peek(8)[:8], "little")
    legacy = header.options.get("endianness") == "legacy" if "endianness" in header.options else first >> 28 == _TIME
    return WordRecording(path, file, header, _LEGACY_VECTOR if legacy else _VECTOR, _decode_vectors, (-1, 0, 0, 0), _count_pixels)


@numba.njit(cache=True, nogil=True)
def _next_time(time: int, word: Any) -> Any:
    """The time that a time word tells, bits 5–0 being 0, after `time`; -1 before the first one."""
    new = (max(time, 0) >> 34 << 34) + (np.int64(word & 0x0FFFFFFF) << 6)
    return new + 2 * _HALF_PERIOD if time - new >= _HALF_PERIOD else new


@numba.njit(cache=True, nogil=True)
def _decode(words: NDArray[np.uint32], at: Any, state: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
    """Decode words of EVT 2.0; the state is the time so far."""
    time = state[0]
    at, found, one = np.uint64(at), np.uint64(0), np.uint64(1)  # unsigned, or each access would ask whether it counts from the end
    while at < np.uint64(len(words)) and found < np.uint64(len(t)):
        word = words[at]
        kind = word >> 28
        if kind <= _ON:
            if time >= 0:
                x[found] = (word >> 11) & 0x7FF
                y[found] = word & 0x7FF
                t[found] = time | ((word >> 22) & 63)
                p[found] = kind
                found += one
        elif kind == _TIME:
            time = _next_time(time, word)
        elif kind not in (_TRIGGER, _OTHERS, _CONTINUED):
            break
        at += one
    return np.int64(found), np.int64(at), (time,)


@numba.njit(cache=True, nogil=True)
def _decode_vectors(words: NDArray[Any], at: int, state: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
    """Decode words of EVT 2.1; the state is the time so far, the latest event's word, its pixels that are left and the first one's x."""
    time, word, pixels, column = state
    found = 0
    while True:
        while pixels and found < len(t):
            if pixels & 1:
                x[found] = column
                y[found] = word & 0x7FF
                t[found] = time | ((word >> 22) & 63)
                p[found] = word >> 28
                found += 1
            pixels >>= 1
            column += 1
        if at == len(words) or found == len(t):
            break
        latest = np.int64(words[at].word)
        kind = latest >> 28
        if kind <= _ON:
            if time >= 0:
                word, column, pixels = latest, (latest >> 11) & 0x7FF, np.int64(words[at].pixels)
        elif kind == _TIME:
            time = _next_time(time, latest)
        elif kind not in (_TRIGGER, _OTHERS, _CONTINUED):
            break
        at += 1
    return found, at, (time, word, pixels, column)


def _count_pixels(words: NDArray[Any]) -> int:
    return int(np.bitwise_count(words["pixels"])[words["word"] >> 28 <= _ON].sum())


def _write(version: str, path: Path, file: BinaryIO, events: Events) -> None:
    """Write one word an event, and a time word whenever bits 33–6 change."""
    refuse_what_does_not_fit(path, events, version)
    vectors = version == "2.1"
    file.write(header_to_write(version, events.sensor_size, ";endianness=little" if vectors else ""))
    last = -1
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        column = part.x & ~31 if vectors else part.x
        high = part.t >> 6
        changes = np.diff(high, prepend=last) != 0
        at = np.arange(len(part)) + changes.cumsum()
        words = np.zeros(len(part) + int(changes.sum()), _VECTOR)
        words["word"][at] = part.y | column.astype(np.int64) << 11 | (part.t & 63) << 22 | part.p.astype(np.int64) << 28
        words["word"][at[changes] - 1] = high[changes] | _TIME << 28
        words["pixels"][at] = 1 << (part.x & 31).astype(np.int64)
        file.write((words if vectors else words["word"]).tobytes())
        last = int(high[-1])


EVT2 = FileFormat(open=_open_evt2, write=partial(_write, "2.0"), recognises=recognises("2.0"))
EVT21 = FileFormat(open=_open_evt21, write=partial(_write, "2.1"), recognises=recognises("2.1"))
