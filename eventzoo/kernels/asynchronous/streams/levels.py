"""The levels of an event stream: what arrives at each when the recording goes on, and who is near whom.

A level is a set of sites whose *track* says where and when they are. They are numbered as they come, number n has the slot n mod capacity,
and those of one pixel are chained, newest first. Pixels are numbered column by column. An event of a level above the recording is
forgotten when no later one can look at it any more: its features have gone into what pools them.

Of events of one microsecond, later ones may still change what the earlier look at. So what arrived in the microsecond of the newest event
is *open*: it is computed again when more events of the same microsecond come.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import (
    ARRIVED,
    LEFT,
    TOUCHED,
    TRANSACTION,
    Edges,
    Floats,
    Indices,
    Integers,
    Rows,
    Sites,
    arrive,
    leave,
    touch,
)
from eventzoo.kernels.event_streams import charged

Tracks = tuple["Track", ...]


class Track(NamedTuple):
    """Where and when the sites of a level are.

    Attributes:
        pixel: x · height + y, int64 `[capacity]`.
        t: Microseconds, int64 `[capacity]`.
        before: Number of the event before this at the same pixel, -1 for none, int64 `[capacity]`.
        trigger: Number of the event of the level below that made it come, int64 `[capacity]`.
        newest: Number of the newest event of a pixel, -1 for none, int64 `[pixels]`.
        at: Numbers of the oldest event that is kept, of the oldest that still has its slot, and of the next event; times of the first event
            ever, of the newest, and at which the oldest has to be forgotten; slots that have to be free for an event of the
            recording; and, of the recording's, the time to which the clock is put, before which nothing is open. int64 `[8]`.
        settings: Height of the grid, microseconds that an event is kept. int64 `[2]`.
    """

    pixel: Integers
    t: Integers
    before: Integers
    trigger: Integers
    newest: Integers
    at: Integers
    settings: Integers


class Neurons(NamedTuple):
    """Leaky integrate-and-fire neurons, one a pixel of a level.

    Attributes:
        potential: float32 `[pixels]`.
        since: Time of its last charge, microseconds. int64 `[pixels]`.
        grid: Width and height. int64 `[2]`.
        settings: Decay time in microseconds, threshold, potential after firing. float64 `[3]`.
    """

    potential: Floats
    since: Integers
    grid: Integers
    settings: NDArray[np.float64]


class Sight(NamedTuple):
    """Whom an event looks at: a stencil, how far back, and how many.

    Attributes:
        dx: Columns from stride times its own to each cell, int64 `[cells]`.
        dy: Rows, int64 `[cells]`.
        grid: Width and height of the level looked at, height of its own, stride. int64 `[4]`.
        limits: Most microseconds, and most events of a pixel. int64 `[2]`.
        order: What of the events of its own microsecond it sees: `ALL`, those up to the one that made it come, or those up to itself.
            int64 `[1]`.
        decay: Microseconds of a decay time, float64 `[1]`.
    """

    dx: Integers
    dy: Integers
    grid: Integers
    limits: Integers
    order: Integers
    decay: NDArray[np.float64]


class Reopens(NamedTuple):
    """Whether events of one microsecond look at each other whatever their order, bool `[1]`."""

    value: NDArray[np.bool_]


FIRST, REACH, LAST, ORIGIN, NEWEST, EXPIRES, RESERVE, CLOCK = range(8)  # positions in Track.at
HEIGHT, KEPT = range(2)  # positions in Track.settings
ALL, TO_TRIGGER, TO_ITSELF = range(3)  # of Stencil.order
PER_SITE = {"pixel": 0, "t": 0, "before": -1, "trigger": 0}
NEVER = np.iinfo(np.int64).min
ENDLESS = np.iinfo(np.int64).max
LONGEST = 1 << 61  # microseconds that an event can be kept: its time and these do not overflow


def make_track(size: tuple[int, int], kept: int, reserve: int, capacity: int) -> Track:
    """A level without events.

    Args:
        size: `(width, height)` of its grid.
        kept: Microseconds that an event is kept.
        reserve: Events of the level that one event of the recording can cause.
        capacity: Slots, a power of two.
    """
    pixel, t, trigger = (np.zeros(capacity, np.int64) for _ in range(3))
    at = np.array([0, 0, 0, 0, NEVER, ENDLESS, reserve, NEVER], np.int64)
    newest, settings = np.full(size[0] * size[1], -1, np.int64), np.array([size[1], kept], np.int64)
    return Track(pixel, t, np.full(capacity, -1, np.int64), trigger, newest, at, settings)


def make_neurons(size: tuple[int, int], decay_time: int, threshold: float, reset_potential: float) -> Neurons:
    """Neurons without charge, on a grid of this `(width, height)`."""
    pixels = size[0] * size[1]
    settings = np.array([decay_time, threshold, reset_potential])
    return Neurons(np.zeros(pixels, np.float32), np.zeros(pixels, np.int64), np.array(size, np.int64), settings)


def kept_events(track: Track) -> tuple[NDArray[np.int16], NDArray[np.int16], Integers, Integers]:
    """Columns, rows, times in microseconds and slots of a level's events, in order."""
    slots = np.arange(track.at[FIRST], track.at[LAST]) & (len(track.t) - 1)
    x, y = np.divmod(track.pixel[slots], track.settings[HEIGHT])
    return x.astype(np.int16), y.astype(np.int16), track.t[slots], slots


