"""The means of a stream's features in voxels, event by event."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import ARRIVED, Floats, Integers, Rows, Sites, commit
from eventzoo.kernels.asynchronous.streams.levels import CLOCK, LAST, NEWEST, ORIGIN, Track


class Bins(NamedTuple):
    """Sums of the bins of time that count; a bin's place is its number mod F.

    Features of the newest microsecond may still change, so sums are kept with and without them: no sum is ever corrected.

    Attributes:
        settled: Sums without those of the newest microsecond, float64 `[F · pixels, C]`.
        total: Sums of all. float64 `[F · pixels, C]`.
        size: Events in each voxel. int64 `[F · pixels]`.
        stale: Number of voxels that have to be written, and their places. int64 `[1 + F · pixels]`.
        is_stale: Whether a voxel is one of these. bool `[F · pixels]`.
        at: Numbers of the first event that is not settled, of the first that is not counted, and of the newest bin. int64 `[3]`.
        grid: Frames, microseconds that they span, width and height. int64 `[4]`.
    """

    settled: NDArray[np.float64]
    total: NDArray[np.float64]
    size: Integers
    stale: Integers
    is_stale: NDArray[np.bool_]
    at: Integers
    grid: Integers


def make_bins(frames: int, horizon: int, size: tuple[int, int], channels: int) -> Bins:
    """Bins without events."""
    cells = frames * size[0] * size[1]
    settled, total = np.zeros((cells, channels)), np.zeros((cells, channels))
    members, stale, at = np.zeros(cells, np.int64), np.zeros(1 + cells, np.int64), np.array([0, 0, frames - 1], np.int64)
    return Bins(settled, total, members, stale, np.zeros(cells, np.bool_), at, np.array([frames, horizon, *size], np.int64))


SETTLED, COUNTED, NEWEST_BIN = range(3)  # positions in Bins.at


@numba.njit(cache=True, nogil=True, error_model="numpy")
def has_news(at: Integers, grid: Integers, recording: Integers, track: Integers, voxels: Integers, output: Integers) -> bool:
    """Whether there is anything to do: the voxels are new, events are not settled, or a bin of time has begun.

    Args:
        at: Of the bins.
        grid: Of the bins.
        recording: `at` of the recording's track.
        track: `at` of the level's.
        voxels: `counts` of the voxels' sites, whose transaction has begun.
        output: `counts` of their rows; no row has changed so far.
    """
    output[0] = 0
    if voxels[ARRIVED] > 0 or track[LAST] > at[SETTLED]:
        return True
    return bool(recording[LAST] > 0 and (recording[NEWEST] - recording[ORIGIN]) * grid[0] // grid[1] > at[NEWEST_BIN])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pool_stream(bins: Bins, recording: Integers, track: Track, x: Rows, voxels: Sites, output: Rows) -> int:
    """Bring the voxels up to date; how many events were added.

    Args:
        bins: The sums.
        recording: `at` of the recording's track.
        track: Track of the level.
        x: Features of the level.
        voxels: The voxels, frame by frame, in each row by row; their transaction has begun.
        output: Their means.
    """
    newest_before, added = bins.at[NEWEST_BIN], 0
    bins.stale[0] = 0
    if recording[LAST] > 0:
        _begin_bins(bins, recording[NEWEST] - recording[ORIGIN])
        added = _add_events(bins, recording[ORIGIN], recording[CLOCK], track, x.rows)
    if voxels.counts[ARRIVED] > 0 or bins.at[NEWEST_BIN] > newest_before:
        for place in range(len(bins.size)):
            _write(bins, place, voxels, output)
    else:
        for k in range(bins.stale[0]):
            _write(bins, bins.stale[1 + k], voxels, output)
    for k in range(bins.stale[0]):
        bins.is_stale[bins.stale[1 + k]] = False
    return added


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _begin_bins(bins: Bins, since_origin: int) -> None:
    """Empty the places of bins that are too old now for those that have begun."""
    frames, horizon, width, height = bins.grid
    newest, pixels, channels = max(since_origin * frames // horizon, bins.at[NEWEST_BIN]), width * height, bins.total.shape[1]
    for number in range(max(bins.at[NEWEST_BIN], newest - frames) + 1, newest + 1):
        for place in range(number % frames * pixels, (number % frames + 1) * pixels):
            bins.size[place] = 0
            for c in range(channels):
                bins.settled[place, c] = bins.total[place, c] = 0.0
    bins.at[NEWEST_BIN] = newest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_events(bins: Bins, origin: int, now: int, track: Track, rows: Floats) -> int:
    """Add what has come, and what was open, as it is now; how many events these are."""
    settled, total, stale, at, mask = bins.settled, bins.total, bins.stale, bins.at, len(track.t) - 1
    channels, added = total.shape[1], 0
    for number in range(at[SETTLED], at[COUNTED]):  # was open
        place = _place(bins, track, number & mask, origin)
        if place >= 0:
            for c in range(channels):
                total[place, c] = settled[place, c]
    for number in range(at[SETTLED], track.at[LAST]):
        slot = number & mask
        place = _place(bins, track, slot, origin)
        if place >= 0:
            for c in range(channels):
                total[place, c] += rows[slot, c]
            if track.t[slot] < now:
                for c in range(channels):
                    settled[place, c] = total[place, c]
            bins.size[place] += number >= at[COUNTED]
            added += 1
            if not bins.is_stale[place]:
                bins.is_stale[place] = True
                stale[0] += 1
                stale[stale[0]] = place
    while at[SETTLED] < track.at[LAST] and track.t[at[SETTLED] & mask] < now:
        at[SETTLED] += 1
    at[COUNTED] = track.at[LAST]
    return added


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(bins: Bins, track: Track, slot: int, origin: int) -> int:
    """Where the sum is that an event is added to; -1 if its bin is too old."""
    frames, horizon, width, height = bins.grid
    number = (track.t[slot] - origin) * frames // horizon
    if number <= bins.at[NEWEST_BIN] - frames:
        return -1
    x, y = track.pixel[slot] // height, track.pixel[slot] % height
    return int((number % frames * height + y) * width + x)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _write(bins: Bins, place: int, voxels: Sites, output: Rows) -> None:
    """A voxel's row: the mean of what is in it."""
    frames, _, width, height = bins.grid
    pixels = width * height
    frame = (place // pixels - bins.at[NEWEST_BIN] - 1) % frames
    for c in range(len(output.row)):
        output.row[c] = bins.total[place, c] / max(bins.size[place], 1)
    commit(voxels, output, frame * pixels + place % pixels)
