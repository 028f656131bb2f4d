"""What images of events hold at one pixel, from the events in the window at that pixel.

What each image is, the representations of the same names say. Where they have time bins, these are ticks of the stream's clock.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.asynchronous.pixel_stream import FIRST, TICK, TICK_LENGTH, PixelStream
from eventzoo.kernels.asynchronous.sites import Floats, Integers, clear_row


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
    length, first, mask = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1
    first_tick = stream.at[TICK] - len(out) // 2 + 1
    clear_row(out)
    for polarity in range(2):
        number = stream.newest[2 * pixel + polarity]
        while number >= first:
            bin_ = stream.t[number & mask] // length - first_tick
            if bin_ < 0:
                break
            out[2 * bin_ + polarity] += np.float32(1)
            number = stream.before[number & mask]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def voxel_grid_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """Polarities, each shared by the ticks before and after it; channel b is the tick at which bin b ends."""
    length, first, mask = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1
    first_tick = stream.at[TICK] - len(out) + 1
    clear_row(out)
    for polarity in range(2):
        number, sign = stream.newest[2 * pixel + polarity], np.float32(2 * polarity - 1)
        while number >= first:
            t = stream.t[number & mask]
            tick = t // length
            bin_ = tick - first_tick
            if bin_ < 0:
                break
            late = np.float32((t - tick * length) / length)
            out[bin_] += sign * late
            if bin_ > 0:
                out[bin_ - 1] += sign * (np.float32(1) - late)
            number = stream.before[number & mask]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def time_surface_row(stream: PixelStream, tau: Setting, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """exp(-(end - t) / tau), with t the time of the newest event of each polarity before the end of each bin."""
    length, first, mask = stream.limits[TICK_LENGTH], stream.at[FIRST], len(stream.t) - 1
    bins = len(out) // 2
    clear_row(out)
    for polarity in range(2):
        number = stream.newest[2 * pixel + polarity]
        for bin_ in range(bins - 1, -1, -1):
            end = (stream.at[TICK] - bins + bin_ + 2) * length
            while number >= first and stream.t[number & mask] >= end:
                number = stream.before[number & mask]
            if number < first:
                break
            out[2 * bin_ + polarity] = math.exp((stream.t[number & mask] - end) / tau.value[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def event_queue_row(stream: PixelStream, absolute_time: Setting, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001
    """Times of the newest events before the newest, as shares of the largest; then their polarities."""
    first, mask, size = stream.at[FIRST], len(stream.t) - 1, len(out) // 2
    clear_row(out)
    off, on = stream.newest[2 * pixel], stream.newest[2 * pixel + 1]
    if off < first and on < first:
        return
    latest = stream.t[max(off, on) & mask]
    filled, oldest = 0, latest
    while filled < size and (off >= first or on >= first):
        oldest = stream.t[max(off, on) & mask]
        out[filled] = latest - oldest
        if on > off:
            out[size + filled] = 1
            on = stream.before[on & mask]
        else:
            out[size + filled] = -1
            off = stream.before[off & mask]
        filled += 1
    largest, empty = latest - oldest, np.int64(0)
    if absolute_time.value[0] and filled < size:
        empty = latest
        largest = max(largest, empty)
    scale = 1 / largest if largest else 1.0
    for k in range(filled):
        out[k] *= scale
    for k in range(filled, size):
        out[k] = empty * scale if absolute_time.value[0] else 1.0
