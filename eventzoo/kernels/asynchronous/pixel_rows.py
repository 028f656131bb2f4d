"""What images of events hold at one pixel, from the events in the window at that pixel.

What each image is, the representations of the same names say. Where they have time bins, these are ticks of the stream's clock.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.asynchronous.pixel_stream import FIRST, TICK, TICK_LENGTH, PixelStream
from eventzoo.kernels.asynchronous.sites import Floats, Integers, clear_row
from eventzoo.kernels.pixel_maps import FAINTEST


class Setting(NamedTuple):
    """A number that an image is made with: microseconds of a time surface's decay, or whether a queue's times are absolute. int64 `[1]`."""

    value: Integers


@numba.njit(cache=True, nogil=True, error_model="numpy")
def histogram_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001  # rows of nothing
    """Numbers of events of each polarity."""
    out[0], out[1] = np.float32(stream.size[2 * pixel]), np.float32(stream.size[2 * pixel + 1])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def event_frame_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """Numbers of events of each bin and polarity."""
    length, first, mask, bins = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1, len(out) // 2
    for polarity in range(2):
        number = stream.newest[2 * pixel + polarity]
        for back in range(bins):
            begin, count = (stream.at[TICK] - back) * length, 0
            while number >= first and stream.t[number & mask] >= begin:
                count += 1
                number = stream.before[number & mask]
            out[2 * (bins - 1 - back) + polarity] = count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def voxel_grid_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """Polarities, each shared by the ticks before and after it; the last channel is the tick after the newest event."""
    length, first, mask = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1
    off, on = stream.newest[2 * pixel], stream.newest[2 * pixel + 1]
    share = 0  # of the tick at hand; whole numbers, so that it does not depend on the order of events
    for back in range(len(out)):
        begin, of_tick_before = (stream.at[TICK] - back) * length, 0
        while on >= first and stream.t[on & mask] >= begin:
            late = stream.t[on & mask] - begin
            share, of_tick_before = share + late, of_tick_before + length - late
            on = stream.before[on & mask]
        while off >= first and stream.t[off & mask] >= begin:
            late = stream.t[off & mask] - begin
            share, of_tick_before = share - late, of_tick_before - length + late
            off = stream.before[off & mask]
        out[len(out) - 1 - back] = share / length
        share = of_tick_before


@numba.njit(cache=True, nogil=True, error_model="numpy")
def time_surface_row(stream: PixelStream, tau: Setting, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """exp(-(end - t) / tau), with t the time of the newest event of each polarity before the end of each bin."""
    length, first, mask, bins = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1, len(out) // 2
    for polarity in range(2):
        number = stream.newest[2 * pixel + polarity]
        for back in range(bins):
            end, value = (stream.at[TICK] - back + 1) * length, np.float32(0)
            while number >= first and stream.t[number & mask] >= end:
                number = stream.before[number & mask]
            if number >= first:
                value = max(np.float32(math.exp((stream.t[number & mask] - end) / tau.value[0])), FAINTEST)
            out[2 * (bins - 1 - back) + polarity] = value


@numba.njit(cache=True, nogil=True, error_model="numpy")
def event_queue_row(stream: PixelStream, absolute_time: Setting, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """Times of the newest events before the newest, as shares of the largest; then their polarities."""
    first, mask, size = stream.at[FIRST], len(stream.t) - 1, len(out) // 2
    clear_row(out)
    off, on = stream.newest[2 * pixel], stream.newest[2 * pixel + 1]
    if off < first and on < first:
        return
    latest, filled = stream.t[max(off, on) & mask], 0
    while filled < size and (off >= first or on >= first):
        out[filled] = latest - stream.t[max(off, on) & mask]
        if on > off:
            out[size + filled] = 1
            on = stream.before[on & mask]
        else:
            out[size + filled] = -1
            off = stream.before[off & mask]
        filled += 1
    largest, empty = out[filled - 1], np.float32(0)
    if absolute_time.value[0] and filled < size:
        empty = np.float32(latest)
        largest = max(largest, empty)
    if largest == 0:
        largest = np.float32(1)
    for k in range(filled):
        out[k] /= largest
    for k in range(filled, size):
        out[k] = empty / largest if absolute_time.value[0] else np.float32(1)
