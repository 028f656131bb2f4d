"""The events of a window that moves over a stream, pixel by pixel: what images of events are made of.

Events are numbered as they come; number n has the slot n mod capacity, so arrays are rings. Those of one polarity at one pixel, a
*place*, are chained, newest first. An event is in the window if its number is not less than that of the oldest, and so a chain ends where
it leads before that: nothing has to be done to it when its oldest event leaves.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import TRANSACTION, Indices, Integers, Rows, Sites, arrive, begin, leave


class PixelStream(NamedTuple):
    """The events and their chains, see `make_pixel_stream`.

    Attributes:
        place: Place of an event, 2 · pixel + polarity, with pixel = y · width + x. int64 `[capacity]`.
        t: Microseconds, int64 `[capacity]`.
        before: Number of the event before this at the same place, -1 for none, int64 `[capacity]`.
        newest: Number of the newest event at a place, -1 for none, int64 `[2 · pixels]`.
        size: Number of events in the window at a place, int64 `[2 · pixels]`.
        noted_in: Transaction in which a pixel's events last came, went, or were to be looked at again. int64 `[pixels]`.
        at: Numbers of the oldest event and of the next one; tick of the clock in which the newest event came. int64 `[3]`.
        limits: Window in events and in microseconds; microseconds of a tick, 0 for no clock; the sensor's width. int64 `[4]`.
    """

    place: Integers
    t: Integers
    before: Integers
    newest: Integers
    size: Integers
    noted_in: Integers
    at: Integers
    limits: Integers


FIRST, LAST, TICK = range(3)  # positions in PixelStream.at
MOST_EVENTS, MOST_TIME, TICK_LENGTH, WIDTH = range(4)  # positions in PixelStream.limits
PER_SITE = {"place": 0, "t": 0, "before": -1}
NEVER = np.iinfo(np.int64).min
ENDLESS = np.iinfo(np.int64).max


def make_pixel_stream(sensor_size: tuple[int, int], window: tuple[int | None, int | None], tick: int, capacity: int) -> PixelStream:
    """A stream without events.

    Args:
        sensor_size: `(width, height)` in pixels.
        window: Most events, and most microseconds, that the window holds; None for no such limit.
        tick: Microseconds of a tick of the clock, at which all pixels are looked at again; 0 if they need not be.
        capacity: Slots for events, a power of two.
    """
    width, height = sensor_size
    pixels = width * height
    limits = [*(ENDLESS if limit is None else limit for limit in window), tick, width]
    return PixelStream(
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int64),
        np.full(capacity, -1, np.int64),
        np.full(2 * pixels, -1, np.int64),
        np.zeros(2 * pixels, np.int64),
        np.zeros(pixels, np.int64),
        np.zeros(3, np.int64),
        np.array(limits, np.int64),
    )


def window_events(stream: PixelStream) -> tuple[NDArray[np.int16], NDArray[np.int16], Integers, NDArray[np.bool_]]:
    """Columns, rows, times in microseconds and polarities of the events in the window, in order."""
    slots = np.arange(stream.at[FIRST], stream.at[LAST]) & (len(stream.place) - 1)
    place = stream.place[slots]
    y, x = np.divmod(place // 2, stream.limits[WIDTH])
    return x.astype(np.int16), y.astype(np.int16), stream.t[slots], place % 2 == 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def push_events(
    stream: PixelStream,
    events: Sites,
    noted: Rows,
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: Integers,
    p: NDArray[np.bool_],
    first: int,
    last: int,
    now: int,
) -> int:
    """One transaction: events `first` to `last` arrive in turn, and before each, those leave that are no longer in its window.

    Args:
        stream: The stream.
        events: Its events; their transaction begins here.
        noted: Rows of nothing; those of pixels change where a layer has to look at the pixel's events again.
        x: Columns of a part of the stream.
        y: Rows.
        t: Times in microseconds.
        p: Polarities.
        first: Index of the first event to take.
        last: Index after the last.
        now: Time to which the clock is put first, in microseconds; `NEVER` to leave it.

    Returns:
        `last`.
    """
    at, mask = stream.at, len(stream.place) - 1
    begin(events)
    noted.counts[0] = 0
    # the functions below are given single arrays: to hand over all of them takes as long as the rest
    for i in range(first if now == NEVER else first - 1, last):
        comes = i >= first
        oldest = _oldest(stream.t, at, stream.limits, t[i] if comes else now, comes)
        while at[FIRST] < oldest:
            slot = at[FIRST] & mask
            at[FIRST] += 1
            stream.size[stream.place[slot]] -= 1
            leave(events, slot, False)
            _note(stream.noted_in, events.counts, noted.changed, noted.counts, stream.place[slot] // 2)
        if not comes:
            continue
        number, pixel = at[LAST], y[i] * stream.limits[WIDTH] + x[i]
        slot, place = number & mask, 2 * pixel + p[i]
        at[LAST] += 1
        stream.place[slot], stream.t[slot], stream.before[slot] = place, t[i], stream.newest[place]
        stream.newest[place] = number
        stream.size[place] += 1
        arrive(events, slot, number)
        _note(stream.noted_in, events.counts, noted.changed, noted.counts, pixel)
    if stream.limits[TICK_LENGTH] > 0 and at[LAST] > at[FIRST]:
        tick = stream.t[(at[LAST] - 1) & mask] // stream.limits[TICK_LENGTH]
        if tick != at[TICK]:
            at[TICK] = tick
            for pixel in range(len(stream.noted_in)):
                if stream.size[2 * pixel] > 0 or stream.size[2 * pixel + 1] > 0:
                    _note(stream.noted_in, events.counts, noted.changed, noted.counts, pixel)
    return last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _oldest(times: Integers, at: Integers, limits: Integers, now: int, coming: int) -> int:
    """Number of the oldest event that stays: others are too old at the time `now`, or too many with the ones that come."""
    oldest, mask = at[FIRST], len(times) - 1
    while oldest < at[LAST] and (at[LAST] + coming - oldest > limits[MOST_EVENTS] or now - times[oldest & mask] >= limits[MOST_TIME]):
        oldest += 1
    return int(oldest)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _note(noted_in: Integers, transaction: Integers, noted: Indices, count: Integers, pixel: int) -> None:
    """Put a pixel on the list of those to be looked at again."""
    if noted_in[pixel] != transaction[TRANSACTION]:
        noted_in[pixel] = transaction[TRANSACTION]
        noted[count[0]] = pixel
        count[0] += 1
