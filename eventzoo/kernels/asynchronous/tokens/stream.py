"""Tokens of a stream: they come, go through all layers, and are forgotten; what stays of them is the layers' state.

Events are numbered as they come; number n has the slot n mod capacity among the events of the window. Tokens have slots of one
transaction alone, 0, 1 and so on.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import ARRIVED, Floats, Integers, Rows, Sites, arrive, begin, commit, leave


class TokenStream(NamedTuple):
    """The events in the window.

    Attributes:
        x: Columns, int16 `[capacity]`.
        y: Rows, int16 `[capacity]`.
        t: Microseconds, int64 `[capacity]`.
        p: Whether they are brighter, bool `[capacity]`.
        at: Numbers of the oldest event and of the next one, int64 `[2]`.
        limits: Window in events and in microseconds; width and height of the sensor. int64 `[4]`.
    """

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    t: Integers
    p: NDArray[np.bool_]
    at: Integers
    limits: Integers


class Tokens(NamedTuple):
    """The tokens of a transaction.

    Attributes:
        place: Of the first stage, (p · height + y) · width + x, int64 `[capacity]`.
        t: Microseconds of its last event, int64 `[capacity]`.
        last: Number of its last event, int64 `[capacity]`.
        oldest: Number of the oldest event that was in the window when that had come, int64 `[capacity]`.
    """

    place: Integers
    t: Integers
    last: Integers
    oldest: Integers


class Pending(NamedTuple):
    """The first of two tokens that are pooled, while the second is yet to come.

    Attributes:
        row: Its features, float32 `[C]`.
        there: Whether there is one, int64 `[1]`.
    """

    row: Floats
    there: Integers


class Mean(NamedTuple):
    """The sum of the tokens in the window.

    Attributes:
        total: float64 `[C]`.
        at: How many they are, and the number of the first event that has not yet left it, int64 `[2]`.
    """

    total: NDArray[np.float64]
    at: Integers


class Kept(NamedTuple):
    """Features of the tokens in the window, by their last event.

    Attributes:
        row: float32 `[capacity, C]`.
        there: Whether there is a token, bool `[capacity]`.
    """

    row: Floats
    there: NDArray[np.bool_]


FIRST, LAST = range(2)  # positions in TokenStream.at
COUNT, GONE = range(2)  # positions in Mean.at
MOST_EVENTS, MOST_TIME, WIDTH, HEIGHT = range(4)  # positions in TokenStream.limits
PER_SITE = {"x": 0, "y": 0, "t": 0, "p": False}
KEPT_PER_SITE = {"row": 0, "there": False}
NEVER = np.iinfo(np.int64).min
ENDLESS = np.iinfo(np.int64).max


def make_stream(sensor_size: tuple[int, int], window: tuple[int | None, int | None], capacity: int) -> TokenStream:
    """A stream without events.

    Args:
        sensor_size: `(width, height)` in pixels.
        window: Most events, and most microseconds, that the window holds; None for no such limit.
        capacity: Slots for events, a power of two.
    """
    limits = [*(ENDLESS if limit is None else limit for limit in window), *sensor_size]
    x, y = np.zeros(capacity, np.int16), np.zeros(capacity, np.int16)
    return TokenStream(x, y, np.zeros(capacity, np.int64), np.zeros(capacity, np.bool_), np.zeros(2, np.int64), np.array(limits, np.int64))


def make_tokens(capacity: int) -> Tokens:
    """No tokens."""
    return Tokens(*(np.zeros(capacity, np.int64) for _ in Tokens._fields))


def window_events(stream: TokenStream) -> tuple[NDArray[np.int16], NDArray[np.int16], Integers, NDArray[np.bool_]]:
    """Columns, rows, times in microseconds and polarities of the events in the window, in order."""
    slots = np.arange(stream.at[FIRST], stream.at[LAST]) & (len(stream.t) - 1)
    return stream.x[slots], stream.y[slots], stream.t[slots], stream.p[slots]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def push_events(
    stream: TokenStream,
    events: Sites,
    tokens: Tokens,
    sites: Sites,
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: Integers,
    p: NDArray[np.bool_],
    first: int,
    last: int,
    now: int,
) -> int:
    """One transaction: events `first` to `last` arrive in turn, each as a token, after those that its coming removes from the window.

    Args:
        stream: The stream.
        events: Its events; their transaction begins here.
        tokens: The tokens.
        sites: Their sites.
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
    at, limits, mask = stream.at, stream.limits, len(stream.t) - 1
    begin(events)
    begin_anew(sites)
    if now != NEVER:
        _leave(stream.t, at, limits, events, now, 0)
    for i in range(first, last):
        _leave(stream.t, at, limits, events, t[i], 1)
        number = at[LAST]
        slot, token = number & mask, i - first
        stream.x[slot], stream.y[slot], stream.t[slot], stream.p[slot] = x[i], y[i], t[i], p[i]
        at[LAST] += 1
        arrive(events, slot, number)
        tokens.place[token] = (p[i] * limits[HEIGHT] + y[i]) * limits[WIDTH] + x[i]
        tokens.t[token], tokens.last[token], tokens.oldest[token] = t[i], number, at[FIRST]
        arrive(sites, token, number)
    return last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leave(times: Integers, at: Integers, limits: Integers, events: Sites, now: int, coming: int) -> None:
    """Events leave that are too old at the time `now`, or too many with the ones that come."""
    mask = len(times) - 1
    while at[FIRST] < at[LAST] and (
        at[LAST] + coming - at[FIRST] > limits[MOST_EVENTS] or now - times[at[FIRST] & mask] >= limits[MOST_TIME]
    ):
        leave(events, at[FIRST] & mask, False)
        at[FIRST] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def begin_anew(sites: Sites) -> None:
    """Begin a transaction of tokens: those of the one before are forgotten."""
    for k in range(sites.counts[ARRIVED]):
        sites.alive[sites.arrived[k]] = False
    begin(sites)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def embed(table: Floats, place: Integers, sites: Sites, rows: Rows) -> int:
    """Features of the places of new tokens, from a table `[places, C]`; how many."""
    rows.counts[0] = 0
    row = rows.row
    for k in range(sites.counts[ARRIVED]):
        embedded = table[place[k]]
        for c in range(len(row)):
            row[c] = embedded[c]
        commit(sites, rows, k)
    return int(sites.counts[ARRIVED])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def halve(pending: Pending, tokens: Tokens, sites: Sites, rows: Rows, halved: Tokens, halved_sites: Sites, halved_rows: Rows) -> int:
    """Means of two tokens each; how many are complete."""
    begin_anew(halved_sites)
    halved_rows.counts[0] = 0
    waiting, row, count = pending.row, halved_rows.row, 0
    for k in range(sites.counts[ARRIVED]):
        given = rows.rows[k]
        if pending.there[0] == 0:
            pending.there[0] = 1
            for c in range(len(row)):
                waiting[c] = given[c]
            continue
        pending.there[0] = 0
        for c in range(len(row)):
            row[c] = (waiting[c] + given[c]) / np.float32(2)
        halved.t[count], halved.last[count], halved.oldest[count] = tokens.t[k], tokens.last[k], tokens.oldest[k]
        arrive(halved_sites, count, tokens.last[k])
        commit(halved_sites, halved_rows, count)
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_to_mean(mean: Mean, counts: Integers, rows: Floats, one: Sites, pooled: Rows) -> int:
    """The mean of all tokens, of which none ever leaves; how many are added."""
    total, count = mean.total, counts[ARRIVED]
    for k in range(count):
        for c in range(len(total)):
            total[c] += rows[k, c]
    mean.at[COUNT] += count
    _put_out(mean, one, pooled)
    return int(count)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def move_mean(mean: Mean, kept: Kept, oldest: Integers, tokens: Tokens, counts: Integers, rows: Floats, one: Sites, pooled: Rows) -> int:
    """The mean of the tokens whose last event is in the window; how many are added.

    Tokens are added and taken away in the order in which that would happen if events came one by one: sums do not depend on pushes.
    """
    total, mask = mean.total, len(kept.there) - 1
    for k in range(counts[ARRIVED]):
        _take_away(mean, kept, tokens.oldest[k])
        slot = tokens.last[k] & mask
        kept.there[slot] = True
        for c in range(len(total)):
            kept.row[slot, c] = rows[k, c]
            total[c] += rows[k, c]
        mean.at[COUNT] += 1
    _take_away(mean, kept, oldest[FIRST])
    _put_out(mean, one, pooled)
    return int(counts[ARRIVED])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _take_away(mean: Mean, kept: Kept, oldest: int) -> None:
    """Take away the tokens whose last event is before this one."""
    total, at, mask = mean.total, mean.at, len(kept.there) - 1
    while at[GONE] < oldest:
        slot = at[GONE] & mask
        at[GONE] += 1
        if kept.there[slot]:
            kept.there[slot] = False
            at[COUNT] -= 1
            for c in range(len(total)):
                total[c] -= kept.row[slot, c]
    if at[COUNT] == 0:
        for c in range(len(total)):
            total[c] = 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _put_out(mean: Mean, one: Sites, pooled: Rows) -> None:
    """The mean as it is now."""
    pooled.counts[0] = 0
    row, share = pooled.row, 1.0 / max(mean.at[COUNT], 1)
    for c in range(len(row)):
        row[c] = np.float32(mean.total[c] * share)
    commit(one, pooled, 0)