@numba.njit(cache=True, nogil=True, error_model="numpy")
def push_events(
    tracks: Tracks,
    ats: tuple[Integers, ...],
    times: tuple[Integers, ...],
    neurons: tuple[Neurons, ...],
    sites: tuple[Sites, ...],
    counts: tuple[Integers, ...],
    polarity: Rows,
    reopens: Reopens,
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: Integers,
    p: NDArray[np.bool_],
    first: int,
    last: int,
    now: int,
) -> int:
    """One transaction: events `first` to `last` arrive, and at the levels above the events that they cause.

    Args:
        tracks: Those of all levels, the recording's first.
        ats: Their `at`, by itself: to take a whole track from a tuple is a copy that most events can do without.
        times: Their `t`, by itself.
        neurons: Those of the levels above it.
        sites: Those of all levels; their transaction begins here.
        counts: Their `counts`, by itself.
        polarity: Rows of the recording's events: whether it is darker, whether it is brighter.
        reopens: Whether events of the newest microsecond have to be computed again.
        x: Columns of a part of the recording.
        y: Rows.
        t: Times in microseconds.
        p: Polarities.
        first: Index of the first event to take.
        last: Index after the last.
        now: Time to which the clock is put, in microseconds; `NEVER` to leave it.

    Returns:
        Index after the last event that was taken: there was no room for what the next may cause.
    """
    polarity.counts[0] = 0
    begins, clock = t[first] if first < last else NEVER, ats[0][CLOCK]
    for k in range(len(tracks)):
        counts[k][ARRIVED] = counts[k][LEFT] = counts[k][TOUCHED] = 0
        counts[k][TRANSACTION] += 1
        if k > 0 and clock >= ats[k][EXPIRES]:
            _forget(tracks[k], sites[k], clock)  # not by `begins`, by which what is open could be forgotten before it is settled
        ats[k][REACH] = ats[k][FIRST]
        if k > 0 and reopens.value[0] and begins == ats[k][NEWEST]:
            _touch_newest(tracks[k], sites[k])
    i = first
    while i < last:
        if not _has_room(times, ats):
            break
        slot = _put(tracks[0], sites[0], x[i] * tracks[0].settings[HEIGHT] + y[i], t[i], 0)
        polarity.rows[slot, 0], polarity.rows[slot, 1] = not p[i], p[i]
        polarity.changed[polarity.counts[0]] = slot
        polarity.counts[0] += 1
        begun = ats[1][LAST]
        _charge(tracks[0], ats[0][LAST] - 1, neurons[0], tracks[1], sites[1])
        for k in range(2, len(tracks)):
            end = ats[k - 1][LAST]
            if begun == end:
                break
            next_begun = ats[k][LAST]
            for number in range(begun, end):
                _charge(tracks[k - 1], number, neurons[k - 1], tracks[k], sites[k])
            begun = next_begun
        i += 1
    until = t[i - 1] if i > first else now
    ats[0][CLOCK] = max(clock, until)
    if until >= ats[0][EXPIRES]:
        _forget(tracks[0], sites[0], until)
    return i


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _has_room(times: tuple[Integers, ...], ats: tuple[Integers, ...]) -> bool:
    """Whether each level has slots for what one event of the recording may cause."""
    for k in range(1, len(times)):  # noqa: SIM110  # numba knows no generators
        if ats[k][LAST] - ats[k][FIRST] + ats[k][RESERVE] > len(times[k]):
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _charge(below: Track, number: int, neurons: Neurons, track: Track, sites: Sites) -> None:
    """An event charges the neurons whose stencils it is in, with equal shares of one."""
    slot = number & (len(below.t) - 1)
    now, height = below.t[slot], below.settings[HEIGHT]
    x, y = below.pixel[slot] // height, below.pixel[slot] % height
    width, height = neurons.grid
    x_first, x_end = x // 2, min((x + 1) // 2 + 1, width)
    y_first, y_end = y // 2, min((y + 1) // 2 + 1, height)
    charge = 1.0 / ((x_end - x_first) * (y_end - y_first))
    decay, threshold, reset = neurons.settings
    for column in range(x_first, x_end):
        for row in range(y_first, y_end):
            pixel = column * height + row
            elapsed = max(now - neurons.since[pixel], 0)  # a recording may begin before the time 0
            potential = charged(neurons.potential[pixel], elapsed, decay, charge)
            if potential > threshold:
                potential = reset
                _put(track, sites, pixel, now, number)
            neurons.potential[pixel], neurons.since[pixel] = potential, now


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _put(track: Track, sites: Sites, pixel: int, now: int, trigger: int) -> int:
    """An event arrives; its slot."""
    at, number = track.at, track.at[LAST]
    slot = number & (len(track.t) - 1)
    if number == 0:
        at[ORIGIN] = now
    if number == at[FIRST]:
        at[EXPIRES] = now + track.settings[KEPT]
    at[NEWEST] = now
    at[LAST] += 1
    track.pixel[slot], track.t[slot], track.trigger[slot], track.before[slot] = pixel, now, trigger, track.newest[pixel]
    track.newest[pixel] = number
    arrive(sites, slot, number)
    return int(slot)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forget(track: Track, sites: Sites, now: int) -> None:
    """Events leave that are too old."""
    at, mask, kept = track.at, len(track.t) - 1, track.settings[KEPT]
    while now >= at[EXPIRES]:
        leave(sites, at[FIRST] & mask, True)
        at[FIRST] += 1
        at[EXPIRES] = track.t[at[FIRST] & mask] + kept if at[FIRST] < at[LAST] else ENDLESS


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _touch_newest(track: Track, sites: Sites) -> None:
    """Have the events of the newest microsecond computed again."""
    number, mask = track.at[LAST] - 1, len(track.t) - 1
    while number >= track.at[FIRST] and track.t[number & mask] == track.at[NEWEST]:
        touch(sites, number & mask)
        number -= 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def incoming(state: tuple[Sight, Track, Track], edges: Edges, sites: Sites, slot: int) -> int:
    """List whom an event looks at, cell by cell: their slots, and as offset their age in decay times and the cell.

    Args:
        state: What an event sees, the level looked at, and the event's own.
        edges: Where they are listed, and counted.
        sites: The event's own.
        slot: The event.

    Returns:
        How many these are.
    """
    sight, inputs, outputs = state
    width, height, own_height, stride = sight.grid
    now, mask, count = outputs.t[slot], len(inputs.t) - 1, 0
    x, y = outputs.pixel[slot] // own_height * stride, outputs.pixel[slot] % own_height * stride
    newest = inputs.at[LAST] - 1
    if sight.order[0] == TO_TRIGGER:
        newest = outputs.trigger[slot]
    elif sight.order[0] == TO_ITSELF:
        newest = sites.id[slot]
    for cell in range(len(sight.dx)):
        column, row = x + sight.dx[cell], y + sight.dy[cell]
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        number = inputs.newest[column * height + row]
        while number >= inputs.at[REACH] and (inputs.t[number & mask] > now or number > newest):
            number = inputs.before[number & mask]
        left = sight.limits[1]
        while left > 0 and number >= inputs.at[REACH] and now - inputs.t[number & mask] <= sight.limits[0]:
            source = number & mask
            edges.source[count] = source
            edges.offset[count, 0] = np.float32((now - inputs.t[source]) / sight.decay[0])
            edges.offset[count, 1] = cell
            count += 1
            left -= 1
            number = inputs.before[source]
    edges.degree[slot] = count
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_readers(state: tuple[Sight, Track, Track], sites: Sites, slots: Indices, count: int) -> None:
    """Nobody reads a changed event but those of its own microsecond, which are touched when it may change."""
