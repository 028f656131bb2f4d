"""Prophesee EVT 3.0 `.raw`, of the Gen4 sensors, IMX636 and GenX320.

Header: see `prophesee_raw`. Words of 16 bits, little-endian, that tell only what has changed; bits 15–12 are the type:

| type | what | bits 11–0 |
|---|---|---|
| 0x0 | row | y in 10–0; bit 11 marks a second camera, and is not kept |
| 0x2 | event | x in 10–0, polarity in 11, 1 = ON |
| 0x3 | where vectors begin | x in 10–0, polarity in 11, 1 = ON |
| 0x4 | vector of 12 pixels | bit k: event at x + k; afterwards x grows by 12 |
| 0x5 | vector of 8 pixels | bit k of 7–0: event at x + k; afterwards x grows by 8 |
| 0x6 | time, bits 11–0 | µs |
| 0x8 | time, bits 23–12 | 4,096 µs |
| 0xA | external trigger | skipped |
| 0x7, 0xE, 0xF | monitoring and its continuations | skipped |

Other types are reserved, and an error. An event's time is made of the latest two time words. Bits 23–12 that fall by
half their range or more have started again, after 2**24 µs (16.8 s).

A recording may begin anywhere in the camera's stream: events before the first row and the first bits 23–12 of time are
dropped, as the camera maker's own decoder does, because what they tell is not known; time bits 11–0 are 0 until they are told.

Source: "EVT 3.0 Format" in the Metavision SDK documentation; for how a recording begins and time restarts, OpenEB.
"""

from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events
from eventzoo.io import recording as blocks
from eventzoo.io.formats.prophesee_raw import WordRecording, header_to_write, read_header, recognises, refuse_what_does_not_fit
from eventzoo.io.recording import FileFormat

_ROW, _EVENT, _BASE, _VECTOR_12, _VECTOR_8, _TIME_LOW, _CONTINUED_4, _TIME_HIGH = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8
_TRIGGER, _OTHERS, _CONTINUED_12 = 0xA, 0xE, 0xF


class _State(NamedTuple):
    """What the words so far have told.

    Attributes:
        high: Bits 12 and up of the time, restarts included; -1 before the first.
        low: Bits 11–0 of the time.
        row: y; -1 before the first.
        base: x where the next vector begins.
        base_polarity: Of vectors.
        pixels: Bits of the latest vector that are left.
        column: x of the first of them.
        polarity: Theirs.
    """

    high: int = -1
    low: int = 0
    row: int = -1
    base: int = 0
    base_polarity: int = 0
    pixels: int = 0
    column: int = 0
    polarity: int = 0


def _open(path: Path, file: BufferedReader) -> WordRecording:
    return WordRecording(path, file, read_header(path, file, "3.0"), "<u2", _decode, _State(), _count)


def _count(words: NDArray[np.uint16]) -> int:
    kinds = words >> 12
    pixels = (words[kinds == _VECTOR_12] & 0xFFF, words[kinds == _VECTOR_8] & 0xFF)
    return int(np.count_nonzero(kinds == _EVENT)) + sum(int(np.bitwise_count(bits).sum()) for bits in pixels)


@numba.njit(cache=True, nogil=True)
def _decode(words: NDArray[np.uint16], at: Any, state: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
    """Decode words; the state is a `_State`."""
    high, low, row, base, base_polarity, pixels, column, polarity = state
    known = row >= 0 and high >= 0
    at, found, one = np.uint64(at), np.uint64(0), np.uint64(1)  # unsigned: see evt2
    while True:
        while pixels and found < np.uint64(len(t)):
            if pixels & 1:
                x[found], y[found], t[found], p[found] = column, row, high << 12 | low, polarity
                found += one
            pixels >>= 1
            column += 1
        if at == np.uint64(len(words)) or found == np.uint64(len(t)):
            break
        kind, value = words[at] >> 12, np.int64(words[at] & 0xFFF)
        if kind == _EVENT:
            if known:
                x[found], y[found], t[found], p[found] = value & 0x7FF, row, high << 12 | low, value >> 11
                found += one
        elif kind == _TIME_LOW:
            low = value
        elif kind == _ROW:
            row, known = value & 0x7FF, high >= 0
        elif kind == _TIME_HIGH:
            high, known = _next_high(high, value), row >= 0
        elif kind == _BASE:
            base, base_polarity = value & 0x7FF, value >> 11
        elif kind in (_VECTOR_12, _VECTOR_8):
            width = 12 if kind == _VECTOR_12 else 8
            pixels, column, polarity = value & ((known << width) - known), base, base_polarity
            base = min(base + width, 0x800)  # the widest sensor's end: beyond it all is off the sensor
        elif kind not in (_TRIGGER, _OTHERS, _CONTINUED_4, _CONTINUED_12):
            break
        at += one
    return np.int64(found), np.int64(at), _State(high, low, row, base, base_polarity, pixels, column, polarity)


@numba.njit(cache=True, nogil=True)
def _next_high(high: Any, value: Any) -> Any:
    new = (max(high, 0) >> 12 << 12) + value
    return new + 0x1000 if high - new >= 0x800 else new


def _write(path: Path, file: BinaryIO, events: Events) -> None:
    """Write events one by one, without vectors."""
    refuse_what_does_not_fit(path, events, "3.0")
    file.write(header_to_write("3.0", events.sensor_size))
    high, low, row = -1, -1, -1
    for start in range(0, len(events), blocks.BLOCK_EVENTS):
        part = events[start : start + blocks.BLOCK_EVENTS]
        gaps = 2 * (1 + (int(part.t[-1]) >> 12) - high >> 10) + 2
        words = np.empty(4 * len(part) + gaps, "<u2")
        count, high, low, row = _encode(part.x, part.y, part.t, part.p, high, low, row, words)
        file.write(words[:count].tobytes())


@numba.njit(cache=True, nogil=True)
def _encode(x: Any, y: Any, t: Any, p: Any, high: int, low: int, row: int, words: Any) -> tuple[int, int, int, int]:
    """Encode events after those that have left `high`, `low` and `row`; the number of words, and what this leaves."""
    count = 0
    for i in range(len(t)):
        if t[i] >> 12 != high or t[i] & 0xFFF != low:
            # in a silence, steps that no reader takes for a restart, and restarts that each takes for one: from 4,095 to 0
            for quarter in range((max(high, 0) >> 10) + 1, (t[i] >> 22) + 1):
                words[count] = _TIME_HIGH << 12 | (quarter << 10) - 1 & 0xFFF
                words[count + 1] = _TIME_HIGH << 12 | quarter << 10 & 0xFFF
                count += 2
            if t[i] >> 12 != high:
                words[count] = _TIME_HIGH << 12 | (t[i] >> 12) & 0xFFF
                count += 1
            high, low = t[i] >> 12, t[i] & 0xFFF
            words[count] = _TIME_LOW << 12 | low
            count += 1
        if y[i] != row:
            row = y[i]
            words[count] = _ROW << 12 | row
            count += 1
        words[count] = _EVENT << 12 | np.int64(p[i]) << 11 | x[i]
        count += 1
    return count, high, low, row


FORMAT = FileFormat(open=_open, write=_write, recognises=recognises("3.0"))
